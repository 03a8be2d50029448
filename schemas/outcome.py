"""The outcome: what became of one unit. Every unit has exactly one, with zero rows too (docs/records.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from schemas.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

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
    """Derived rows of one table from one source, as an Arrow record batch (schemas/arrow.py says the types).

    The batch's fields are columns of the table, or its observation. Columns that nothing is said of are left out:
    absent is not null. `source` is an index into the table's sources.
    """

    table: str
    batch: "pa.RecordBatch"
    source: int = 0

    @classmethod
    def of(
        cls,
        table: Table,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        source: int = 0,
        shared: Mapping[str, Any] | None = None,
    ) -> "TableRows":
        """Rows of Python values in the order of `columns`; `shared` are further columns of one value for all rows.

        Times may be ISO 8601 text. ValueError when a column is unknown or can't hold a value: then nothing can be made
        of the unit.
        """
        from schemas import arrow

        return cls(table.name, arrow.batch(table, columns, rows, shared), source)

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the batch's columns."""
        return tuple(self.batch.schema.names)

    def rows(self) -> list[list[Any]]:
        """The rows one by one, for readers: values as JSON has them, times as ISO 8601 text."""
        from schemas import arrow

        return arrow.python_rows(self.batch)


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
