"""End to end, table to table: `rederive replay betfair` beside a script that updates row by row.

    python -m bench.replay [--rows 100000] [--workers 2] [--script-rows 10000]

Both work on the same synthetic full-depth snapshots (both ladders, ten levels) in the same embedded Postgres, one
after the other, Kafka and Postgres on the same cores. The script is the usual backfill: select the rows with NULLs,
compute with the same formulas, UPDATE one row at a time, commit per 500. The replay's time is the whole command's:
planning, starting agents and sink, sending, merging, stopping.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import orjson
import psutil
import psycopg

from processors.betfair import derive
from rederive import local
from rederive.migrate import migrate
from rederive.settings import Settings
from samples.load import derive_bare_rows, load
from samples.synthetic import Synthetic
from schemas.betfair import METRICS


class Watch(threading.Thread):
    """Peak resident memory in MB and processor seconds of a replay's processes and of the services, by what they do."""

    def __init__(self, services: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, float] = {}
        self.ended = threading.Event()
        self._services = services
        self._cpu: dict[tuple[str, int], tuple[float, float]] = {}

    def run(self) -> None:
        """Sample five times a second."""
        while not self.ended.wait(0.2):
            for role, process in self._processes():
                try:
                    times = process.cpu_times()
                    used = times.user + times.system
                    first, _ = self._cpu.get((role, process.pid), (used if role in self._services else 0.0, 0.0))
                    self._cpu[role, process.pid] = (first, used)
                    if role not in self._services:
                        self.peaks[role] = max(self.peaks.get(role, 0.0), process.memory_info().rss / 1e6)
                except psutil.Error:
                    continue

    def seconds(self) -> dict[str, float]:
        """Processor seconds per role since the start."""
        found: dict[str, float] = {}
        for (role, _), (first, last) in self._cpu.items():
            found[role] = found.get(role, 0.0) + last - first
        return found

    def _processes(self) -> list[tuple[str, psutil.Process]]:
        found = []
        for process in psutil.Process().children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if "rederive" in words:
                found.append((words[words.index("worker") + 1] if "worker" in words else "producer", process))
        for name, pid in self._services.items():
            parent = psutil.Process(pid)
            found += [(name, process) for process in (parent, *parent.children(recursive=True))]
        return found


def script(url: str, limit: int) -> float:
    """Seconds that the row-by-row script takes for `limit` rows."""
    started = time.perf_counter()
    sets = ", ".join(f"{name} = coalesce({name}, %s)" for name in METRICS)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            f"""SELECT s.snapshot_id, s.snapshot_at, s.market_id, s.raw_payload::text,
                       m.home_selection_id, m.away_selection_id, m.draw_selection_id
                FROM market_book_snapshots s JOIN market_derived_metrics d USING (snapshot_id)
                LEFT JOIN market_event_metadata m ON m.market_id = s.market_id
                WHERE num_nulls({", ".join(f"d.{name}" for name in METRICS)}) > 0
                ORDER BY s.snapshot_at, s.snapshot_id LIMIT %s""",
            [limit],
        ).fetchall()
        for number, (key, at, market, payload, home, away, draw) in enumerate(rows, start=1):
            line = {
                "snapshot_id": key,
                "snapshot_at": at,
                "market_id": market,
                "raw_payload": orjson.Fragment(payload),
                "selection_ids": {"home": home, "away": away, "draw": draw},
            }
            derived = derive(orjson.dumps(line))
            connection.execute(
                f"UPDATE market_derived_metrics SET {sets} WHERE snapshot_id = %s", [*derived.values, key]
            )
            if number % 500 == 0:
                connection.commit()
    return time.perf_counter() - started


def fill(url: str, rows: int) -> None:
    """Fresh tables with `rows` snapshots, each with a derived row of NULLs."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """TRUNCATE market_event_metadata, rederive.captures, rederive.market_derived_metrics_history,
               rederive.market_derived_metrics_baseline CASCADE"""
        )
        world = Synthetic()
        load(connection, world.metadata(), world.snapshots(rows))
        derive_bare_rows(connection)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def replay(settings: Settings, workers: int) -> tuple[float, Watch, dict[str, int]]:
    """Seconds of the whole command, what its processes used, and the command's own counts."""
    services = {one.service: one.pid for one in local.status(settings) if one.pid}
    watch = Watch(services)
    watch.start()
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "rederive", "replay", "betfair", "--json", "--workers", str(workers)],
        env={**os.environ, **settings.environment()},
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds = time.perf_counter() - started
    watch.ended.set()
    return seconds, watch, orjson.loads(done.stdout)


def main() -> None:
    """Print one line a contestant, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--script-rows", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder), kafka_bootstrap=None, database_url=None)
        endpoints = local.start(settings)
        try:
            migrate(endpoints.database_url)
            fill(endpoints.database_url, given.script_rows)
            slow = given.script_rows / script(endpoints.database_url, given.script_rows)
            print(f"script, UPDATE a row      {slow:10,.0f} rows/s  ({given.script_rows:,} rows)")
            fill(endpoints.database_url, given.rows)
            seconds, watch, counts = replay(settings.at(endpoints), given.workers)
            assert counts["updated"] == given.rows, counts
            fast = given.rows / seconds
            said = f"({given.rows:,} rows in {seconds:.1f} s)"
            print(f"rederive, {given.workers} agents        {fast:10,.0f} rows/s  {said}")
            print(f"ratio                     {fast / slow:10.1f}")
            for role, peak in sorted(watch.peaks.items()):
                print(f"peak memory, {role:12} {peak:10,.0f} MB")
            for role, used in sorted(watch.seconds().items()):
                print(f"processor, {role:14} {used / given.rows * 1e6:10,.1f} µs a row")
        finally:
            local.stop(settings)


if __name__ == "__main__":
    main()
