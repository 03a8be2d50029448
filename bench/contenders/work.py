"""What all contenders do alike: the rows they read, the formulas, how they fill."""

import os
from collections.abc import Iterator, Sequence
from typing import LiteralString

import psycopg
import pyarrow as pa

from processors.betfair.process import process
from producers.betfair.snapshots import snapshot_line
from schemas.betfair.tables import METRICS
from sinks.copying import copy
from sinks.encoding import encoded

PAGE_ROWS = 5_000
"""Rows of a page, a transaction and a COPY, as a sink's batch has by default."""

UNIT_ROWS = 500
"""Snapshots that are computed at once, about as many as a unit has: more are no faster."""

COLUMNS = ("calculation_version", *METRICS)
"""The columns that are filled."""

_SELECT: LiteralString = """
    SELECT s.snapshot_id, s.snapshot_at, s.market_id, convert_to(s.raw_payload::text, 'UTF8'),
           m.home_selection_id, m.away_selection_id, m.draw_selection_id
    FROM market_book_snapshots s
    JOIN market_derived_metrics d USING (snapshot_id)
    LEFT JOIN market_event_metadata m ON m.market_id = s.market_id
    WHERE s.snapshot_id BETWEEN %s AND %s AND num_nulls({}) > 0
    ORDER BY s.snapshot_id"""

_STAGE = "bench_stage"


def connect() -> psycopg.Connection:
    """A connection to the database that the environment names, as rederive's workers find it."""
    return psycopg.connect(os.environ["REDERIVE_DATABASE_URL"])


def ids(connection: psycopg.Connection) -> tuple[int, int]:
    """The first snapshot's id and the last one's; (0, -1) when there is none."""
    row = connection.execute("SELECT coalesce(min(snapshot_id), 0), coalesce(max(snapshot_id), -1) "
                             "FROM market_book_snapshots").fetchone()  # fmt: skip
    assert row is not None
    return row[0], row[1]


def pages(connection: psycopg.Connection, first: int, last: int, rows: int = PAGE_ROWS) -> Iterator[list[bytes]]:
    """Snapshots with a NULL among their figures, from one id to another: each as one JSON line, payloads unparsed.

    On a connection of its own: a page is read while others commit.
    """
    with connection.cursor("bench", binary=True) as cursor:
        cursor.execute(_SELECT.format(", ".join(f"d.{name}" for name in METRICS)), [first, last])
        while page := cursor.fetchmany(rows):
            yield [snapshot_line(row) for row in page]


def compute(lines: Sequence[bytes]) -> Iterator[pa.RecordBatch]:
    """Derived rows of snapshots, by the arrays of `processors.betfair`; ValueError when one can't be derived."""
    for start in range(0, len(lines), UNIT_ROWS):
        outcome = process(b"\n".join(lines[start : start + UNIT_ROWS]), ())
        if outcome.skips or outcome.errors:
            raise ValueError(f"not derived: {outcome.skips or outcome.errors}")
        yield outcome.tables[0].batch


def fill(connection: psycopg.Connection, batches: Sequence[pa.RecordBatch]) -> int:
    """Fill what is NULL with the rows of these batches: binary COPY into a stage, one UPDATE; commits. The rows."""
    rows = together(batches)
    names = rows.schema.names
    connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {_STAGE} ON COMMIT DELETE ROWS "
        f"AS SELECT {', '.join(names)} FROM market_derived_metrics WITH NO DATA"
    )
    copy(connection, _STAGE, ", ".join(names), encoded(rows))
    filled = ", ".join(f"{name} = coalesce(d.{name}, s.{name})" for name in COLUMNS)
    connection.execute(
        f"UPDATE market_derived_metrics d SET {filled} FROM {_STAGE} s WHERE d.snapshot_id = s.snapshot_id"
    )
    connection.commit()
    return int(rows.num_rows)


def update_a_row() -> LiteralString:
    """The UPDATE of one row: placeholders for the values of COLUMNS, then for the id."""
    made = ", ".join(f"{name} = coalesce({name}, %s)" for name in COLUMNS)
    return f"UPDATE market_derived_metrics SET {made} WHERE snapshot_id = %s"


def together(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of several, with what all rows share written out."""
    table = pa.Table.from_batches(batches).combine_chunks()
    return pa.RecordBatch.from_arrays(
        [
            column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
            for column in (each.chunk(0) for each in table.columns)
        ],
        names=table.column_names,
    )
