"""What each statement of the Betfair merge costs, beside tables of many rows: time, log, buffers, plan.

    python -m bench.statements [--rows 100000] [--batches 6] [--small 40]

Three phases: fill bare rows, supersede them with a newer version, and live batches of five new rows. Batches are made
and applied as a sink does, without Kafka, in an embedded Postgres; the first phase finds history and baseline of all
rows but its own. The first half of the batches is only timed. In the others each statement runs twice: first under
EXPLAIN (ANALYZE, WAL, BUFFERS), which is taken back, then as it is. µs a row are of the server's processor; planning is
part of both times.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from statistics import median
from typing import Any, Self

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from bench.fresh import postgres
from bench.running import running
from bench.sink import units
from processors.betfair.process import process
from rederive.database import connect, connection_string
from samples.betfair.load import derive_bare_rows, load
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import BETFAIR, METRICS_TABLE
from schemas.live import LiveDay
from schemas.outcome import Outcome
from schemas.table import Mode
from schemas.unit import TARGET_UNIT_ROWS, Origin
from sinks.apply import Result, apply
from sinks.merge.merging import statements
from sinks.policies import prepare
from sinks.ready import make_ready

BATCH_ROWS, SMALL_ROWS = 5_000, 5
_LIVE = LiveDay("betfair", datetime(2026, 3, 6, tzinfo=UTC).date(), 1).capture_id
_SQL = statements(METRICS_TABLE)
_MARKETS = [market["market_id"] for market in Synthetic().metadata()]
_FIRST_US, _STEP_US = 1_772_755_200_000_000, 100_000

NAMES = {
    _SQL.lock(_SQL.stage): ("lock", "lock, baseline"),
    _SQL.keep_baseline: ("keep_baseline", "lock, baseline"),
    _SQL.lock_and_keep: ("lock_and_keep", "lock, baseline"),
    _SQL.insert_history: ("insert_history", "history"),
    _SQL.drop_covered: ("drop_covered", "history"),
    _SQL.mark_shared: ("mark_shared", "upsert"),
    _SQL.mark_foreign: ("mark_foreign", "upsert"),
    **{_SQL.unstage(mode): ("unstage", "history") for mode in (Mode.FILL, Mode.SUPERSEDE)},
    **{_SQL.mark_pending(mode): ("mark_pending", "upsert") for mode in (Mode.FILL, Mode.SUPERSEDE)},
    **{
        _SQL.upsert(mode, untouched=untouched): ("upsert", "upsert")
        for mode in (Mode.FILL, Mode.SUPERSEDE)
        for untouched in (True, False)
    },
}
"""Statements of the merge by their text: what they are called, and the group that they count in."""

_NOTES = ("captures", "origins", "units", "problems")


@dataclass(slots=True)
class Spent:
    """What one statement took: seconds of each call that was only timed, by the clock and of the server's processor.

    The rest is of calls that were explained.
    """

    group: str
    times: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    planning: float = 0.0
    wal: int = 0
    buffers: int = 0
    plan: str = ""

    def seconds(self, *, used: bool = True) -> float:
        """Of all calls, as if each had taken what the median one took: others use the machine, too."""
        times = self.used if used else self.times
        return median(times) * len(times) if times else 0.0


@dataclass(slots=True)
class Profile:
    """Statements in the order in which they first came, and how many rows and batches were timed and explained."""

    explaining: bool = False
    spent: dict[str, Spent] = field(default_factory=dict)
    batches: list[int] = field(default_factory=lambda: [0, 0])
    rows: list[int] = field(default_factory=lambda: [0, 0])
    python: dict[str, Spent] = field(default_factory=lambda: {"staging": Spent(""), "apply": Spent("")})

    def of(self, name: str, group: str) -> Spent:
        """What a statement has taken so far."""
        return self.spent.setdefault(name, Spent(group))

    @contextmanager
    def call(self, name: str, group: str, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Count a call, unless its batch is one that is explained."""
        server = connection.info.backend_pid
        began, used = time.perf_counter(), _used(server)
        yield
        if not self.explaining:
            spent = self.of(name, group)
            spent.times.append(time.perf_counter() - began)
            spent.used.append(_used(server) - used)


