"""Betfair's rows of a contest: stored snapshots, their bare derived rows, and whether these have been filled alike."""

import hashlib

import psycopg

from samples.betfair.load import derive_bare_rows, load
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import METRICS

_COMPARED = ("snapshot_id", "snapshot_at", "market_id", "depth_limit", "calculation_version", *METRICS)


def fill(url: str, rows: int) -> None:
    """Fresh tables with `rows` full-depth snapshots, each with a derived row of NULLs."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE market_event_metadata CASCADE")
        world = Synthetic()
        load(connection, world.metadata(), world.snapshots(rows))
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
