"""The applier: writes one batch at a time over a connection of its own, beside the thread that reads the next."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import psycopg
import stamina

from schemas.domain import Domain
from schemas.errors import Failed
from schemas.measures import Measures
from schemas.table import Mode
from sinks.apply import Applied, Result, apply
from sinks.batch import Batch, Share
from sinks.dead_letters import DeadLetters
from sinks.policies import prepare
from store.latencies import Latencies

# What waits for the database is said in our own words.
stamina.instrumentation.set_on_retry_hooks(())

log = logging.getLogger("rederive.sink")

_RETRY_CLASSES = ("40", "08", "53", "57")
_CONNECT_ATTEMPT_SECONDS = 300.0


class Applier:
    """Applies batches with patience. `modes` are those of the captures that it has met."""

    def __init__(
        self,
        domain: Domain,
        connect: Callable[[], psycopg.Connection],
        dead_letters: DeadLetters,
        latencies: Latencies,
        measures: Measures,
    ) -> None:
        self.modes: dict[str, Mode] = {}
        self._domain = domain
        self._connect = connect
        self._dead_letters = dead_letters
        self._latencies = latencies
        self._measures = measures
        self._connection: psycopg.Connection | None = None

    def begin(self, batch: Batch) -> Future[None]:
        """Write a batch on a thread of its own; the one before must be done. Its error, if any, is in the future.

        The thread holds no process back that has to end: what it hasn't committed comes again.
        """
        written: Future[None] = Future()
        threading.Thread(target=self._written, args=(batch, written), name="applier", daemon=True).start()
        return written

    def close(self) -> None:
        """Close the connection; nothing is being written."""
        if self._connection is not None:
            self._connection.close()

    def _written(self, batch: Batch, written: Future[None]) -> None:
        try:
            for share in batch.shares:
                self._write(share)
        except BaseException as error:
            written.set_exception(error)
        else:
            written.set_result(None)

    def _write(self, share: Share) -> None:
        begun = time.monotonic()
        done = self._apply(share)
        self._measures.batch(
            "merged", time.monotonic() - begun, units=done.applied, rows=done.rows, dead=len(done.refused)
        )
        if done.mode is not None:
            self.modes[share.capture_id] = done.mode
        if done.discarded:
            log.warning("%d records of %s are discarded: it isn't running", done.discarded, share.capture_id)
        self._dead_letters.send(done)
        self._measure(done.fresh)

    def _measure(self, results: Sequence[Result]) -> None:
        """How long it took until what came live is visible, which it is now."""
        now = time.time_ns() // 1_000_000
        live = [result for result in results if result.sent is not None]
        for result in live:
            self._latencies.add(
                {
                    "found": (result.looked, result.sent),
                    "computed": (result.sent, result.computed),
                    "merged": (result.computed, now),
                    "visible": (result.sent if result.looked is None else result.looked, now),
                },
                max(result.outcome.read, 1),
            )
        if live:
            self.note_latencies()

    def note_latencies(self) -> None:
        """Keep what has been measured, every second at most; nothing else is being written.

        Where the connection is gone it waits for the one that the next batch opens.
        """
        try:
            if self._connection is not None and not self._connection.closed:
                self._latencies.write(self._connection)
        except psycopg.Error as error:
            log.info("latencies are not noted: %s", error)

    def _apply(self, share: Share) -> Applied:
        """What passes by itself is tried again, what needs a person is Failed."""
        for attempt in stamina.retry_context(
            on=passes, attempts=None, timeout=_CONNECT_ATTEMPT_SECONDS, wait_initial=0.05, wait_max=10.0
        ):
            with attempt:
                try:
                    return apply(self._connected(), self._domain, share.capture_id, share.results, share.ready)
                except psycopg.Error as error:
                    self._measures.failed("sink", self._latencies.lane.name)
                    if self._connection is not None and self._connection.broken:
                        self._connection = None
                    if passes(error):
                        if attempt.num == 1:
                            why = (str(error).strip() or type(error).__name__).splitlines()[0]
                            log.warning(
                                "rows of %s wait for the database and are written again whole: %s",
                                share.capture_id,
                                why,
                            )
                        raise
                    raise Failed(
                        f"rows of {share.capture_id} can't be written",
                        why=f"{error} [{error.sqlstate}]",
                        mend="run `rederive migrate`, then `rederive captures resume " + share.capture_id + "`",
                    ) from error
        raise AssertionError("unreachable")

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            connection = self._connect()
            prepare(connection, self._domain)
            self._connection = connection
        return self._connection


def passes(error: Exception) -> bool:
    """Whether trying again may help: the connection is gone, or the SQLSTATE's class is 40, 08, 53 or 57."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate[:2] in _RETRY_CLASSES