def _used(pid: int) -> float:
    """Processor seconds of a process, to the nanosecond: its clock, as clock_getcpuclockid(3) names it on Linux."""
    return time.clock_gettime(~pid << 3 | 2)


PROFILE = Profile()
"""That of the phase which is running."""


def named(query: str) -> tuple[str, str]:
    """What a statement is called, and its group."""
    if query in NAMES:
        return NAMES[query]
    if "nextval('rederive.arrival')" in query:
        return "arrival", "lock, baseline"
    verb = query.split(maxsplit=1)[0].lower()
    table = next((name for name in _NOTES if f"rederive.{name}" in query), "")
    return f"{verb} {table or query.split()[1]}", "notes" if table else "other"


class ProfiledCursor(psycopg.Cursor[Any]):
    """A cursor that notes what its statements take."""

    def execute(self, query: Any, params: Any = None, **words: Any) -> Self:  # noqa: ANN401 - psycopg's
        """Run it, and where it is explained, explain it before."""
        text = str(query)
        name, group = named(text)
        if PROFILE.explaining and isinstance(query, str):
            self._explain(text, params, name, group)
        with PROFILE.call(name, group, self.connection):
            super().execute(query, params, **words)
        return self

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **words: Any) -> Iterator[psycopg.Copy]:  # noqa: ANN401
        """Copy, from the statement to the server's answer."""
        with PROFILE.call("COPY", "COPY", self.connection), super().copy(statement, params, **words) as copying:
            yield copying

    def _explain(self, query: str, params: Any, name: str, group: str) -> None:  # noqa: ANN401
        # Of its own: this one may make something else of a row.
        cursor = psycopg.Cursor(self.connection)
        cursor.execute("SAVEPOINT explained")
        cursor.execute(f"EXPLAIN (ANALYZE, WAL, BUFFERS, TIMING off, FORMAT JSON) {query}".encode(), params)
        row = cursor.fetchone()
        assert row is not None
        cursor.execute("ROLLBACK TO explained; RELEASE explained")
        (said,) = row[0]
        plan, spent = said["Plan"], PROFILE.of(name, group)
        spent.planning += said["Planning Time"] / 1e3
        spent.wal += plan.get("WAL Bytes", 0)
        spent.buffers += sum(plan.get(f"Shared {kind} Blocks", 0) for kind in ("Hit", "Read"))
        indexes = sorted(set(_indexes(plan)))
        spent.plan = " ".join([plan.get("Operation", plan["Node Type"]), *(f"by {index}" for index in indexes)])


def _indexes(plan: dict[str, Any]) -> Iterator[str]:
    if "Index Name" in plan:
        yield plan["Index Name"]
    for one in plan.get("Plans", ()):
        yield from _indexes(one)


class ProfiledConnection(psycopg.Connection[Any]):
    """A connection that notes what its statements and commits take."""

    @contextmanager
    def transaction(self, savepoint_name: str | None = None, force_rollback: bool = False) -> Iterator[Any]:
        """A transaction, of which the commit is noted."""
        with ExitStack() as committing, super().transaction(savepoint_name, force_rollback) as made:
            yield made
            committing.enter_context(PROFILE.call("COMMIT", "commit", self))


