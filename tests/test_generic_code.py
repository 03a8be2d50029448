"""Generic code names no domain, and what the engine's own tables hold is asked in one place.

Looked at are the paths of modules, identifiers and strings; not docstrings and comments, whose examples name a domain.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from rederive import domains
from tests.services import ROOT

PACKAGES = ("schemas", "store", "producers", "processors", "sinks", "rederive")

EXAMPLES = {
    "rederive/cli/captures.py": ["As `rederive captures list` shows it, such as betfair-20260213-7; or latest, or "],
    "rederive/cli/replay.py": ["`rederive plan betfair > plan.json` makes one"],
    "rederive/cli/running.py": ["A domain, such as betfair."],
    "rederive/plans.py": ["`rederive plan betfair > plan.json` makes one"],
}
"""What help texts and messages begin with that show a person one domain's words as an example."""

HISTORY = "schemas/migrations/"
"""Migrations made the tables of domains before domains made their own; what they did stays done."""

JOINS = {
    "sinks/merge/statements.py": "the place of a history's entry is its capture's number and mode, row by row",
    "sinks/merge/folding.py": "the same, for the fold over all entries of a key",
    "producers/betfair/computed.py": "millions of snapshots are joined with the captures and units that read them",
}
"""Modules outside store/ whose statements join the engine's own tables, each with the reason."""

_ENGINES = re.compile(r"\brederive\.(captures|units|origins|problems)\b")


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module by its path."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), _parsed(path)


def _generic() -> Iterator[tuple[str, ast.Module]]:
    """The modules that belong to no domain."""
    for path, module in _modules():
        if not path.startswith(HISTORY) and Path(path).parts[1] not in domains.names():
            yield path, module


def _docstrings(module: ast.Module) -> set[int]:
    """The nodes of docstrings, those below a constant or a field included."""
    return {
        id(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def _strings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """The strings that are no docstrings, with their lines."""
    docstrings = _docstrings(module)
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def _identifiers(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        for field in ("id", "attr", "arg", "name", "asname", "module", "rest"):
            found = getattr(node, field, None)
            if isinstance(found, str):
                yield getattr(node, "lineno", 0), found


def _words() -> re.Pattern[str]:
    """The names of the shipped domains, anywhere, and what the names of their tables begin with."""
    tables = {name for one in domains.shipped() for name in (*one.inputs, *(table.name for table in one.tables))}
    # some are the engine's own, which a domain needs too
    beginnings = {name.split("_")[0] for name in tables if not name.startswith("rederive.")}
    names = [one.name for one in domains.shipped()]
    return re.compile("|".join([*names, *(rf"\b{beginning}_" for beginning in sorted(beginnings))]), re.IGNORECASE)


def test_generic_code_names_no_domain() -> None:
    words = _words()
    found = []
    for path, module in _generic():
        allowed = tuple(EXAMPLES.get(path, ()))
        said = [(line, text) for line, text in _strings(module) if not (allowed and text.startswith(allowed))]
        found += [
            f"{path}:{line}: {text!r}" for line, text in [(0, path), *said, *_identifiers(module)] if words.search(text)
        ]
    assert found == []


def test_no_example_is_listed_that_is_not_there() -> None:
    modules = dict(_generic())
    for path, texts in EXAMPLES.items():
        strings = [text for _, text in _strings(modules[path])]
        for text in texts:
            assert any(one.startswith(text) for one in strings), (path, text)


def test_the_engines_tables_are_asked_in_the_store() -> None:
    found = {
        path
        for path, module in _modules()
        for _, text in _strings(module)
        if _ENGINES.search(text) and not path.startswith(("store/", HISTORY))
    }
    assert found == set(JOINS)
