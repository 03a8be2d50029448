"""Live, as a client sees it: from the moment its COMMIT has returned to the moment the derived row is visible.

    python -m bench.live [--rate 200] [--seconds 60] [--replay 0] [--growth]

One client writes a snapshot a transaction at the rate, another looks for the derived rows. Before, the same is written
without live: what ingestion pays is the ratio of the two. With `--replay N` a replay of N rows runs beside it on the
same machine: snapshots are written until it has ended, however long that takes, and only what is committed meanwhile
counts. With `--growth` the memory of each process is printed every minute, and its growth after the first five.
Latencies by stage are those that live itself keeps.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import psutil
import psycopg
from psycopg.types.json import Jsonb

from bench.domains import services
from bench.rows import bare
from bench.watch import part_of, run
from rederive.logs import run_log
from rederive.settings import Settings
from samples.betfair.load import derive_bare_rows, load
from samples.betfair.synthetic import Synthetic
from store import latencies

_COLUMNS = ("snapshot_at", "market_id", "raw_payload", "total_matched", "inplay", "status", "depth_limit")
_INSERT = f"""INSERT INTO market_book_snapshots ({", ".join(_COLUMNS)})
    VALUES ({", ".join(["%s"] * len(_COLUMNS))}) RETURNING snapshot_id"""
_LOOK_SECONDS = 0.003
_READY_SECONDS = 60.0
_LAST_SECONDS = 30.0
_MINUTE = 60.0
_SAID_CHARS = 4_000
_SETTLED_MINUTES = 5


@dataclass(slots=True)
class Written:
    """What a client has written: by snapshot when its COMMIT had returned, and how long each insert took."""

    committed: dict[int, float] = field(default_factory=dict)
    visible: dict[int, float] = field(default_factory=dict)
    inserts: list[float] = field(default_factory=list)
    late: int = 0

    def until(self, end: float) -> "Written":
        """What was committed by then; inserts stand in the order of their commits."""
        committed = {key: at for key, at in self.committed.items() if at <= end}
        return Written(committed, self.visible, self.inserts[: len(committed)], self.late)

    def latencies(self) -> list[float]:
        """Seconds from commit to visible."""
        return sorted(self.visible[key] - at for key, at in self.committed.items() if key in self.visible)


def write(
    url: str, rows: Iterator[Sequence[Any]], rate: float, goes_on: Callable[[float], bool], written: Written
) -> None:
    """A snapshot a transaction at the rate, while it goes on after so many seconds."""
    with psycopg.connect(url, autocommit=True) as connection:
        began = time.perf_counter()
        for number, row in enumerate(rows):
            due = began + number / rate
            now = time.perf_counter()
            if not goes_on(due - began):
                return
            if now < due:
                time.sleep(due - now)
            elif now > due + 1.0:
                written.late += 1
            before = time.perf_counter()
            found = connection.execute(_INSERT, row, prepare=True).fetchone()
            after = time.perf_counter()
            assert found is not None
            written.committed[found[0]] = after
            written.inserts.append(after - before)


def look(url: str, written: Written, over: threading.Event) -> None:
    """See which derived rows are visible, until everything is or `over` is set and it takes too long."""
    with psycopg.connect(url, autocommit=True) as connection:
        deadline = None
        while True:
            open_ = [key for key in list(written.committed) if key not in written.visible]
            if open_:
                found = connection.execute(
                    "SELECT snapshot_id FROM market_derived_metrics WHERE snapshot_id = ANY(%s)", [open_], prepare=True
                ).fetchall()
                now = time.perf_counter()
                written.visible.update((key, now) for (key,) in found)
            if over.is_set():
                deadline = deadline or time.perf_counter() + _LAST_SECONDS
                if not open_ or time.perf_counter() > deadline:
                    return
            time.sleep(_LOOK_SECONDS)


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


def wait_until_live(settings: Settings, url: str, rows: Iterator[Sequence[Any]]) -> None:
    """Until what is written is derived. SystemExit when that takes too long."""
    deadline = time.monotonic() + _READY_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            found = connection.execute(_INSERT, next(rows)).fetchone()
            assert found is not None
            for _ in range(20):
                time.sleep(0.05)
                if connection.execute("SELECT 1 FROM market_derived_metrics WHERE snapshot_id = %s", found).fetchone():
                    return
    log = run_log(settings.home, "betfair-live").read_text(errors="replace")
    raise SystemExit(f"live doesn't begin:\n{log[-_SAID_CHARS:]}")


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
    """Memory of the processes below one, in MB, every minute, by what part they have and which they are."""

    def __init__(self, parent: int) -> None:
        super().__init__(daemon=True)
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
            print("  ".join(f"{name} {values[-1]:.0f}" for name, values in self.seen.items()), flush=True)

    def show(self) -> None:
        """Print what each has grown by after the first minutes."""
        for name, values in self.seen.items():
            if len(values) > _SETTLED_MINUTES:
                before, after = values[_SETTLED_MINUTES - 1], values[-1]
                print(f"{name:26} {before:.0f} to {after:.0f} MB, {100 * (after / before - 1):+.1f} %")


def measure(settings: Settings, url: str, rate: float, seconds: float, replayed: int, *, growth: bool) -> None:
    """Print all figures."""
    world = Synthetic()
    with psycopg.connect(url, autocommit=True) as connection:
        load(connection, world.metadata(), world.snapshots(replayed))
        derive_bare_rows(connection)
        connection.execute("VACUUM ANALYZE")
    rows = (
        [Jsonb(row[name]) if name == "raw_payload" else row.get(name) for name in _COLUMNS]
        for row in islice(world.snapshots(10**9), replayed, None)
    )
    alone = Written()
    write(url, rows, rate, lambda passed: passed <= min(seconds, 15.0), alone)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE market_derived_metrics CASCADE")
    if replayed:
        bare(url)
    with live(settings) as process:
        wait_until_live(settings, url, rows)
        watch = Growth(process.pid)
        if growth:
            watch.start()
        beside = Written()
        over = threading.Event()
        looker = threading.Thread(target=look, args=(url, beside, over), daemon=True)
        looker.start()
        began = time.perf_counter()
        replay = _Replay(settings) if replayed else None
        write(url, rows, rate, replay.goes_on if replay else lambda passed: passed <= seconds, beside)
        over.set()
        looker.join()
        watch.over.set()
        if replay:
            print(f"the replay beside it: {replay.updated():,} of {replayed:,} rows in {replay.ended - began:.1f} s")
            beside = beside.until(replay.ended)
        print(f"{len(beside.committed):,} snapshots at {rate:.0f}/s, {beside.late:,} more than a second late")
        show("commit to visible", beside.latencies())
        lost = len(beside.committed.keys() - beside.visible.keys())
        print(f"not visible after {_LAST_SECONDS:.0f} s: {lost:,}")
        with psycopg.connect(url, autocommit=True) as connection:
            for (_, lane, stage), of in latencies.of_last(connection, time.perf_counter() - began, "betfair").items():
                print(f"  live says: {lane} {stage:10} p50 {of.p50:7.1f}  p95 {of.p95:7.1f}  p99 {of.p99:7.1f} ms")
        show("insert without live", sorted(alone.inserts))
        show("insert beside live", sorted(beside.inserts))
        ratio = at(sorted(beside.inserts), 0.99) / at(sorted(alone.inserts), 0.99)
        print(f"p99 of an insert: {ratio:.2f} times; mean {statistics.fmean(beside.inserts) * 1e3:.2f} ms")
        watch.show()


class _Replay:
    """A replay of all that is NULL, beside what else is done; begun with this."""

    def __init__(self, settings: Settings) -> None:
        self.ended = float("inf")
        with_one = ThreadPoolExecutor(1)
        self._done: Future[dict[str, int]] = with_one.submit(self._run, settings)
        with_one.shutdown(wait=False)

    def _run(self, settings: Settings) -> dict[str, int]:
        try:
            return run(settings, "replay", "betfair")[1]
        finally:
            self.ended = time.perf_counter()

    def goes_on(self, _: float) -> bool:
        """Whether it has yet to end."""
        return not self._done.done()

    def updated(self) -> int:
        """The rows it has updated, once it has ended. CalledProcessError when it failed."""
        return self._done.result()["updated"]


def main() -> None:
    """Print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--replay", type=int, default=0, metavar="ROWS")
    parser.add_argument("--growth", action="store_true")
    given = parser.parse_args()
    with services() as settings:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        measure(settings, url, given.rate, given.seconds, given.replay, growth=given.growth)


if __name__ == "__main__":
    main()