class Rows:
    """Units of any ids, of the outcomes of some snapshots; a newer version says another `home_risk`."""

    def __init__(self) -> None:
        made = [process(b"\n".join(lines), ()).tables[0] for lines in units(BATCH_ROWS)]
        self._block = made[0]
        self._rows = pa.Table.from_batches([block.batch for block in made])

    def outcomes(self, first: int, count: int, size: int, version: int = 1) -> Iterator[Outcome]:
        """Those of so many rows from an id on, in units of a size."""
        for at in range(0, count, size):
            rows = self._rows.slice(at, min(size, count - at)).combine_chunks().to_batches()[0]
            ids = np.arange(first + at, first + at + rows.num_rows)
            values = {
                "snapshot_id": pa.array(ids),
                "snapshot_at": pa.array(_FIRST_US + ids * _STEP_US).cast(pa.timestamp("us", "UTC")),
                "market_id": pa.array([_MARKETS[id_ % len(_MARKETS)] for id_ in ids]),
                "home_risk": pc.multiply(rows.column("home_risk"), float(version)),
            }
            for name, column in values.items():
                place = rows.schema.names.index(name)
                field_ = rows.schema.field(place)
                rows = rows.set_column(place, field_.with_type(column.type), column)
            yield Outcome(read=rows.num_rows, tables=[replace(self._block, batch=rows)])


