"""A shipped domain can be taken out: its folders, its entry point, its contract; nothing else notices.

Migrations that once made its tables stay: they are history.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis.configuration import storage_directory

from tests.services import ROOT

FORMULAS = {
    "betfair": ["test_process.py", "test_buckets.py"],
    "finra": ["test_partition.py", "test_versions.py"],
    "racing": ["test_rules.py"],
}
"""Of each shipped domain quick tests of its formulas, in its folder of tests/."""

GENERIC = ["tests/engine/test_engine.py", "tests/test_wire.py", "tests/test_main.py", "tests/test_generic_code.py"]
"""Tests that need no service; those of them that name the domain are left out."""

OF_IT = {"betfair": "bet or null-audit or spot-check", "finra": "finra or rejects", "racing": "racing"}
"""What names of generic tests hold that ask for a domain's own commands."""

OF_NONE = "interrupt or reader or written or closed or escaped"
"""What names of generic tests hold that look at signals and streams, where no domain has a part."""

_IMPORT_ALL = """
import importlib, pathlib
for package in ("schemas", "store", "producers", "processors", "sinks", "rederive"):
    for path in sorted(pathlib.Path(package).rglob("*.py")):
        if path.stem != "env" and path.stem != "__main__":
            importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
from rederive import domains
print(*(domain.name for domain in domains.usable()))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what git knows or would add."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            target = tmp_path / "checkout" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    return tmp_path / "checkout"


def _take_out(checkout: Path, domain: str) -> None:
    folders = list(checkout.glob(f"*/{domain}"))
    assert {folder.parent.name for folder in folders} == {
        "schemas", "producers", "processors", "rederive", "samples", "tests"
    }  # fmt: skip
    for folder in folders:
        shutil.rmtree(folder)
    project = checkout / "pyproject.toml"
    blocks = re.split(r"\n(?=\[)", project.read_text())
    left = [block for block in blocks if f'protected_modules = ["*.{domain}"]' not in block]
    assert len(left) == len(blocks) - 1
    lines = "\n".join(left).splitlines(keepends=True)
    project.write_text("".join(line for line in lines if not re.match(rf'("samples\.)?{domain}"? = ', line)))
    assert domain not in project.read_text()


def _run(checkout: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("REDERIVE_", "PYTEST_"))}
    # each command has what those before it have compiled
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment |= {"PYTHONPATH": str(checkout), "REDERIVE_HOME": str(checkout / "home")}
    # what Hypothesis has found out about all of Unicode takes it seconds
    environment |= {"HYPOTHESIS_STORAGE_DIRECTORY": str(storage_directory())}
    done = subprocess.run(
        [sys.executable, *words], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("domain", sorted(FORMULAS))
def test_everything_else_works_without_a_shipped_domain(checkout: Path, domain: str) -> None:
    _take_out(checkout, domain)
    others = sorted({*FORMULAS} - {domain})
    assert _run(checkout, "-c", _IMPORT_ALL).split() == others
    assert "replay-topic" in _run(checkout, "-m", "rederive", "--help")
    offered = _run(checkout, "-m", "rederive", "replay", "--help")
    assert [name for name in FORMULAS if re.search(rf"\b{name}\b", offered, re.IGNORECASE)] == others
    formulas = [f"tests/{other}/{name}" for other in others for name in FORMULAS[other]]
    pytest_words = [
        "-n",
        "0",
        "-q",
        "-p",
        "no:cacheprovider",
        "--hypothesis-profile",
        "few",
        "-m",
        "not services",
        "-k",
        f"not ({OF_IT[domain]} or {OF_NONE})",
    ]
    _run(checkout, "-m", "pytest", *pytest_words, *GENERIC, *formulas)
