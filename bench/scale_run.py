"""One Betfair replay of so many rows on fresh services, and what it cost by part, without its start and stop too."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from bench.fresh import services
from bench.rows import fill
from bench.services import Services, snapshot_bytes, table_bytes, topic_bytes, wal_bytes
from bench.watch import Measured, run
from producers.topics import ensure_topics
from rederive import local
from rederive.settings import Settings
from schemas.lane import Lane, LaneName
from schemas.unit import TARGET_UNIT_ROWS

PARTS = ("producer", "agents", "sinks", "kafka", "reading", "merging", "upkeep")
"""Who uses the processor. The last three are Postgres: for the run, for the sinks, for itself."""

_DISTINCT = 21_000
_FEW_UNITS, _STARTS = 1, 3
_LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What one command took: seconds by the clock, processor seconds by part."""

    seconds: float
    cpu: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a replay is done: rows, agents and sinks; `partitions` 0: as many as agents."""

    rows: int
    crew: int
    partitions: int = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """A replay of `shape`, and one of `few` rows on the same services just before, which is start and stop.

    `peaks` are MB: of the largest process of a part, of a whole service. `tables`, `topics` and `wal` are bytes that
    the replay added; a table's are (rows, indexes). `snapshot` is what a stored payload has in its table.
    """

    shape: Shape
    whole: Taken
    few: int
    start: Taken
    peaks: Mapping[str, float]
    tables: Mapping[str, tuple[int, int]]
    topics: Mapping[str, int]
    wal: int
    snapshot: float

    @property
    def rate(self) -> float:
        """Rows/s of the whole command."""
        return self.shape.rows / self.whole.seconds

    @property
    def pace(self) -> float | None:
        """Rows/s without start and stop; None where these are nearly all of it."""
        seconds = self.whole.seconds - self.start.seconds
        return (self.shape.rows - self.few) / seconds if seconds > _LEAST_SECONDS else None

    def cost(self) -> dict[str, float]:
        """µs of processor a row by part, without start and stop."""
        rows = self.shape.rows - self.few
        return {part: (self.whole.cpu[part] - self.start.cpu[part]) / rows * 1e6 for part in PARTS}

    def busy(self, cores: int) -> float:
        """Which share of the processor all parts used, start and stop included."""
        return sum(self.whole.cpu.values()) / self.whole.seconds / cores


def replay(shape: Shape) -> Ran:
    """Fill fresh services, replay few rows some times, then all others."""
    few = _FEW_UNITS * shape.crew * TARGET_UNIT_ROWS
    with services() as settings:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        fill(url, shape.rows + (1 + _STARTS) * few, _DISTINCT)
        lane = Lane("betfair", LaneName.REPLAY, settings.topic_prefix)
        ensure_topics(settings.kafka_config(), lane, shape.partitions or shape.crew)
        # The first has the interpreter's files read, and the broker's code compiled as far as it goes.
        _measured(settings, url, shape, few)
        start = _middle([_measured(settings, url, shape, few)[0] for _ in range(_STARTS)])
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
            tables, wal = table_bytes(connection), wal_bytes(connection)
            topics = topic_bytes(settings.home, {"raw": lane.raw, "derived": lane.derived})
            whole, peaks = _measured(settings, url, shape)
            now = topic_bytes(settings.home, {"raw": lane.raw, "derived": lane.derived})
            after = table_bytes(connection)
            return Ran(
                shape,
                whole,
                few,
                start,
                peaks,
                {name: (after[name][0] - heap, after[name][1] - index) for name, (heap, index) in tables.items()},
                {name: now[name] - before for name, before in topics.items()},
                wal_bytes(connection) - wal,
                snapshot_bytes(connection),
            )


def _measured(settings: Settings, url: str, shape: Shape, limit: int | None = None) -> tuple[Taken, dict[str, float]]:
    """Replay what is NULL, `limit` rows at most; what it took, and the peaks of memory by part."""
    (kafka,) = [one.pid for one in local.status(settings) if one.service == "kafka" and one.pid]
    watch = Services(url, kafka)
    watch.start()
    words = ["--workers", str(shape.crew), "--sinks", str(shape.crew)]
    try:
        measured, counts = run(settings, "replay", "betfair", *words, *(["--limit", str(limit)] if limit else []))
    finally:
        watch.ended.set()
        watch.join()
    wanted = limit or shape.rows
    if counts["updated"] != wanted:
        sys.exit(f"the replay has updated {counts['updated']:,} rows of {wanted:,}")
    return Taken(measured.seconds, _by_part(measured, watch.seconds())), {**measured.peaks, **watch.peaks}


def _middle(taken: Sequence[Taken]) -> Taken:
    """The medians, part by part."""
    cpu = {part: statistics.median(one.cpu[part] for one in taken) for part in PARTS}
    return Taken(statistics.median(one.seconds for one in taken), cpu)


def _by_part(measured: Measured, postgres: Mapping[str, float]) -> dict[str, float]:
    used = dict(measured.cpu)
    upkeep = used.pop("postgres") - sum(postgres.values())
    return {**used, "reading": postgres["reading"], "merging": postgres["merging"], "upkeep": max(0.0, upkeep)}