@dataclass(slots=True)
class Writing:
    """A capture whose batches are applied one after the other, as a sink does it."""

    connection: psycopg.Connection
    rows: Rows
    capture: str
    mode: Mode
    live: bool = False
    version: int = 1
    units: int = 0

    def write(self, first: int, count: int) -> None:
        """Apply a batch of rows from an id on."""
        made = self.rows.outcomes(first, count, 1 if self.live else TARGET_UNIT_ROWS, self.version)
        results = [self._result(outcome) for outcome in made]
        began = time.process_time()
        ready = make_ready(BETFAIR, [result.outcome for result in results], self.mode)
        staged = time.process_time()
        done = apply(self.connection, BETFAIR, self.capture, results, ready)
        ended = time.process_time()
        assert done.applied == len(results), done
        PROFILE.batches[PROFILE.explaining] += 1
        PROFILE.rows[PROFILE.explaining] += count
        if not PROFILE.explaining:
            PROFILE.python["staging"].used.append(staged - began)
            PROFILE.python["apply"].used.append(ended - staged)

    def _result(self, outcome: Outcome) -> Result:
        number, self.units = self.units, self.units + 1
        topic = "betfair.live" if self.live else "betfair.replay"
        return Result(Origin(topic, number % 2, number // 2), self.capture, None if self.live else number, outcome)


def fill_tables(connection: psycopg.Connection, rows: int, more: int) -> None:
    """So many snapshots with bare derived rows, and some more without; no payloads, which no sink reads."""
    world = Synthetic()
    load(connection, world.metadata(), islice(world.snapshots(1), 0))
    connection.execute(
        """INSERT INTO market_book_snapshots (snapshot_id, snapshot_at, market_id, raw_payload, depth_limit)
           SELECT n, 'epoch'::timestamptz + (%s::int8 + n * %s::int8) * interval '1 us', (%s::text[])[1 + n %% %s],
                  '{}', 3
           FROM generate_series(1, %s) n""",
        [_FIRST_US, _STEP_US, _MARKETS, len(_MARKETS), rows + more],
    )
    connection.execute("DELETE FROM market_derived_metrics")
    derive_bare_rows(connection)
    connection.execute("DELETE FROM market_derived_metrics WHERE snapshot_id > %s", [rows])
    connection.execute("VACUUM ANALYZE")


def capture(connection: psycopg.Connection, number: int, mode: Mode, count: int) -> str:
    """A running capture of so many units that have been sent."""
    name = f"betfair-bench-{number}"
    running(connection, name, "betfair", mode, number)
    connection.execute(
        """INSERT INTO rederive.units (capture_id, unit, key_range, locator, rows, state)
           SELECT %s, n, '', '{}', 512, 'sent' FROM generate_series(0, %s) n""",
        [name, count],
    )
    return name


def phase(name: str, writing: Writing, starts: Sequence[int], rows: int, connection: psycopg.Connection) -> None:
    """Apply batches, time the first half and explain the other, and print what they took."""
    global PROFILE  # noqa: PLW0603 - cursors find it here
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")
    PROFILE = Profile()
    for number, first in enumerate(starts):
        PROFILE.explaining = number >= len(starts) // 2
        writing.write(first, rows)
    show(name, PROFILE)
    PROFILE = Profile()


def show(name: str, profile: Profile) -> None:
    """Print a line a statement, then the groups."""
    (timed, explained), (rows, seen) = profile.batches, profile.rows
    print(f"\n{name}: {timed} batches of {rows // timed:,} rows timed, {explained} explained")
    heads = ("calls", "ms", "CPU ms", "plan ms", "µs/row", "WAL/row", "buf/row")
    print(f"{'statement':24}{heads[0]:>6}{''.join(f'{head:>8}' for head in heads[1:])}  plan")
    groups: dict[str, float] = defaultdict(float)
    for statement, spent in profile.spent.items():
        groups[spent.group] += spent.seconds()
        print(
            f"{statement:24}{len(spent.times) / timed:6.1f}{spent.seconds(used=False) / timed * 1e3:8.2f}"
            f"{spent.seconds() / timed * 1e3:8.2f}{spent.planning / explained * 1e3:8.2f}"
            f"{spent.seconds() / rows * 1e6:8.2f}{spent.wal / seen:8.0f}"
            f"{spent.buffers / seen:8.1f}  {spent.plan}"
        )
    groups["the sink's Python"] = profile.python["apply"].seconds()
    groups["its staging"] = profile.python["staging"].seconds()
    parts = ", ".join(f"{group} {spent / timed * 1e3:.2f}" for group, spent in groups.items())
    total = sum(groups.values())
    print(f"CPU ms a batch: {parts}; in all {total / timed * 1e3:.2f}, {total / rows * 1e6:.2f} µs a row")


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="derived rows in the tables (default %(default)s)")
    parser.add_argument("--batches", type=int, default=6, help="timed batches of 5,000 rows (default %(default)s)")
    parser.add_argument("--small", type=int, default=40, help="timed batches of 5 rows (default %(default)s)")
    given = parser.parse_args()
    measured, small = 2 * given.batches * BATCH_ROWS, 2 * given.small
    rows = max(given.rows, measured) // BATCH_ROWS * BATCH_ROWS
    with postgres() as (_, url), connect(url, application="bench") as connection:
        fill_tables(connection, rows, (small + 10) * SMALL_ROWS)
        _phases(connection, _sink_connection(url), rows, measured, small)


def _sink_connection(url: str) -> psycopg.Connection:
    connection = ProfiledConnection.connect(connection_string(url, "bench"), autocommit=True)
    connection.cursor_factory = ProfiledCursor
    prepare(connection, BETFAIR)
    return connection


def _phases(connection: psycopg.Connection, sink: psycopg.Connection, rows: int, measured: int, small: int) -> None:
    made = Rows()
    fill = Writing(sink, made, capture(connection, 1, Mode.FILL, rows // 500 + 100), Mode.FILL)
    began = time.perf_counter()
    for first in range(1, rows - measured + 1, BATCH_ROWS):
        fill.write(first, BATCH_ROWS)
    took = time.perf_counter() - began
    print(f"{rows:,} rows; all but {measured:,} filled in {took:.0f} s")
    starts = range(rows - measured + 1, rows + 1, BATCH_ROWS)
    phase("fill into bare rows", fill, starts, BATCH_ROWS, connection)
    again = Writing(
        sink, made, capture(connection, 2, Mode.SUPERSEDE, measured // 500 + 100), Mode.SUPERSEDE, version=2
    )
    phase("supersede with a newer version", again, range(1, measured + 1, BATCH_ROWS), BATCH_ROWS, connection)
    live = Writing(sink, made, _LIVE, Mode.FILL, live=True)
    for number in range(10):
        live.write(rows + 1 + number * SMALL_ROWS, SMALL_ROWS)
    firsts = [rows + 1 + (10 + number) * SMALL_ROWS for number in range(small)]
    phase("live: new rows", live, firsts, SMALL_ROWS, connection)


if __name__ == "__main__":
    main()
