"""Five checkpoints of one market (betfair spec, section 8.2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

from rederive.reports.columns import listed
from rederive.reports.market import Market, find_market, kickoff_of, no_snapshot
from schemas.betfair import SCOPES, readable

TARGETS: tuple[tuple[str, timedelta], ...] = (
    ("T-6h", timedelta(hours=-6)),
    ("T-1h", timedelta(hours=-1)),
    ("Kickoff", timedelta(0)),
    ("Mid-match", timedelta(minutes=47)),
    ("Final 15 min", timedelta(minutes=85)),
)
"""Time points and their distance from kickoff."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The snapshot nearest to `target`; `distance_seconds` is how much later it is than that, negative when earlier."""

    name: str
    target: datetime
    snapshot_id: int
    snapshot_at: datetime
    distance_seconds: float
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The five checkpoints of a market, in order of time points."""

    market: Market
    columns: tuple[str, ...]
    points: tuple[Checkpoint, ...]


def checkpoints(connection: psycopg.Connection, market_id: str, columns: Sequence[str] = SCOPES["l3"]) -> Checkpoints:
    """For each time point the market's nearest snapshot, however far; of two equally near the earlier, then lower id.

    A snapshot without a value there, or without a derived row, is eligible and gives None. Failed when the market is
    unknown, has no kickoff or no snapshot.
    """
    market = find_market(connection, market_id)
    kickoff = kickoff_of(market)
    query = sql.SQL("""
        SELECT s.snapshot_id, s.snapshot_at, {values}
        FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
        WHERE s.market_id = %(market)s AND {dated}
        ORDER BY greatest(s.snapshot_at - %(target)s, %(target)s - s.snapshot_at), s.snapshot_at, s.snapshot_id
        LIMIT 1
    """).format(values=listed(columns, "d"), dated=sql.SQL(readable("s")))
    points = []
    for name, offset in TARGETS:
        target = kickoff + offset
        row = connection.execute(query, {"market": market_id, "target": target}).fetchone()
        if row is None:
            raise no_snapshot(connection, market)
        points.append(
            Checkpoint(
                name=name,
                target=target,
                snapshot_id=row[0],
                snapshot_at=row[1],
                distance_seconds=(row[1] - target).total_seconds(),
                values=dict(zip(columns, row[2:], strict=True)),
            )
        )
    return Checkpoints(market, tuple(columns), tuple(points))
