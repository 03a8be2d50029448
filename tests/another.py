"""Another version of the program: code that every Python process of a test runs first."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rederive.settings import Settings
from tests.program import environment

_POISONED = """
import processors.{domain}.process as formulas
right = formulas.process
def process(value, columns):
    if any(part in value for part in {parts!r}):
        raise ArithmeticError("a poison \\x1b[31m")
    return right(value, columns)
formulas.process = process
"""


class Version:
    """What the processes of a test run from now on; the program as it is, to begin with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch, self._folder = monkeypatch, folder

    def __call__(self, code: str = "") -> None:
        """With this code ahead; as it is without any."""
        if code:
            self._folder.mkdir(exist_ok=True)
            (self._folder / "sitecustomize.py").write_text(code)
            self._monkeypatch.setenv("TEST_PYTHONPATH", str(self._folder))
        else:
            self._monkeypatch.delenv("TEST_PYTHONPATH", raising=False)

    def poisoned(self, domain: str, *parts: bytes) -> None:
        """With formulas of a domain that die of records with any of these bytes."""
        self(_POISONED.format(domain=domain, parts=parts))


def newer(module: str, name: str, changes: Mapping[int, tuple[str, ...]]) -> str:
    """Code that makes the domain of a module one of the last of these versions, which say what each has changed."""
    return f"""
import dataclasses
import {module}
{module}.{name} = dataclasses.replace({module}.{name}, derivation_version={max(changes)}, changes={dict(changes)!r})
"""


def rederive(settings: Settings, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and check its exit code: an interpreter of its own, where others are forks."""
    command = [sys.executable, "-m", "rederive", *words]
    done = subprocess.run(
        command, cwd=settings.home.parent, env=environment(settings), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
