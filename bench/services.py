"""What the services take while a command runs: whose work Postgres does, what both hold in memory and on disk."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

_LOOK_SECONDS = 0.25
_OWN = "bench services"
_TABLES = {
    "serving": "market_derived_metrics",
    "history": "rederive.market_derived_metrics_history",
    "baseline": "rederive.market_derived_metrics_baseline",
    "units": "rederive.units",
    "origins": "rederive.origins",
}


class Services(threading.Thread):
    """Processor seconds of Postgres by whose they are, and the most MB that each service held, until `ended` is set.

    Whose: `reading` is what a run's connections plan, read and count, `merging` what sinks write. What else the server
    does (checkpoints, write-ahead log, vacuum) is the difference to all that it used, which only its parent process
    knows. Memory of Postgres is what its processes have for themselves; shared buffers come to it once.
    """

    def __init__(self, url: str, kafka: int) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.peaks = {"kafka": 0.0, "postgres": 0.0}
        self._kafka = psutil.Process(kafka)
        self._connection = psycopg.connect(url, autocommit=True, application_name=_OWN)
        self._shared = _megabytes(self._connection, "shared_buffers")
        self._used: dict[tuple[str, int], float] = {}

    def run(self) -> None:
        """Look four times a second."""
        with self._connection:
            while not self.ended.wait(_LOOK_SECONDS):
                self._look()

    def seconds(self) -> dict[str, float]:
        """Processor seconds of `reading`, `merging` and `looking` so far; all of it when the watch has ended."""
        found = {"reading": 0.0, "merging": 0.0, "looking": 0.0}
        for (whose, _), seconds in self._used.copy().items():
            found[whose] += seconds
        return found

    def _look(self) -> None:
        rows = self._connection.execute("SELECT pid, coalesce(application_name, '') FROM pg_stat_activity").fetchall()
        private = 0.0
        for pid, application in rows:
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                memory = process.memory_info()
                private += (memory.rss - memory.shared) / 1e6
                if whose := _whose(application):
                    times = process.cpu_times()
                    self._used[whose, pid] = times.user + times.system
        self.peaks["postgres"] = max(self.peaks["postgres"], private + self._shared)
        with suppress(psutil.Error):
            self.peaks["kafka"] = max(self.peaks["kafka"], self._kafka.memory_info().rss / 1e6)


def _whose(application: str) -> str | None:
    if application.startswith("rederive sink"):
        return "merging"
    if application.startswith("rederive"):
        return "reading"
    return "looking" if application == _OWN else None


def _megabytes(connection: psycopg.Connection, name: str) -> float:
    """A setting of memory, in MB."""
    row = connection.execute("SELECT pg_size_bytes(current_setting(%s))", [name]).fetchone()
    assert row is not None
    return float(row[0]) / 1e6


def table_bytes(connection: psycopg.Connection) -> dict[str, tuple[int, int]]:
    """Bytes of each table that a replay writes: of its rows, and of its indexes."""
    found = {}
    for name, table in _TABLES.items():
        row = connection.execute("SELECT pg_table_size(%(t)s), pg_indexes_size(%(t)s)", {"t": table}).fetchone()
        assert row is not None
        found[name] = (int(row[0]), int(row[1]))
    return found


def snapshot_bytes(connection: psycopg.Connection) -> float:
    """Bytes of a stored snapshot, without indexes."""
    row = connection.execute(
        "SELECT pg_table_size('market_book_snapshots')::float8 / count(*) FROM market_book_snapshots"
    ).fetchone()
    assert row is not None
    return float(row[0])


def wal_bytes(connection: psycopg.Connection) -> int:
    """How much write-ahead log there has been."""
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").fetchone()
    assert row is not None
    return int(row[0])


def topic_bytes(home: Path, topics: Mapping[str, str]) -> dict[str, int]:
    """Bytes that the embedded broker keeps of topics, by the names they are given here."""
    return {
        name: sum(path.stat().st_size for path in home.glob(f"kafka/data/**/{topic}-[0-9]*/*.log"))
        for name, topic in topics.items()
    }
