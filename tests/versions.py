"""Another version of the program: what every Python process of a test runs first."""

from pathlib import Path

import pytest


def replaced(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Every Python process of the test runs `code` first: another version of the program."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("TEST_PYTHONPATH", str(folder))


def newer(module: str, name: str, changes: dict[int, tuple[str, ...]]) -> str:
    """Code that makes the domain of a module one of the last of these versions, which say what each has changed."""
    return f"""
import dataclasses
import {module}
{module}.{name} = dataclasses.replace({module}.{name}, derivation_version={max(changes)}, changes={changes!r})
"""
