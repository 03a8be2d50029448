"""Live, as a client sees it: from the moment its COMMIT has returned to the moment the derived row is visible.

    python -m bench.live [--rate 200] [--seconds 60] [--connections 1] [--replay 0 | --repair] [--growth]
    python -m bench.live --transaction 1000000

Ingesters write a snapshot a transaction at the rate, and somebody looks for the derived rows. Before, the same is
written without live: what ingestion pays is the ratio of the two. With `--replay N` a replay of N rows runs beside it
on the same machine: snapshots are written until it has ended, however long that takes, and only what is committed
meanwhile counts. With `--repair` what live has derived by then, `--seconds` long, is derived again from its log in
shadow and promoted: what is committed meanwhile counts. With `--growth` the memory of each process is printed every
minute, latencies for every five, and what memory has grown by after the first five. Latencies by stage are those that
live itself keeps. With `--transaction N` it is one transaction of N snapshots, which is verified in the end.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

import psutil
import psycopg
from psycopg.types.json import Jsonb

from bench.fresh import services
from bench.ingesters import COLUMNS, INSERT, Ingesters, Rows
from bench.rows import bare
from bench.watch import part_of, run
from rederive.logs import run_log
from rederive.settings import Settings
from samples.betfair.load import derive_bare_rows, load
from samples.betfair.synthetic import Synthetic
from store import latencies
from store.rows import value

_READY_SECONDS = 60.0
_MINUTE = 60.0
_SAID_CHARS = 4_000
_SETTLED_MINUTES = 5
_LARGE_SECONDS = 3_600.0
_DISTINCT = 50_000


@contextmanager
def live(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`rederive live betfair`, at work; stopped in order afterwards."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, "-m", "rederive", "live", "betfair"],
        env={**environment, **settings.environment()},
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_until_live(settings: Settings, url: str, rows: Rows) -> None:
    """Until what is written is derived. SystemExit when that takes too long."""
    deadline = time.monotonic() + _READY_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            found = connection.execute(INSERT, next(rows)).fetchone()
            assert found is not None
            for _ in range(20):
                time.sleep(0.05)
                if connection.execute("SELECT 1 FROM market_derived_metrics WHERE snapshot_id = %s", found).fetchone():
                    return
    raise SystemExit(f"live doesn't begin:\n{log_of(settings)}")


def log_of(settings: Settings) -> str:
    """The end of what live has said."""
    return run_log(settings.home, "betfair-live").read_text(errors="replace")[-_SAID_CHARS:]


def at(values: Sequence[float], share: float) -> float:
    """The value below which a share of the sorted values lies, in ms."""
    return 1e3 * values[min(len(values) - 1, int(len(values) * share))]


def show(name: str, values: Sequence[float]) -> None:
    """Print one line of quantiles."""
    print(
        f"{name:26} p50 {at(values, 0.5):7.1f}  p95 {at(values, 0.95):7.1f}  p99 {at(values, 0.99):7.1f}  "
        f"most {1e3 * values[-1]:7.1f} ms  ({len(values):,})"
    )


class Growth(threading.Thread):
    """Memory of the processes below one, in MB, every minute, by what part they have and which they are.

    With `said` it is printed, too.
    """

    def __init__(self, parent: int, *, said: bool) -> None:
        super().__init__(daemon=True)
        self._said = said
        self.over = threading.Event()
        self.seen: dict[str, list[float]] = {}
        self._parent = parent

    def run(self) -> None:
        """Look every minute."""
        while not self.over.wait(_MINUTE):
            for process in [psutil.Process(self._parent), *psutil.Process(self._parent).children(recursive=True)]:
                words = process.cmdline()
                part = words[words.index("rederive.worker") + 1] if "rederive.worker" in words else part_of(words)
                self.seen.setdefault(f"{part} {process.pid}", []).append(process.memory_info().rss / 1e6)
            if self._said:
                print("  ".join(f"{name} {values[-1]:.0f}" for name, values in self.seen.items()), flush=True)

    def show(self, settled: int = _SETTLED_MINUTES) -> None:
        """Print what each has grown by after the first minutes."""
        for name, values in self.seen.items():
            if len(values) > settled:
                before, after = values[max(0, settled - 1)], values[-1]
                print(f"{name:26} {before:.0f} to {after:.0f} MB, {100 * (after / before - 1):+.1f} %")


def rows_of(world: Synthetic, first: int) -> Rows:
    """Its snapshots from a number on, without end."""
    return (
        [Jsonb(row[name]) if name == "raw_payload" else row.get(name) for name in COLUMNS]
        for row in islice(world.snapshots(10**9), first, None)
    )


@contextmanager
def at_work(settings: Settings, url: str, rows: Rows, *, said: bool) -> Iterator[Growth]:
    """Live on empty derived tables, once it derives; gives what watches its memory."""
    with live(settings) as process:
        wait_until_live(settings, url, rows)
        watch = Growth(process.pid, said=said)
        watch.start()
        try:
            yield watch
        finally:
            watch.over.set()


def measure(settings: Settings, url: str, asked: argparse.Namespace) -> None:
    """Print all figures of snapshots that are written one by one."""
    world = Synthetic()
    with psycopg.connect(url, autocommit=True) as connection:
        load(connection, world.metadata(), world.snapshots(asked.replay))
        derive_bare_rows(connection)
        connection.execute("VACUUM ANALYZE")
    rows = rows_of(world, asked.replay)
    ingesters = Ingesters(url, rows, asked.connections)
    alone = sorted(ingesters.write(asked.rate, lambda passed: passed <= min(asked.seconds, 15.0)))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE market_derived_metrics CASCADE")
    if asked.replay:
        bare(url)
    with at_work(settings, url, rows, said=asked.growth) as watch:
        began = time.perf_counter()
        if asked.repair:
            ingesters.watched(asked.rate, lambda passed: passed <= asked.seconds)
            began = time.perf_counter()
        replay = _Repair(settings) if asked.repair else _Replay(settings) if asked.replay else None
        beside = ingesters.watched(asked.rate, replay.goes_on if replay else lambda passed: passed <= asked.seconds)
        if replay:
            print(f"{replay.name} beside it: {replay.updated():,} rows in {replay.ended - began:.1f} s")
            beside = beside.until(replay.ended)
        print(f"{len(beside.seen):,} snapshots at {asked.rate:.0f}/s, {beside.late:,} more than a second late")
        show("commit to visible", beside.latencies())
        if asked.growth:
            for number, span in enumerate(beside.by_minutes(_SETTLED_MINUTES)):
                show(f"  from minute {number * _SETTLED_MINUTES}", span)
        print(f"not visible at the end: {len(beside.missing):,} {beside.missing[:10] or ''}")
        if beside.missing:
            print(log_of(settings))
        with psycopg.connect(url, autocommit=True) as connection:
            for (_, lane, stage), of in latencies.of_last(connection, time.perf_counter() - began, "betfair").items():
                print(f"  live says: {lane} {stage:10} p50 {of.p50:7.1f}  p95 {of.p95:7.1f}  p99 {of.p99:7.1f} ms")
        inserts = sorted(beside.inserts)
        show("insert without live", alone)
        show("insert beside live", inserts)
        print(
            f"p99 of an insert: {at(inserts, 0.99) / at(alone, 0.99):.2f} times; "
            f"mean {statistics.fmean(inserts) * 1e3:.2f} ms"
        )
        watch.show()


def measure_large(settings: Settings, url: str, count: int) -> None:
    """Print how long one transaction of so many snapshots takes until all are derived. SystemExit if not all are."""
    world = Synthetic()
    distinct = min(count, _DISTINCT)
    with psycopg.connect(url, autocommit=True) as connection:
        load(connection, world.metadata(), [])
        load(connection, [], world.snapshots(distinct))
        connection.execute("CREATE UNLOGGED TABLE payloads AS SELECT * FROM market_book_snapshots")
    with (
        at_work(settings, url, rows_of(world, distinct), said=True) as watch,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        before = value(connection, "SELECT count(*) FROM market_derived_metrics")
        began = time.perf_counter()
        connection.execute(
            f"""INSERT INTO market_book_snapshots ({", ".join(COLUMNS)})
                SELECT snapshot_at + turn * interval '1 year', {", ".join(COLUMNS[1:])}
                FROM generate_series(1, %(last)s / %(distinct)s + 1) turn, payloads
                WHERE (turn - 1) * %(distinct)s + snapshot_id <= %(count)s""",
            {"last": count - 1, "distinct": distinct, "count": count},
        )
        committed = time.perf_counter()
        print(f"{count:,} snapshots in a transaction of {committed - began:.1f} s", flush=True)
        derived = 0
        while derived < count and time.perf_counter() - committed < _LARGE_SECONDS:
            time.sleep(1.0)
            derived = value(connection, "SELECT count(*) FROM market_derived_metrics") - before
        seconds = time.perf_counter() - committed
        print(f"{derived:,} of them derived {seconds:.1f} s after its commit: {derived / seconds:,.0f} rows/s")
        watch.show(settled=0)
    if not verified(settings) or derived != count:
        raise SystemExit(1)


def verified(settings: Settings) -> bool:
    """Whether all that has arrived has its outcome, and all that is served is right; printed, too."""
    return not subprocess.run(
        [sys.executable, "-m", "rederive", "captures", "verify", "latest"],
        env={**os.environ, **settings.environment()},
        check=False,
    ).returncode


class _Replay:
    """A replay of all that is NULL, beside what else is done; begun with this."""

    name = "the replay"

    def __init__(self, settings: Settings) -> None:
        self.ended = float("inf")
        with_one = ThreadPoolExecutor(1)
        self._done: Future[dict[str, int]] = with_one.submit(self._run, settings)
        with_one.shutdown(wait=False)

    def _run(self, settings: Settings) -> dict[str, int]:
        try:
            return self._work(settings)
        finally:
            self.ended = time.perf_counter()

    def _work(self, settings: Settings) -> dict[str, int]:
        return run(settings, "replay", "betfair")[1]

    def goes_on(self, _: float) -> bool:
        """Whether it has yet to end."""
        return not self._done.done()

    def updated(self) -> int:
        """The rows it has updated, once it has ended. CalledProcessError when it failed."""
        return self._done.result()["updated"]


class _Repair(_Replay):
    """All that is on the log derived again in shadow, and promoted."""

    name = "a repair"

    def _work(self, settings: Settings) -> dict[str, int]:
        done = run(settings, "replay-topic", "betfair", "--mode", "shadow")[1]
        subprocess.run(
            [sys.executable, "-m", "rederive", "captures", "promote", "latest:betfair", "--yes"],
            env={**os.environ, **settings.environment()},
            check=True,
        )
        return done


def main() -> None:
    """Print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0, help="snapshots a second, default %(default)s")
    parser.add_argument("--seconds", type=float, default=60.0, help="default %(default)s")
    parser.add_argument("--connections", type=int, default=1, help="ingesters that share the rate, default %(default)s")
    parser.add_argument("--replay", type=int, default=0, metavar="ROWS")
    parser.add_argument("--repair", action="store_true")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--transaction", type=int, default=0, metavar="ROWS")
    given = parser.parse_args()
    with services() as settings:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        if given.transaction:
            measure_large(settings, url, given.transaction)
        else:
            measure(settings, url, given)
            if not verified(settings):
                raise SystemExit(1)


if __name__ == "__main__":
    main()
