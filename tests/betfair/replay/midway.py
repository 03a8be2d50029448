"""Runs held midway: at a row that another transaction has locked, for as long as a test wants."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from rederive.database import connect
from rederive.settings import Settings
from tests.program import start
from tests.wait import until


@contextmanager
def running(settings: Settings, *words: str, forked: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Start a command, as `start` does; it doesn't outlive the block."""
    run = start(settings, *words, forked=forked)
    try:
        yield run
    finally:
        if run.poll() is None:
            run.kill()
            run.communicate()


_SINK_WAITS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'rederive sink%' AND wait_event_type = 'Lock'"""


def sink_stands(connection: psycopg.Connection) -> bool:
    """Whether a sink stands at a lock."""
    return connection.execute(_SINK_WAITS).fetchone() != (0,)


def sink_waits(url: str) -> None:
    """Until a sink stands at a lock."""
    with connect(url, application="tests") as looking:
        until(lambda: sink_stands(looking), 60, "no sink came to what is held")


class Held:
    """The lock: `reached` waits until a sink stands at it, `release` lets it go on."""

    def __init__(self, url: str, snapshot_id: int) -> None:
        self._url = url
        self._connection = connect(url, application="holder", autocommit=False)
        self._connection.execute("SELECT FROM market_derived_metrics WHERE snapshot_id = %s FOR UPDATE", [snapshot_id])

    def reached(self) -> None:
        sink_waits(self._url)

    def release(self) -> None:
        with suppress(psycopg.Error):
            self._connection.rollback()
        self._connection.close()


@contextmanager
def held(url: str, snapshot_id: int) -> Iterator[Held]:
    """Hold the derived row of a snapshot; whatever happens, it is let go in the end."""
    lock = Held(url, snapshot_id)
    try:
        yield lock
    finally:
        lock.release()
