"""How long commands take that do little: the help, and a replay of few rows with services that run.

    python -m bench.start [--rows 100] [--runs 7]

Of a replay: from the command to its first applied unit (start), from the last unit to the end of the command (stop),
all of it, and the processor's time of the command and its workers. The least, the median and the most of several runs,
after one that isn't counted: it writes the interpreter's files and makes the topics.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.rows import fill
from rederive import local
from rederive.migrate import migrate
from rederive.settings import Settings

_REPLAY = ("replay", "betfair", "--all-rows", "--mode", "supersede", "--json")
_LOOK_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of one command: by the clock, of the processor, to its first applied unit, after its last."""

    wall: float
    cpu: float
    start: float = 0.0
    stop: float = 0.0


class _Units(threading.Thread):
    """When the units of the next capture are applied: the first and the last, by the clock of this process."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.first = self.last = 0.0
        self.ended = threading.Event()
        self._connection = psycopg.connect(url, autocommit=True)
        self._before = self._applied()

    def run(self) -> None:
        """Look until the command has ended."""
        with self._connection:
            seen = self._before
            while not self.ended.wait(_LOOK_SECONDS):
                applied = self._applied()
                if applied > seen:
                    self.last = time.perf_counter()
                    self.first = self.first or self.last
                    seen = applied

    def _applied(self) -> int:
        row = self._connection.execute("SELECT count(*) FROM rederive.units WHERE state = 'applied'").fetchone()
        assert row is not None
        return int(row[0])


def command(settings: Settings, words: Sequence[str]) -> tuple[float, float, float]:
    """Run `rederive`; when it began, when it ended, and the processor's seconds of all its processes."""
    # An interpreter that keeps no compiled files compiles every module in every process.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "rederive", *words],
        env={**environment, **settings.environment()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    ended = time.perf_counter()
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise SystemExit(said.decode())
    return started, ended, used.ru_utime + used.ru_stime


def of_help(settings: Settings) -> Taken:
    """`rederive --help`."""
    started, ended, cpu = command(settings, ["--help"])
    return Taken(ended - started, cpu)


def of_replay(settings: Settings, url: str) -> Taken:
    """A replay of everything that is stored."""
    units = _Units(url)
    units.start()
    started, ended, cpu = command(settings, _REPLAY)
    units.ended.set()
    units.join()
    return Taken(ended - started, cpu, units.first - started, ended - units.last)


def show(name: str, runs: Sequence[Taken], *fields: str) -> None:
    """Print one line a figure, in ms."""
    for field in fields:
        values = [1e3 * getattr(taken, field) for taken in runs]
        least, middle, most = min(values), statistics.median(values), max(values)
        print(f"{name:8} {field:6} {least:8,.0f} {middle:8,.0f} {most:8,.0f}")


def _several(runs: int, measure: Callable[[], Taken]) -> list[Taken]:
    measure()
    return [measure() for _ in range(runs)]


def main() -> None:
    """Print least, median and most of each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder), kafka_bootstrap=None, database_url=None)
        endpoints = local.start(settings)
        try:
            settings = settings.at(endpoints)
            migrate(endpoints.database_url)
            fill(endpoints.database_url, given.rows)
            print(f"{'ms':15} {'least':>8} {'median':>8} {'most':>8}")
            show("help", _several(2 * given.runs, lambda: of_help(settings)), "wall", "cpu")
            replays = _several(given.runs, lambda: of_replay(settings, endpoints.database_url))
            show("replay", replays, "start", "stop", "wall", "cpu")
        finally:
            local.stop(settings)


if __name__ == "__main__":
    main()
