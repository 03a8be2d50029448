"""Betfair's rows of a contest: stored snapshots, their bare derived rows, and whether these have been filled alike."""

import hashlib

import psycopg

from samples.betfair.load import derive_bare_rows, load
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import METRICS

_COMPARED = ("snapshot_id", "snapshot_at", "market_id", "depth_limit", "calculation_version", *METRICS)


def fill(url: str, rows: int, distinct: int | None = None) -> None:
    """Fresh tables with `rows` full-depth snapshots, each with a derived row of NULLs.

    Of the payloads `distinct` are made in Python, whole rounds of all markets; the others are these again, at later
    times: a million that Python makes takes longer than their replay.
    """
    world = Synthetic()
    rounds = -(-min(rows, distinct or rows) // world.markets)
    made = rounds * world.markets if distinct else rows
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE market_event_metadata CASCADE")
        load(connection, world.metadata(), world.snapshots(min(rows, made)))
        for turn in range(1, -(-rows // made)):
            connection.execute(
                """INSERT INTO market_book_snapshots (snapshot_id, snapshot_at, market_id, raw_payload,
                       total_matched, inplay, status, depth_limit)
                   SELECT snapshot_id + %(more)s, snapshot_at + %(minutes)s * interval '1 minute', market_id,
                       raw_payload, total_matched, inplay, status, depth_limit
                   FROM market_book_snapshots WHERE snapshot_id <= least(%(made)s, %(rows)s - %(more)s)
                   ORDER BY snapshot_id""",
                {"more": turn * made, "minutes": turn * rounds, "made": made, "rows": rows},
            )
        connection.execute("SELECT setval(pg_get_serial_sequence('market_book_snapshots', 'snapshot_id'), %s)", [rows])
        connection.execute("VACUUM ANALYZE")
    bare(url)


def bare(url: str) -> None:
    """The same snapshots with fresh derived rows of NULLs; no capture and no history."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """TRUNCATE market_derived_metrics, rederive.captures, rederive.origins,
                   rederive.market_derived_metrics_history, rederive.market_derived_metrics_baseline CASCADE"""
        )
        derive_bare_rows(connection)
        connection.execute("VACUUM ANALYZE market_derived_metrics")
        connection.execute("CHECKPOINT")


def digest(url: str) -> str:
    """A hash of all derived rows, to the last bit, without what only rederive writes."""
    found = hashlib.sha256()
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        names = ", ".join(_COMPARED)
        with cursor.copy(f"COPY (SELECT {names} FROM market_derived_metrics ORDER BY snapshot_id) TO STDOUT "
                         "(FORMAT BINARY)") as rows:  # fmt: skip
            for piece in rows:
                found.update(piece)
    return found.hexdigest()
