"""Rows of one table folded to one a key, as the sinks fold those of one capture (racing spec, section 6)."""

from collections.abc import Iterator
from typing import Any

from processors.racing.rows import Block
from schemas.outcome import Key
from schemas.precedence import rank
from schemas.table import Table

_Entry = tuple[str, int, dict[str, Any]]
"""When it was observed (ISO 8601 in UTC), its source, and its values by column."""


class Fold:
    """Gathers blocks of one table, whose observations are ISO 8601 texts in UTC."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._key = [column.name for column in table.key]
        self._entries: dict[Key, list[_Entry]] = {}

    def add(self, block: Block) -> None:
        """Take rows; of the same source and observation a later row's values come before an earlier one's."""
        for row in block.rows:
            values = dict(zip(block.columns, row, strict=True))
            key = tuple(values[name] for name in self._key)
            self._entries.setdefault(key, []).append((values[self._table.observed], block.source, values))

    def rows(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Key and merged columns by name, all of them, in the order of the keys."""
        groups = {name: group for group in self._table.groups for name in group}
        for key, entries in sorted(self._entries.items(), key=lambda item: item[0]):
            ranked: dict[tuple[int, ...], list[dict[str, Any]]] = {}
            row: dict[str, Any] = {}
            for column in self._table.columns:
                if (found := ranked.get(column.owners)) is None:
                    found = ranked[column.owners] = _ranked(entries, column.owners)
                row[column.name] = _top(found, column.name, groups.get(column.name, (column.name,)))
            yield dict(zip(self._key, key, strict=True)), row


def _ranked(entries: list[_Entry], owners: tuple[int, ...]) -> list[dict[str, Any]]:
    """Values of the entries, the highest first; of equal ones that which came later."""
    return [entry[2] for entry in sorted(entries, key=lambda entry: rank(entry[0], entry[1], owners))][::-1]


def _top(ranked: list[dict[str, Any]], name: str, group: tuple[str, ...]) -> Any:  # noqa: ANN401
    """A column's value: that of the first in which any of its group says something."""
    for values in ranked:
        if any(values.get(each) is not None for each in group):
            return values.get(name)
    return None
