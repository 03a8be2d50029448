"""A run: send a capture's units, watch its agents and sinks, until every unit has an outcome.

Progress is what the units table says, so a run can be killed and resumed at any moment.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import psycopg

from producers import ledger
from producers.sender import Delivered
from producers.source import Refusal, Source
from rederive import captures
from rederive.after import follow
from rederive.database import connection_string, failure
from rederive.memory import Memory
from rederive.outlets import Outlets
from rederive.settings import Settings
from schemas.capture import Capture, CaptureState, Progress
from schemas.errors import Failed
from schemas.lane import LaneName

log = logging.getLogger(__name__)

Listener = Callable[[Progress], None]
OpenSource = Callable[[psycopg.Connection], AbstractContextManager[Source]]

WINDOW_UNITS = 1_000
"""Units on their way at most: what stands in the queue is bounded however much is replayed."""

_SEND_AT_ONCE = 32
_SEND_SECONDS = 0.2
_DELIVERY_SECONDS = 10.0
_PROGRESS_SECONDS = 0.25
_PATIENCE_SECONDS = 300.0
_STALL_SECONDS = 15.0
_LOCK_SECONDS = 5.0


class TakenOverError(Failed):
    """Somebody else decides about the capture now."""


@dataclass(slots=True)
class Run:
    """One process's work on a capture. `database_url` and `settings` name services that answer."""

    settings: Settings
    database_url: str
    capture: Capture
    open_source: OpenSource
    listener: Listener
    agents: int

    def __call__(self) -> Progress:
        """Work until the capture is complete. Failed when it was cancelled, or when nothing moves for 5 minutes.

        KeyboardInterrupt leaves everything such that `captures resume` goes on.
        """
        with Outlets(self.settings, self.capture, self.agents) as outlets:
            try:
                return self._until_complete(outlets)
            finally:
                self._note_delivered(outlets.flush(2.0))

    def _note_delivered(self, delivered: list[Delivered]) -> None:
        if not delivered:
            return
        try:
            with self._connect() as connection:
                ledger.mark_sent(connection, self.capture.capture_id, delivered)
        except psycopg.Error as error:
            log.warning("the last deliveries are not noted and will be sent again: %s", error)

    def _until_complete(self, outlets: Outlets) -> Progress:
        """Step until complete; a database that goes away is waited for."""
        step = _Steps(self.capture, outlets, self.listener)
        moved = looked = time.monotonic()
        said = ""
        while True:
            try:
                with self._connected() as connection, self.open_source(connection) as source:
                    step.begin(connection, source)
                    said = ""
                    while not step.complete:
                        outlets.check()
                        if step.advance():
                            moved = time.monotonic()
                        elif time.monotonic() - max(moved, looked) > _STALL_SECONDS:
                            looked = time.monotonic()
                            if not step.room() and outlets.nothing_waits():
                                step.send_again(connection)
                        _give_up_after(moved, step.progress)
                    return step.progress
            except psycopg.OperationalError as error:
                why = (str(error).strip() or type(error).__name__).splitlines()[0]
                if why != said:
                    log.warning("the database refused or went away, trying again: %s", why)
                said = why
                if time.monotonic() - moved > _PATIENCE_SECONDS:
                    raise failure(error, "the replay") from error
                threading.Event().wait(1.0)

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        """A connection that holds the capture: nobody else may run it meanwhile."""
        with self._connect() as connection:
            if not self._locked(connection):
                raise TakenOverError(
                    f"{self.capture.capture_id} is being run by another process",
                    why=captures.at_work(connection).get(self.capture.capture_id, ""),
                    mend="watch it with `rederive captures show " + self.capture.capture_id + "`",
                )
            yield connection

    def _connect(self) -> psycopg.Connection:
        name = f"rederive replay {self.capture.capture_id}"
        return psycopg.connect(connection_string(self.database_url, name), autocommit=True)

    def _locked(self, connection: psycopg.Connection) -> bool:
        """Lock the capture; a session that has just gone may hold it a moment longer."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            row = connection.execute(
                "SELECT pg_try_advisory_lock(hashtext('rederive.run'), %s)", [self.capture.number]
            ).fetchone()
            if row is not None and row[0]:
                return True
            if time.monotonic() > deadline:
                return False
            threading.Event().wait(0.1)


class _Steps:
    """Sending and counting, a little at a time."""

    def __init__(self, capture: Capture, outlets: Outlets, listener: Listener) -> None:
        self.capture, self.outlets, self.listener = capture, outlets, listener
        self.complete = False
        self.progress = Progress(0, 0, 0, 0, 0, 0, 0, 0, 0)
        self._connection: psycopg.Connection | None = None
        self._source: Source | None = None
        self._pending: list[Delivered] = []
        self._after = -1
        self._sent = 0
        self._done_before: int | None = None
        self._all_sent = self._awaited = False
        self._looked = 0.0
        self._memory = Memory()

    def begin(self, connection: psycopg.Connection, source: Source) -> None:
        """Begin, or go on with a new connection."""
        self._connection, self._source = connection, source
        # What was delivered over the old one is not to be sent again.
        self._mark(connection)
        self._open_lanes(connection)

    def _open_lanes(self, connection: psycopg.Connection) -> None:
        for name, units in ledger.lanes(connection, self.capture.capture_id).items():
            if self._may_send(name):
                self.outlets.open(connection, name, units)

    def _may_send(self, lane: LaneName) -> bool:
        """Whether units of the lane may be read and sent: a dry run keeps nothing on a log, so asks for nothing new."""
        return not self.capture.dry_run or lane is LaneName.REPLAY

    def advance(self) -> bool:
        """Send some, count sometimes; whether something has moved.

        That is a unit sent, an outcome since the last count, or a source that has promised a unit and looks after it.
        """
        assert self._connection is not None
        self._awaited = False
        sent = self._send(self._connection) if self.room() else 0
        self._pending += self.outlets.poll()
        if len(self._pending) >= _SEND_AT_ONCE or not sent:
            self._mark(self._connection)
        moved = sent > 0 or self._awaited
        if time.monotonic() - self._looked >= _PROGRESS_SECONDS:
            return self._look(self._connection) or moved
        if not moved:
            threading.Event().wait(0.02)
        return moved

    def _mark(self, connection: psycopg.Connection) -> None:
        assert self._source is not None
        if self._pending:
            with connection.transaction():
                ledger.mark_sent(connection, self.capture.capture_id, self._pending)
                self._source.delivered(connection, self.capture, self._pending)
            self._pending = []

    def send_again(self, connection: psycopg.Connection) -> None:
        """Look for units to send from the beginning: those whose outcomes can't come, and those planned again since."""
        if again := ledger.send_again(connection, self.capture.capture_id):
            log.warning("%d units were sent, nothing waits in the topics, no outcome came: they are sent again", again)
        self._sent -= again
        self._after, self._all_sent = -1, False

    def room(self) -> bool:
        """Whether there may be units to send, and the queue is short enough for them."""
        done = self.progress.units_done - (self._done_before or 0)
        return not self._all_sent and self._sent - done < WINDOW_UNITS

    def _send(self, connection: psycopg.Connection) -> int:
        assert self._source is not None
        units = ledger.planned(connection, self.capture.capture_id, self._after, _SEND_AT_ONCE)
        started = time.monotonic()
        for sent, unit in enumerate(units):
            if self._may_send(unit.lane):
                read = self._source.read(self.capture.capture_id, self.capture.columns, unit)
            else:
                read = Refusal(unit, f"{unit.key_range}: a dry run asks for nothing new and keeps nothing on a log")
            if read is None:
                self._awaited = True
                return sent
            if isinstance(read, Refusal):
                ledger.refuse(connection, self.capture.capture_id, read)
                log.log(
                    logging.INFO if read.halves else logging.ERROR,
                    "unit %d (%s): %s",
                    unit.unit,
                    unit.key_range,
                    read.reason,
                )
                if read.halves is not None:
                    # The first half keeps the number; it comes next.
                    return sent + 1
            else:
                self.outlets.send(unit, read)
                self._sent += 1
                if unit.lane is not LaneName.REPLAY:
                    # What arrives for the first time was costly: a run that dies asks for no more than the last again.
                    self._pending += self.outlets.flush(_DELIVERY_SECONDS)
                    self._mark(connection)
            self._after = unit.unit
            if time.monotonic() - started > _SEND_SECONDS:
                break
        self._all_sent = not units
        return len(units)

    def _look(self, connection: psycopg.Connection) -> bool:
        before = self.progress
        self.progress = ledger.progress(connection, self.capture.capture_id)
        if self._done_before is None:
            self._done_before = self.progress.units_done
        self._looked = time.monotonic()
        self._memory.look(self.outlets.processes())
        self.listener(self.progress)
        self.complete = self._ended(connection)
        if self.progress.complete and not self.complete and not self._more(connection):
            follow(connection, self.capture)
            self._memory.look(self.outlets.processes(), last=True)
            ledger.note_memory(connection, self.capture.capture_id, self._memory.describe())
            self.complete = ledger.finish(connection, self.capture.capture_id)
        return self.progress.units_done > before.units_done

    def _ended(self, connection: psycopg.Connection) -> bool:
        """Whether the capture is complete already; TakenOverError when somebody else has ended it."""
        capture_id = self.capture.capture_id
        found = ledger.find(connection, capture_id)
        state = found.state if found else "gone"
        if state in (CaptureState.RUNNING, CaptureState.COMPLETE):
            return state == CaptureState.COMPLETE
        again = f"`rederive captures resume {capture_id}` goes on with it"
        raise TakenOverError(
            f"{capture_id} is {state}: somebody ended it meanwhile",
            mend=again if state == CaptureState.CANCELLED else captures.START_ANEW,
        )

    def _more(self, connection: psycopg.Connection) -> bool:
        """Add the units that those applied have made due; whether there are any.

        What they are to read stays until they are there: a rollback that wants it gone finds them.
        """
        assert self._source is not None
        if self.capture.dry_run:
            # It has written nothing that anything could follow from.
            return False
        added = 0
        with connection.transaction():
            if not ledger.holds_running(connection, self.capture):
                # The next look says what has become of it.
                return True
            for units in self._source.more(connection, self.capture):
                ledger.append(connection, self.capture.capture_id, units)
                added += len(units)
        if added:
            self._all_sent = False
            self._open_lanes(connection)
        return added > 0


def _give_up_after(moved: float, progress: Progress) -> None:
    if time.monotonic() - moved > _PATIENCE_SECONDS:
        raise Failed(
            f"no unit has been finished for {_PATIENCE_SECONDS:.0f} s, {progress.units_done} of {progress.units} are",
            why="the broker, an agent or a sink doesn't get on; `rederive logs` says which",
            mend="mend it, then resume the capture",
        )
