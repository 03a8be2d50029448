"""Generic code names no domain, and what the engine's own tables hold is asked in one place.

Looked at are the paths of modules, identifiers and strings; not docstrings and comments, whose examples name a domain.
"""

import ast
import re
from dataclasses import dataclass
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
    "rederive/betfair/outdated.py": "the same, for those that newer formulas have looked at",
    "producers/betfair/computed.py": "millions of snapshots are joined with the captures and units that read them",
}
"""Modules outside store/ whose statements join the engine's own tables, each with the reason."""

_NAMES = ("id", "attr", "arg", "name", "asname", "module", "rest")
"""Where nodes of a syntax tree have names."""

_ENGINES = re.compile(r"\brederive\.(captures|units|origins|problems)\b")


@dataclass(frozen=True)
class Module:
    """What a module says, each with its line."""

    path: str
    strings: list[tuple[int, str]]
    identifiers: list[tuple[int, str]]


def _read(path: Path) -> Module:
    docstrings: set[int] = set()
    module = Module(path.relative_to(ROOT).as_posix(), [], [])
    # A statement comes before what it holds.
    for node in ast.walk(ast.parse(path.read_text())):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Expr):
            docstrings.add(id(node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            module.strings.append((line, node.value))
        for field in _NAMES:
            if isinstance(name := getattr(node, field, None), str):
                module.identifiers.append((line, name))
    return module


@cache
def _modules() -> tuple[Module, ...]:
    return tuple(_read(path) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))


def _generic() -> list[Module]:
    """The modules that belong to no domain."""
    shipped = [domain.name for domain in domains.shipped()]
    return [one for one in _modules() if not one.path.startswith(HISTORY) and one.path.split("/")[1] not in shipped]


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
    for module in _generic():
        allowed = tuple(EXAMPLES.get(module.path, ()))
        said = [(line, text) for line, text in module.strings if not (allowed and text.startswith(allowed))]
        said += [(0, module.path), *module.identifiers]
        found += [f"{module.path}:{line}: {text}" for line, text in said if words.search(text)]
    assert found == []


def test_no_example_is_listed_that_is_not_there() -> None:
    strings = {module.path: [text for _, text in module.strings] for module in _generic()}
    gone = [(path, text) for path, listed in EXAMPLES.items() for text in listed
            if not any(one.startswith(text) for one in strings[path])]  # fmt: skip
    assert gone == []


def test_the_engines_tables_are_asked_in_the_store() -> None:
    found = {
        module.path
        for module in _modules()
        if not module.path.startswith(("store/", HISTORY)) and any(_ENGINES.search(text) for _, text in module.strings)
    }
    assert found == {path for path in JOINS if (ROOT / path).exists()}
