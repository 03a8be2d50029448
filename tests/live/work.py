"""Live of betfair at work, as a person starts it, and snapshots that ingestion commits."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from rederive.settings import Settings
from samples.betfair.load import load
from samples.betfair.synthetic import Synthetic
from tests.program import start
from tests.wait import until

_COLUMNS = ("snapshot_at", "market_id", "raw_payload", "total_matched", "inplay", "status", "depth_limit")
_INSERT = f"""INSERT INTO market_book_snapshots ({", ".join(_COLUMNS)})
    VALUES ({", ".join(["%s"] * len(_COLUMNS))}) RETURNING snapshot_id"""
_READY_SECONDS = 60


class Ingester:
    """Commits snapshots of made-up markets one by one."""

    def __init__(self, connection: psycopg.Connection) -> None:
        world = Synthetic()
        load(connection, world.metadata(), ())
        self._connection = connection
        self._rows = world.snapshots(10**9)
        self._numbers = count()

    def commit(self, **said: Any) -> int:
        """A snapshot, with these columns' values; its id."""
        row = {**next(self._rows), **said}
        values = [Jsonb(row[name]) if name == "raw_payload" else row.get(name) for name in _COLUMNS]
        found = self._connection.execute(_INSERT, values).fetchone()
        assert found is not None
        return int(found[0])


def is_derived(connection: psycopg.Connection, key: int) -> bool:
    """Whether a snapshot's row is there."""
    query = "SELECT 1 FROM market_derived_metrics WHERE snapshot_id = %s"
    return connection.execute(query, [key]).fetchone() is not None


@contextmanager
def live(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """`rederive live betfair`, stopped in order afterwards."""
    process = start(settings, "live", "betfair")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def begin(connection: psycopg.Connection, ingester: Ingester, process: subprocess.Popen[str]) -> int:
    """Wait until what is committed is derived; the id of the last snapshot."""

    def derived() -> int | None:
        assert process.poll() is None, process.communicate()
        key = ingester.commit()
        try:
            until(lambda: is_derived(connection, key), 1, "not yet")
        except AssertionError:
            return None
        return key

    key = until(derived, _READY_SECONDS, "live derives nothing")
    assert key is not None
    return key
