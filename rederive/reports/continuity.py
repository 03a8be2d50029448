"""Continuity and completeness of one market (betfair spec, section 8.3)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString, TypeVar

import psycopg
from psycopg.rows import class_row

from rederive.reports.market import Market, find_market, no_snapshot
from schemas.betfair import readable

LONGEST_INTERVAL = timedelta(minutes=15)
WINDOW = timedelta(hours=6)
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Intervals:
    """The market's snapshots and the seconds between one and the next, to 1 decimal; None with a single snapshot."""

    snapshots: int
    first: datetime
    last: datetime
    shortest: float | None
    longest: float | None
    mean: float | None


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval of strictly more than 15 minutes.

    `period` is PRE-KICKOFF (ends by kickoff), IN-PLAY (starts at kickoff or later) or BRIDGE; None without a kickoff.
    """

    start: datetime
    end: datetime
    seconds: float
    period: str | None


@dataclass(frozen=True, slots=True)
class Completeness:
    """Over the market's derived rows: how many lack what. `without_row` snapshots have no derived row."""

    rows: int
    without_row: int
    null_book_risk: int
    missing_home_l2: int
    missing_home_l3: int
    null_total_volume: int


@dataclass(frozen=True, slots=True)
class Window:
    """Snapshots from six hours before kickoff to kickoff, both included.

    `last_hour` of them lie in its last hour, `full_book_risk` have all three book risks, `home_l1` a home best back
    size above 0.
    """

    start: datetime
    end: datetime
    snapshots: int
    last_hour: int
    full_book_risk: int
    home_l1: int


@dataclass(frozen=True, slots=True)
class Continuity:
    """How gapless and how complete a market is stored; `window` is None without a kickoff."""

    market: Market
    intervals: Intervals
    gaps: tuple[Gap, ...]
    completeness: Completeness
    window: Window | None


_INTERVALS = """
SELECT count(*) AS snapshots, min(snapshot_at) AS first, max(snapshot_at) AS last,
       round(extract(epoch FROM min(passed)), 1)::float8 AS shortest,
       round(extract(epoch FROM max(passed)), 1)::float8 AS longest,
       round(extract(epoch FROM max(snapshot_at) - min(snapshot_at)) / nullif(count(*) - 1, 0), 1)::float8 AS mean
FROM (SELECT snapshot_at, snapshot_at - lag(snapshot_at) OVER (ORDER BY snapshot_at, snapshot_id) AS passed
      FROM market_book_snapshots s WHERE market_id = %(market)s AND DATED) timed
""".replace("DATED", readable("s"))

_GAPS = """
SELECT start, "end", extract(epoch FROM "end" - start)::float8 AS seconds,
       CASE WHEN %(kickoff)s::timestamptz IS NULL THEN NULL
            WHEN start >= %(kickoff)s THEN 'IN-PLAY'
            WHEN "end" <= %(kickoff)s THEN 'PRE-KICKOFF'
            ELSE 'BRIDGE' END AS period
FROM (SELECT lag(snapshot_at) OVER (ORDER BY snapshot_at, snapshot_id) AS start, snapshot_at AS "end"
      FROM market_book_snapshots s WHERE market_id = %(market)s AND DATED) timed
WHERE "end" - start > %(longest)s
ORDER BY start
""".replace("DATED", readable("s"))

_COMPLETENESS = """
SELECT count(d.snapshot_id) AS rows, count(*) - count(d.snapshot_id) AS without_row,
       count(d.snapshot_id) FILTER (WHERE d.home_book_risk_l3 IS NULL OR d.away_book_risk_l3 IS NULL
                                       OR d.draw_book_risk_l3 IS NULL) AS null_book_risk,
       count(d.snapshot_id) FILTER (WHERE d.home_back_odds_l2 IS NULL OR d.home_back_size_l2 IS NULL)
           AS missing_home_l2,
       count(d.snapshot_id) FILTER (WHERE d.home_back_odds_l3 IS NULL OR d.home_back_size_l3 IS NULL)
           AS missing_home_l3,
       count(d.snapshot_id) FILTER (WHERE d.total_volume IS NULL) AS null_total_volume
FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
WHERE s.market_id = %(market)s
"""

_WINDOW = """
SELECT %(start)s::timestamptz AS start, %(kickoff)s::timestamptz AS "end",
       count(*) AS snapshots,
       count(*) FILTER (WHERE s.snapshot_at >= %(hour)s) AS last_hour,
       count(*) FILTER (WHERE d.home_book_risk_l3 IS NOT NULL AND d.away_book_risk_l3 IS NOT NULL
                          AND d.draw_book_risk_l3 IS NOT NULL) AS full_book_risk,
       count(*) FILTER (WHERE d.home_best_back_size_l1 > 0) AS home_l1
FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
WHERE s.market_id = %(market)s AND s.snapshot_at BETWEEN %(start)s AND %(kickoff)s
"""


def continuity(connection: psycopg.Connection, market_id: str) -> Continuity:
    """The market's intervals, gaps and completeness; Failed when it is unknown or has no snapshot."""
    market = find_market(connection, market_id)
    kickoff = market.kickoff
    names: dict[str, object] = {"market": market_id, "kickoff": kickoff, "longest": LONGEST_INTERVAL}
    if connection.execute("SELECT FROM market_book_snapshots WHERE market_id = %s LIMIT 1", (market_id,)).rowcount == 0:
        raise no_snapshot(connection, market)
    return Continuity(
        market=market,
        intervals=_one(connection, Intervals, _INTERVALS, names),
        gaps=_gaps(connection, names),
        completeness=_one(connection, Completeness, _COMPLETENESS, names),
        window=None
        if kickoff is None
        else _one(
            connection, Window, _WINDOW, {**names, "start": kickoff - WINDOW, "hour": kickoff - timedelta(hours=1)}
        ),
    )


def _gaps(connection: psycopg.Connection, names: dict[str, object]) -> tuple[Gap, ...]:
    with connection.cursor(row_factory=class_row(Gap)) as cursor:
        return tuple(cursor.execute(_GAPS, names))


def _one(connection: psycopg.Connection, kind: type[_Row], query: LiteralString, names: dict[str, object]) -> _Row:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        found = cursor.execute(query, names).fetchone()
        assert found is not None
        return found
