"""Reads of the database for the HTTP API: pooled sessions that can't write, wait for no lock, and end in time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from rederive.database import agree, check_version, connect, connection_string, explained, place
from rederive.endpoints import running
from rederive.settings import Settings
from schemas.errors import Away, Failed

APPLICATION = "rederive dashboard"
SESSIONS = 8
"""Sessions at most, whoever asks."""

_WAIT_SECONDS, _IDLE_SECONDS, _LOOK_SECONDS = 5.0, 60.0, 1.0
_ANSWER_SECONDS = 12.0
_CLOSE_SECONDS = 0.5
_MOST_WAITING = 200

# A read that a migration's lock holds up would hold up all that come behind it.
_BOUNDED = """
    SET default_transaction_read_only = on; SET statement_timeout = '10s'; SET lock_timeout = '2s';
    SET idle_in_transaction_session_timeout = '20s'"""

_BOUNDED_LARGE = """
    SET statement_timeout = '60s'; SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '20s'"""

_T = TypeVar("_T")


class _Session(psycopg.Connection):
    """A session that ends when the server says nothing for longer than a statement may take: it is frozen, or far."""

    def wait(self, gen: PQGen[_T], interval: float = 0.1, timeout: float | None = None) -> _T:
        until = time.monotonic() + _ANSWER_SECONDS
        try:
            return super().wait(gen, interval, timeout or _ANSWER_SECONDS)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and time.monotonic() >= until:
                self.pgconn.finish()
                raise psycopg.OperationalError(f"no answer within {_ANSWER_SECONDS:g} s") from error
            raise


class Reads:
    """Gives out sessions for reading. `close` it in the end; a database that comes back is found again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._large = threading.BoundedSemaphore(1)
        self._pool: ConnectionPool | None = None
        self._url: str | None = None
        self._looked = float("-inf")

    def close(self) -> None:
        """End the sessions."""
        with self._lock:
            if self._pool is not None:
                self._pool.close(timeout=_CLOSE_SECONDS)
            self._pool = self._url = None
            self._looked = float("-inf")

    @contextmanager
    def connection(self, doing: str = "the reading") -> Iterator[psycopg.Connection]:
        """A session in autocommit, read only, with 10 s a statement. Away when there is no database, or none is free.

        Failed for what the database refuses.
        """
        pool, url = self._opened()
        try:
            with explained(doing), pool.connection(timeout=_WAIT_SECONDS) as connection:
                yield connection
        except Failed as error:
            if (away := _away(url, error)) is None:
                raise
            raise away from error

    @contextmanager
    def temporary(self, doing: str) -> Iterator[psycopg.Connection]:
        """A session of its own that may make temporary tables, with 60 s a statement; one at a time.

        For what looks at whole captures, and writes nothing but what goes with the session. Errors as of `connection`.
        """
        _, url = self._opened()
        if not self._large.acquire(timeout=_WAIT_SECONDS):
            raise Away("somebody looks at a whole capture already", mend="try again in a moment")
        try:
            with explained(doing), connect(url, application=APPLICATION) as connection:
                connection.execute(_BOUNDED_LARGE)
                yield connection
        except Failed as error:
            if (away := _away(url, error)) is None:
                raise
            raise away from error
        finally:
            self._large.release()

    def _opened(self) -> tuple[ConnectionPool, str]:
        with self._lock:
            # An embedded server may come, go, and come on another port.
            if self._pool is None or time.monotonic() - self._looked > _LOOK_SECONDS:
                url = running(self.settings)[1]
                if url != self._url and self._pool is not None:
                    self._pool.close(timeout=_CLOSE_SECONDS)
                    self._pool = None
                self._url, self._looked = url, time.monotonic()
            if self._url is None:
                raise Away("no database runs", mend="`rederive local start`, or set REDERIVE_DATABASE_URL")
            if self._pool is None:
                place(self._url)
                self._pool = ConnectionPool[psycopg.Connection](
                    connection_string(self._url, APPLICATION),
                    connection_class=_Session,
                    kwargs={"autocommit": True},
                    min_size=1,
                    max_size=SESSIONS,
                    max_waiting=_MOST_WAITING,
                    max_idle=_IDLE_SECONDS,
                    reconnect_timeout=1.0,
                    configure=_configured,
                    check=ConnectionPool.check_connection,
                    open=True,
                )
            return self._pool, self._url


def _configured(connection: psycopg.Connection) -> None:
    agree(connection)
    check_version(connection)
    connection.execute(_BOUNDED)


def _away(url: str, error: Failed) -> Away | None:
    """What a person is told who may try again: there is no session, or the read took too long; None otherwise."""
    cause = error.__cause__
    if isinstance(cause, PoolTimeout):
        # The pool doesn't say why it has none: who knocks is told.
        try:
            connect(url, application=APPLICATION).close()
        except Failed as refused:
            return Away(refused.what, why=refused.why, mend=refused.mend)
        return Away("the database is busy", why=f"all {SESSIONS} sessions are in use", mend="try again in a moment")
    if isinstance(cause, TooManyRequests | PoolClosed):
        return Away("the database is busy", why="too many reads wait", mend="try again in a moment")
    if isinstance(cause, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
        return Away(error.what, why=error.why, mend="narrow the range, or try again in a moment")
    if isinstance(cause, psycopg.OperationalError):
        return Away(error.what, why=error.why, mend=error.mend)
    return None
