"""Provenance: which parts of a record's payload a derived value was computed from, and which it wasn't, and why.

A domain's part `provenance` (schemas/domain.py) is a pure function of a record's value and a `Wanted` that gives a
`Traced`, or None when the record gives no such row. It writes no formula again: what is traced holds just the inputs,
and the domain's own `process` computes the value from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value: of a table, of a row's key by column, of one column.

    Values of the key are as JSON has them, times as ISO 8601 text. `source` is the kind of payload that wrote it, an
    index into the table's sources; `observed` when that was observed, ISO 8601 text in UTC, None where it isn't known.
    """

    table: str
    key: Mapping[str, Any]
    column: str
    source: int = 0
    observed: str | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """A part of a payload: its path, its value, and whether the formula used it; `note` says why, or why not.

    The path leads from line `line` (the first is 1) of the record's value: names joined by `.`, places of a list in
    brackets, from 0: `raw_payload.runners[2].ex.availableToBack[0]`. An empty one means the whole line.
    """

    path: str
    value: Any
    used: bool = True
    note: str = ""
    line: int = 1


@dataclass(frozen=True, slots=True)
class Traced:
    """The inputs of a value, and a record's value that holds those used and nothing else.

    `reason` says in words why the payload gives no value, where that is known.
    """

    inputs: tuple[Input, ...]
    record: bytes
    reason: str = ""
