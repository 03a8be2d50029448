"""The demo's commands, without services."""

from pathlib import Path

import pytest

from rederive.__main__ import BROKEN_PIPE, INTERRUPTED
from rederive.demo import Demo
from schemas.errors import Failed


def test_a_path_with_a_space_stays_one_word(tmp_path: Path) -> None:
    typed: list[list[str]] = []

    def run_command(words: list[str]) -> int:
        typed.append(words)
        return 0

    demo = Demo(tmp_path / "with space", run_command)
    demo._type("apply", str(demo.home / "plan.json"), "--reason", "demo")
    assert typed == [["apply", str(demo.home / "plan.json"), "--reason", "demo"]]


@pytest.mark.parametrize("code", [INTERRUPTED, BROKEN_PIPE])
def test_it_ends_as_a_command_that_was_ended_from_outside(tmp_path: Path, code: int) -> None:
    demo = Demo(tmp_path, lambda _words: code)
    with pytest.raises(SystemExit) as ended:
        demo._type("captures list")
    assert ended.value.code == code


def test_a_command_that_fails_fails_the_demo(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="`rederive captures list` ended with 1"):
        Demo(tmp_path, lambda _words: 1)._type("captures list")
