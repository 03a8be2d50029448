"""Ticks of the ladders' best levels, read for 15-minute buckets (betfair spec, section 10).

Somebody else stores them, in `stream_ingest.ladder_levels`; where that table isn't there, there are none.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection

from processors.betfair.buckets import BUCKET, Medians, Tick, medians

LADDERS = "stream_ingest.ladder_levels"
LIQUIDITY = "stream_ingest.market_liquidity_history"

_BEST = "market_id = %(market)s AND level = 0 AND price IS NOT NULL AND size IS NOT NULL"


def are_there(connection: Connection, table: str = LADDERS) -> bool:
    """Whether somebody stores ticks."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return row is not None and bool(row[0])


def floor(moment: datetime) -> datetime:
    """The start of the bucket that a moment is in."""
    utc = moment.astimezone(UTC)
    return utc.replace(minute=utc.minute - utc.minute % 15, second=0, microsecond=0)


def starts(first: datetime, last: datetime) -> list[datetime]:
    """The buckets that begin from `first` on and before `last`."""
    at = floor(first)
    if at < first:
        at += BUCKET
    found = []
    while at < last:
        found.append(at)
        at += BUCKET
    return found


@dataclass(frozen=True, slots=True)
class Series:
    """Ticks of one side of one selection, ascending."""

    ticks: list[Tick] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)

    def add(self, tick: Tick) -> None:
        """Take in the next one."""
        self.ticks.append(tick)
        self.times.append(tick.time)

    def at(self, moment: datetime) -> Tick | None:
        """The newest tick up to a moment."""
        place = bisect_right(self.times, moment)
        return self.ticks[place - 1] if place else None

    def medians(self, start: datetime, now: datetime) -> Medians:
        """Of the bucket that begins at `start`."""
        # Only the newest of those before counts.
        first = max(0, bisect_right(self.times, start) - 1)
        return medians(self.ticks[first : bisect_right(self.times, start + BUCKET)], start, now)


@dataclass(frozen=True, slots=True)
class Ticks:
    """What is known of a market: by selection and side (B, L), and the volume matched, ascending by time."""

    series: Mapping[tuple[int, str], Series]
    volumes: Series

    def of(self, selection: int | None, side: str) -> Series:
        """The ticks of a side; none of what isn't known."""
        return self.series.get((-1 if selection is None else selection, side), Series())

    def count(self, selections: Sequence[int], start: datetime) -> int:
        """Ticks of the back sides within the bucket that begins at `start`, its end excluded."""
        found = 0
        for one in selections:
            times = self.of(one, "B").times
            found += bisect_left(times, start + BUCKET) - bisect_left(times, start)
        return found


def read(
    connection: Connection, market: str, selections: Sequence[int], first: datetime, last: datetime,
    lookback: timedelta | None,
) -> Ticks:  # fmt: skip
    """The best levels from bucket `first` until `last`, and the newest one before, no older than `lookback`."""
    series: dict[tuple[int, str], Series] = defaultdict(Series)
    told: dict[str, Any] = {
        "market": market,
        "selections": list(selections),
        "first": first,
        "last": last,
        "oldest": None if lookback is None else first - lookback,
    }
    rows = connection.execute(
        f"""SELECT b.* FROM unnest(%(selections)s::int8[]) AS s(id), unnest(ARRAY['B', 'L']) AS o(side),
               LATERAL (SELECT selection_id, side, publish_time, price, size FROM {LADDERS}
                        WHERE {_BEST} AND selection_id = s.id AND side = o.side AND publish_time <= %(first)s
                          AND publish_time >= coalesce(%(oldest)s, '-infinity'::timestamptz)
                        ORDER BY publish_time DESC LIMIT 1) b
            UNION ALL
            (SELECT selection_id, side, publish_time, price, size FROM {LADDERS}
             WHERE {_BEST} AND selection_id = ANY(%(selections)s) AND publish_time > %(first)s
               AND publish_time <= %(last)s ORDER BY publish_time)""",
        told,
    )
    for selection, side, time, price, size in rows:
        series[selection, side].add(Tick(time, float(price), float(size)))
    return Ticks(series, _volumes(connection, told))


def _volumes(connection: Connection, told: Mapping[str, Any]) -> Series:
    series = Series()
    if are_there(connection, LIQUIDITY):
        rows = connection.execute(
            f"""(SELECT publish_time, total_matched FROM {LIQUIDITY}
                 WHERE market_id = %(market)s AND publish_time <= %(first)s ORDER BY publish_time DESC LIMIT 1)
                UNION ALL
                (SELECT publish_time, total_matched FROM {LIQUIDITY}
                 WHERE market_id = %(market)s AND publish_time > %(first)s AND publish_time <= %(last)s
                 ORDER BY publish_time)""",
            told,
        )
        for time, matched in rows:
            if matched is not None:
                series.add(Tick(time, 0.0, float(matched)))
    return series


def with_ticks(connection: Connection, market: str, selections: Sequence[int]) -> list[datetime]:
    """The buckets with a tick of the best back level of any of the selections, ascending."""
    rows = connection.execute(
        f"""SELECT DISTINCT date_bin('15 minutes', publish_time, '2000-01-01 00:00:00+00') FROM {LADDERS}
            WHERE {_BEST} AND selection_id = ANY(%(selections)s) AND side = 'B' ORDER BY 1""",
        {"market": market, "selections": list(selections)},
    )
    return [start for (start,) in rows]
