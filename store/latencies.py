"""The table of latencies: how long it takes until what arrives is visible, by stage, for the last hour."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import Connection
from psycopg.types.json import Jsonb

from schemas.lane import Lane
from store.rows import rows

STAGES = ("found", "computed", "merged", "visible")
"""From not yet committed to sent, from sent to computed, from computed to merged; and all of it."""

_BASE = math.log(1.1)
_SECONDS = 10
_KEPT = "1 hour"


def bin_of(milliseconds: float) -> int:
    """The bin of a duration: bins grow by a tenth, the first is below one millisecond. Clocks may disagree."""
    return math.ceil(math.log(milliseconds) / _BASE) if milliseconds > 1 else 0


def top_of(bin_: int) -> float:
    """The longest duration of a bin, in milliseconds."""
    return float(1.1**bin_)


@dataclass(slots=True)
class Latencies:
    """What a sink has measured since it was last written, every second at most; then `told` is, too.

    It is given, by stage, how many rows took at most so many milliseconds.
    """

    lane: Lane
    member: str
    told: Callable[[Mapping[str, Mapping[float, int]]], None] = lambda _: None
    _bins: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    _written: float = 0.0

    def add(self, moments: Mapping[str, tuple[int | None, int | None]], rows: int) -> None:
        """Rows that took from one moment to another in each stage, in milliseconds since 1970; None is not known."""
        for stage, (start, end) in moments.items():
            if start is not None and end is not None:
                self._bins[stage][bin_of(end - start)] += rows

    def write(self, connection: Connection) -> None:
        """Add them to those of the ten seconds that it is now."""
        if not self._bins or time.monotonic() - self._written < 1.0:
            return
        self._written = time.monotonic()
        values = [
            {"stage": stage, "bins": {str(bin_): rows for bin_, rows in bins.items()}}
            for stage, bins in self._bins.items()
        ]
        connection.execute(
            f"""INSERT INTO rederive.latencies AS l (domain, lane, stage, at, member, bins)
                SELECT %s, %s, v.stage, date_bin('{_SECONDS} s', now(), 'epoch'), %s, v.bins
                FROM jsonb_to_recordset(%s) AS v(stage text, bins jsonb)
                ON CONFLICT (domain, lane, stage, at, member) DO UPDATE SET bins = (
                    SELECT jsonb_object_agg(bin, rows) FROM (
                        SELECT key AS bin, sum(value::int8) AS rows
                        FROM (SELECT * FROM jsonb_each_text(l.bins)
                              UNION ALL SELECT * FROM jsonb_each_text(excluded.bins)) b
                        GROUP BY key) s)""",
            [self.lane.domain, self.lane.name, self.member, Jsonb(values)],
        )
        # Those of members that are gone, too; nobody waits for another one who is at it.
        connection.execute(
            f"""DELETE FROM rederive.latencies WHERE ctid = ANY(ARRAY(
                    SELECT ctid FROM rederive.latencies
                    WHERE (domain, lane) = (%s, %s) AND at < now() - interval '{_KEPT}' FOR UPDATE SKIP LOCKED))""",
            [self.lane.domain, self.lane.name],
        )
        self.told({stage: {top_of(bin_): rows for bin_, rows in bins.items()} for stage, bins in self._bins.items()})
        self._bins.clear()


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How many rows, and how many milliseconds a half, 95 and 99 of a hundred of them took at most."""

    rows: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class _Bins:
    domain: str
    lane: str
    stage: str
    bins: Mapping[str, int]


def of_last(connection: Connection, seconds: float, domain: str | None = None) -> dict[tuple[str, str, str], Quantiles]:
    """Of the last seconds, by domain, lane and stage."""
    found = rows(
        connection,
        _Bins,
        """SELECT domain, lane, stage, bins FROM rederive.latencies
           WHERE at > now() - %(seconds)s * interval '1 s' AND (%(domain)s::text IS NULL OR domain = %(domain)s)
           ORDER BY domain, lane, stage""",
        {"seconds": seconds + _SECONDS, "domain": domain},
    )
    merged: dict[tuple[str, str, str], Counter[int]] = defaultdict(Counter)
    for one in found:
        merged[one.domain, one.lane, one.stage].update({int(bin_): rows for bin_, rows in one.bins.items()})
    return {place: quantiles(bins) for place, bins in merged.items()}


@dataclass(frozen=True, slots=True)
class Flow:
    """Rows a second that have become visible in the last minute, and since when at least none has, within ten seconds.

    Only what came without a capture is counted.
    """

    domain: str
    lane: str
    rate: float
    last: datetime


def flows(connection: Connection) -> dict[tuple[str, str], Flow]:
    """By domain and lane, of those that have had any in the last hour."""
    found = rows(
        connection,
        Flow,
        f"""SELECT l.domain, l.lane, max(l.at) AS last,
                   (coalesce(sum(b.value::int8) FILTER (WHERE l.at >= s.since), 0)
                    / extract(epoch FROM now() - s.since))::float8 AS rate
            FROM (SELECT date_bin('{_SECONDS} s', now(), 'epoch') - interval '1 minute' AS since) s,
                 rederive.latencies l, jsonb_each_text(l.bins) b
            WHERE l.stage = 'visible' AND l.at > now() - interval '{_KEPT}' GROUP BY l.domain, l.lane, s.since""",
    )
    return {(one.domain, one.lane): one for one in found}


def quantiles(bins: Mapping[int, int]) -> Quantiles:
    """Of rows by bin; there is one at least."""
    total = sum(bins.values())
    return Quantiles(total, *(_at(bins, total * share) for share in (0.5, 0.95, 0.99)))


def _at(bins: Mapping[int, int], rank: float) -> float:
    seen = 0
    for bin_ in sorted(bins):
        seen += bins[bin_]
        if seen >= rank:
            return top_of(bin_)
    return top_of(max(bins))


def worst(found: Iterable[Quantiles]) -> Quantiles | None:
    """The one whose p99 is the highest."""
    return max(found, key=lambda one: one.p99, default=None)
