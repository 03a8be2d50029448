"""A rate limit that every process of a deployment keeps: a row of rederive.rate_limits says when the next call may be.

limit = RateLimit(connect, "https://api.example.com alice")
limit.acquire(stopping)     # returns when it is our turn: start the call now
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

import psycopg

from schemas.errors import Failed

log = logging.getLogger(__name__)

GAP_SECONDS = 0.502
"""Between turns: half a second, and what the way from the database to the start of the call may vary by."""

_LATE_SECONDS = 0.003
_RECONNECT_SECONDS = 0.5

# Infinite timestamps can't be subtracted before Postgres 17; their epochs can.
_WAIT = """SELECT (extract(epoch FROM next_at) - extract(epoch FROM clock_timestamp()))::float8
           FROM rederive.rate_limits WHERE name = %(name)s"""

# One statement, so nobody who dies can hold a turn. A turn beyond the gap can only come from a clock that was set back;
# one's own may be moved while nobody else's has come.
_TAKE = """UPDATE rederive.rate_limits SET next_at = clock_timestamp() + %(gap)s * interval '1 second'
           WHERE name = %(name)s
             AND (next_at <= clock_timestamp() OR next_at > clock_timestamp() + %(gap)s * interval '1 second'
                  OR next_at = %(mine)s)
           RETURNING next_at"""

_MAKE = "INSERT INTO rederive.rate_limits (name) VALUES (%(name)s) ON CONFLICT DO NOTHING"


class StoppedError(Exception):
    """Whoever waits was asked to stop."""


class RateLimit:
    """Turns at least `gap_seconds` apart over all threads and processes that name the same limit; no bursts.

    Times are the database's, so machines' clocks needn't agree. `connect` opens a connection for the limit alone; a
    database that is away is tried again for `patience_seconds`. May be shared by threads.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection],
        name: str,
        *,
        gap_seconds: float = GAP_SECONDS,
        patience_seconds: float = 300.0,
    ) -> None:
        self._connect = connect
        self._parameters = {"name": name, "gap": gap_seconds}
        self._gap, self._patience = gap_seconds, patience_seconds
        self._usual = float("inf")
        self._away_since: float | None = None
        self._connection: psycopg.Connection | None = None
        self._one_at_a_time = threading.Lock()

    def acquire(self, stopping: threading.Event) -> None:
        """Wait for the next turn and take it: the call is to start as this returns.

        StoppedError at once when `stopping` is set; Failed when the database stays away, or has no such table.
        """
        with self._one_at_a_time:
            while True:
                try:
                    self._take(self._connected(), stopping)
                    self._away_since = None
                    return
                except (psycopg.OperationalError, Failed) as error:
                    self._disconnect()
                    if self._away_since is None:
                        self._away_since = time.monotonic()
                        log.warning("the rate limit's database is away, trying again: %s", _first_line(error))
                    if time.monotonic() - self._away_since > self._patience:
                        raise _lost(error) from error
                    _pause(stopping, _RECONNECT_SECONDS)
                except psycopg.Error as error:
                    raise _lost(error) from error

    def close(self) -> None:
        """Close the connection; the next turn would open another."""
        with self._one_at_a_time:
            self._disconnect()

    def _take(self, connection: psycopg.Connection, stopping: threading.Event) -> None:
        mine: datetime | None = None
        while True:
            if mine is None:
                self._wait(connection, stopping)
            asked = time.monotonic()
            row = connection.execute(_TAKE, {**self._parameters, "mine": mine}).fetchone()
            took = time.monotonic() - asked
            late = took > self._usual + _LATE_SECONDS
            # A way that has become longer for good is usual the next time.
            self._usual = took if late else min(self._usual, took)
            if row and not late:
                return
            # Who learns late of a turn would start late, and the next one too soon after: the turn is moved.
            mine = row[0] if row else None

    def _wait(self, connection: psycopg.Connection, stopping: threading.Event) -> None:
        row = connection.execute(_WAIT, self._parameters).fetchone()
        if row is None:
            connection.execute(_MAKE, self._parameters)
        _pause(stopping, row[0] if row and 0 < row[0] <= self._gap else 0.0)

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = self._connect()
            self._connection.autocommit = True
            # A server that crashes may forget the last turn; coming back takes it longer than the gap.
            self._connection.execute("SET synchronous_commit = off")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _pause(stopping: threading.Event, seconds: float) -> None:
    if stopping.wait(seconds):
        raise StoppedError


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _lost(error: psycopg.Error | Failed) -> Failed:
    return Failed(
        "no turn can be taken at the API's rate limit, which the database keeps",
        why=_first_line(error),
        mend="see that the database answers and has its tables (`rederive migrate`), then start again",
    )
