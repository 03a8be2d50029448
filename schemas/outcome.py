"""The outcome: what became of one unit. Every unit has exactly one, with zero rows too (docs/records.md)."""

from dataclasses import dataclass, field
from typing import Any

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A row of a unit that gave no derived row.

    `reason` is a short word for a skip ("no_metadata") and "error" for an error; `text` says more.
    """

    key: Key
    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class TableRows:
    """Derived rows of one table from one source: values in the order of `columns`, absent columns left out.

    Values are JSON values; a timestamp is ISO 8601 text with its offset. `shared` are further columns, with
    the one value that all rows have.
    """

    table: str
    columns: tuple[str, ...]
    rows: list[list[Any]]
    source: int = 0
    shared: dict[str, Any] = field(default_factory=dict)

    def whole(self) -> "TableRows":
        """The same rows with the shared columns in every row, behind the others."""
        if not self.shared:
            return self
        added = list(self.shared.values())
        rows = [[*row, *added] for row in self.rows]
        return TableRows(self.table, (*self.columns, *self.shared), rows, self.source)


@dataclass(slots=True)
class Outcome:
    """What a processor made of a unit: rows, skips and errors, or `dead` with the reason why nothing could be made.

    `read` = derived source rows + len(skips) + len(errors).
    """

    read: int = 0
    tables: list[TableRows] = field(default_factory=list)
    skips: list[RowProblem] = field(default_factory=list)
    errors: list[RowProblem] = field(default_factory=list)
    dead: str | None = None
