"""A report's figures as tables: what it prints as JSON, as polars frames by name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import polars

MAIN = "report"
"""The name of a report's table where it gives no other."""


def frames(document: object) -> "dict[str, polars.DataFrame]":
    """Tables by name, lists of rows first, then single figures as tables of one row; rows that are empty have none.

    What is nested in a cell comes to be columns where it has names, and JSON text where it has none.
    """
    found = [(name, _rows(rows)) for name, rows in _tables(_plain(document), "")]
    # What is listed is what a report is about.
    found.sort(key=lambda one: one[0].startswith(_SINGLE))
    return {name.removeprefix(_SINGLE) or MAIN: _frame(rows) for name, rows in found}


_SINGLE = "\0"


def _plain(value: object) -> Any:  # noqa: ANN401 - whatever a report holds
    """Dataclasses and tuples with names as dicts, what is listed as lists, all that polars knows as it is."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(_plain(name)): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: _plain(one) for name, one in zip(value._fields, value, strict=True)}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(one) for one in value]
    return value.value if isinstance(value, Enum) else value


def _tables(value: Any, name: str) -> Iterator[tuple[str, list[Any]]]:  # noqa: ANN401 - a report, or a part of it
    if isinstance(value, list):
        yield name, value
        return
    if not isinstance(value, dict):
        yield _SINGLE + name, [{name or "value": value}]
        return
    if single := {key: one for key, one in value.items() if not isinstance(one, list | dict)}:
        yield _SINGLE + name, [single]
    for key, one in value.items():
        if isinstance(one, list | dict):
            yield from _tables(one, f"{name}.{key}" if name else key)


def _rows(rows: list[Any]) -> list[dict[str, Any]]:
    """Rows as dicts of cells: columns of what has no names are numbered, a single one is the value."""
    named = [
        row if isinstance(row, dict) else dict(_numbered(row)) if isinstance(row, list) else {"value": row}
        for row in rows
    ]
    own = {name for row in named for name, cell in row.items() if not isinstance(cell, dict)}
    return [dict(_cells(row, own)) for row in named]


def _numbered(row: list[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"column_{number}", cell) for number, cell in enumerate(row, start=1))


def _cells(row: Mapping[str, Any], own: set[str], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, cell in row.items():
        named = f"{above}.{name}" if above and name in own else name
        if isinstance(cell, dict):
            yield from _cells(cell, own, named)
        elif isinstance(cell, list):
            yield named, orjson.dumps(cell, default=str).decode()
        else:
            yield named, cell


def _frame(rows: list[dict[str, Any]]) -> "polars.DataFrame":
    import polars

    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return polars.DataFrame([_column(polars.Series, polars.String, name, cells) for name, cells in columns.items()])


def _column(series: "type[polars.Series]", text: "type[polars.String]", name: str, cells: list[Any]) -> "polars.Series":
    """Of the type that all cells have; text where they have several."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds <= {int, float} and float in kinds:
        return series(name, [None if cell is None else float(cell) for cell in cells])
    if kinds == {int} and any(abs(cell) >= 2**63 for cell in cells if cell is not None):
        return series(name, [None if cell is None else Decimal(cell) for cell in cells])
    if len(kinds) == 1:
        return series(name, cells)
    # Without any cell too: other programs know no column of no type.
    return series(name, [None if cell is None else str(cell) for cell in cells], dtype=text)
