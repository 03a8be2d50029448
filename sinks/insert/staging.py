"""Derived rows made ready to be inserted: as binary COPY takes them. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from schemas import arrow
from schemas.outcome import TableRows
from schemas.table import Table
from sinks.encoding import encoded


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as binary COPY takes them, `names` are their columns."""

    names: str
    encoding: Sequence[bytes]


class Inserted:
    """Rows of one table, of blocks that each have their unit's number in the batch.

    `together` are all of them, by the columns that they have; `rows` is how many each unit has brought. An observation
    that is no column of the table is left out. ValueError when a block doesn't fit the table.
    """

    def __init__(self, table: Table, blocks: Sequence[tuple[int, TableRows]]) -> None:
        own = {column.name for column in (*table.key, *table.columns)}
        self.rows: Counter[int] = Counter()
        self._blocks: list[tuple[int, pa.RecordBatch]] = []
        by_columns = defaultdict(list)
        for unit, block in blocks:
            rows = arrow.fitted(table, block.batch)
            rows = rows.select([name for name in rows.schema.names if name in own])
            if rows.num_rows:
                self.rows[unit] += rows.num_rows
                self._blocks.append((unit, rows))
                by_columns[tuple(rows.schema.names)].append(rows)
        self.together = [_encoded(pa.concat_batches(batches)) for batches in by_columns.values()]

    def alone(self) -> Iterator[tuple[int, Encoded]]:
        """The rows of each block by themselves, with its unit."""
        for unit, rows in self._blocks:
            yield unit, _encoded(rows)


def _encoded(rows: pa.RecordBatch) -> Encoded:
    return Encoded(", ".join(rows.schema.names), encoded(rows))
