"""Another version of the program: what every Python process of a test runs first."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rederive.settings import Settings
from tests.program import environment


def replaced(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Every interpreter of the test runs `code` first: another version of the program.

    Workers are such, and the commands that `rederive` here runs.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("TEST_PYTHONPATH", str(folder))


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
