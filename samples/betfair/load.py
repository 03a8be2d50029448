"""Put Betfair sample rows into the tables, as ingestion would have left them."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import orjson
from psycopg import Connection

_SNAPSHOT_COLUMNS = ("snapshot_id", "snapshot_at", "market_id", "total_matched", "inplay", "status", "depth_limit")


def _copy(connection: Connection, table: str, columns: Iterable[str], rows: Iterator[tuple[Any, ...]]) -> int:
    count = 0
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def load(connection: Connection, metadata: Iterable[dict[str, Any]], snapshots: Iterable[dict[str, Any]]) -> int:
    """Insert metadata and snapshots by COPY; return the snapshots inserted."""
    markets = iter(metadata)
    first = next(markets, None)
    with connection.transaction():
        if first is not None:
            columns = list(first)
            rows = (tuple(row.get(name) for name in columns) for row in chain([first], markets))
            _copy(connection, "market_event_metadata", columns, rows)
        count = _copy(
            connection,
            "market_book_snapshots",
            [*_SNAPSHOT_COLUMNS, "raw_payload"],
            (
                (*(row.get(name) for name in _SNAPSHOT_COLUMNS), orjson.dumps(row["raw_payload"]).decode())
                for row in snapshots
            ),
        )
        connection.execute(
            "SELECT setval(pg_get_serial_sequence('market_book_snapshots', 'snapshot_id'), max(snapshot_id)) "
            "FROM market_book_snapshots"
        )
    return count


def derive_bare_rows(connection: Connection, *, leave_out_every: int = 0) -> int:
    """Give snapshots a derived row with nothing computed, as an ingester of before the columns were added did.

    Of every `leave_out_every` snapshots one gets no row at all. Returns the rows made.
    """
    return connection.execute(
        """INSERT INTO market_derived_metrics (snapshot_id, snapshot_at, market_id, depth_limit)
           SELECT snapshot_id, snapshot_at, market_id, depth_limit FROM market_book_snapshots
           WHERE %(every)s = 0 OR snapshot_id %% greatest(%(every)s, 1) <> 0
           ON CONFLICT DO NOTHING""",
        {"every": leave_out_every},
    ).rowcount
