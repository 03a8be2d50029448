"""How much of something a test takes: enough to fail, or with LONG_TESTS=1 what a release is tried with."""

import os
from typing import TypeVar

T = TypeVar("T")


def usual(few: T, long: T) -> T:
    """`few`; `long` when the environment asks for long tests."""
    return long if os.environ.get("LONG_TESTS", "") not in ("", "0") else few
