"""A run: send a capture's units, watch its agents and sinks, until every unit has an outcome.

Progress is what the units table says, so a run can be killed and resumed at any moment.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from producers.source import Refusal, Source, Split
from rederive import captures
from rederive.closing import close
from rederive.database import failure, first_line, session
from rederive.giving_way import Window
from rederive.hours import Hours
from rederive.lanes import Lanes
from rederive.memory import Memory
from rederive.pace import Pace
from rederive.settings import Settings
from rederive.spares import Spares
from schemas.capture import Capture, CaptureState, Progress
from schemas.errors import Away, Failed
from schemas.lane import LaneName
from schemas.measures import UNMEASURED, Measures
from schemas.unit import Delivered
from store import captures as stored
from store import sessions, units

log = logging.getLogger(__name__)

Listener = Callable[[Progress], None]
OpenSource = Callable[[psycopg.Connection], AbstractContextManager[Source[Any]]]

_SEND_AT_ONCE = 32
_SEND_SECONDS = 0.2
_PACE_SECONDS = 0.02
_DELIVERY_SECONDS = 10.0
_PROGRESS_SECONDS = 0.25
# Of the last units the end is waited for; looking for it costs little as they are few.
_LAST_UNITS, _LAST_PROGRESS_SECONDS = 8, 0.05
_PATIENCE_SECONDS = 300.0
_STALL_SECONDS = 15.0
_LOCK_SECONDS = 5.0
_PAUSE_SECONDS = 1.0


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
    sinks: int
    spares: Spares = field(default_factory=Spares)
    measures: Measures = UNMEASURED
    hours: Hours | None = None

    def __call__(self) -> Progress:
        """Work until the capture is complete. Failed when it was cancelled, or when nothing moves for 5 minutes.

        KeyboardInterrupt, or what the listener raises, leaves everything such that `captures resume` goes on. The
        listener is called several times a second, while a service is away as often as that is tried. Outside `hours`
        nothing new is sent; when all that is on its way is done the workers stop until they begin.
        """
        with Lanes(self.settings, self.capture, self.agents, self.sinks, self.spares, self.measures) as lanes:
            try:
                return self._until_complete(lanes)
            finally:
                self._note_delivered(lanes.flush(2.0))

    def _note_delivered(self, delivered: list[Delivered]) -> None:
        if not delivered:
            return
        try:
            with self._connect() as connection:
                units.mark_sent(connection, self.capture.capture_id, delivered)
        except psycopg.Error as error:
            log.warning("the last deliveries are not noted and will be sent again: %s", first_line(error))

    def _until_complete(self, lanes: Lanes) -> Progress:
        """Step until complete; a database or a broker that goes away is waited for."""
        step = _Steps(self.capture, lanes, self.listener, self.measures, self.hours)
        self.measures.begun(lambda: step.progress.units - step.progress.units_done)
        moved = looked = time.monotonic()
        said = ""
        while True:
            try:
                with self._connected() as connection, self.open_source(connection) as source:
                    step.begin(connection, source)
                    while not step.complete:
                        lanes.check()
                        if step.advance():
                            moved, said = time.monotonic(), ""
                            self.measures.moving()
                        elif time.monotonic() - max(moved, looked) > _STALL_SECONDS:
                            looked = time.monotonic()
                            if not step.room() and lanes.nothing_waits():
                                step.send_again(connection)
                        _give_up_after(moved, step.progress)
                    return step.progress
            except (psycopg.OperationalError, Away) as error:
                line = _of_outage(error)
                if line != said:
                    log.warning("%s", line)
                said = line
                if time.monotonic() - moved > _PATIENCE_SECONDS:
                    if isinstance(error, Away):
                        raise
                    raise failure(error, "the replay") from error
                self.listener(step.progress)
                time.sleep(1.0)

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
        return session(self.database_url, captures.run_name(self.capture.capture_id))

    def _locked(self, connection: psycopg.Connection) -> bool:
        """Lock the capture; a session that has just gone may hold it a moment longer."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while not (locked := sessions.lock_run(connection, self.capture.number)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return locked


class _Steps:
    """Sending and counting, a little at a time."""

    def __init__(
        self,
        capture: Capture,
        lanes: Lanes,
        listener: Listener,
        measures: Measures = UNMEASURED,
        hours: Hours | None = None,
    ) -> None:
        self.capture, self.lanes, self.listener, self.measures = capture, lanes, listener, measures
        self.hours = hours
        self.complete = False
        self.progress = Progress(0, 0, 0, 0, 0, 0, 0, 0, 0)
        self._connection: psycopg.Connection | None = None
        self._source: Source[Any] | None = None
        self._pending: list[Delivered] = []
        self._after = -1
        self._sent = self._given_up = 0
        self._done_before: int | None = None
        self._all_sent = self._awaited = False
        self._looked = 0.0
        self._memory = Memory()
        self._window = Window()
        self._pace = Pace(capture.request.get("rate"))
        self._opens: datetime | None = None
        self._said: datetime | None = None

    def begin(self, connection: psycopg.Connection, source: Source[Any]) -> None:
        """Begin, or go on with a new connection."""
        self._connection, self._source = connection, source
        # What was delivered over the old one is not to be sent again.
        self._mark(connection)
        self._window.look(connection)
        self._said = None
        self._keep_hours(connection)
        self._open_lanes(connection)

    def _keep_hours(self, connection: psycopg.Connection) -> None:
        """Pause outside the hours: say until when, and let the workers go once nothing is on its way to them."""
        before, self._opens = self._opens, self.hours.opens(datetime.now(UTC)) if self.hours else None
        if self._opens != self._said:
            sessions.name_run(connection, captures.run_name(self.capture.capture_id, self._opens))
            self._said = self._opens
            if self._opens is not None:
                log.info("outside the window %s nothing is sent: waits until %s", self.hours, _said_time(self._opens))
        if self._opens is not None and self.lanes.are_open and not self._on_their_way():
            self._mark(connection)
            self.lanes.rest()
        if before is not None and self._opens is None:
            log.info("the window %s has begun, it goes on", self.hours)
            self._open_lanes(connection)

    def _on_their_way(self) -> int:
        """Units that are sent, or being sent, and have no outcome."""
        return max(0, self._sent + self._given_up - self.progress.units_done + (self._done_before or 0))

    def _open_lanes(self, connection: psycopg.Connection) -> None:
        if self._opens is not None:
            return
        for name, waiting in units.lanes(connection, self.capture.capture_id).items():
            if self._may_send(name):
                self.lanes.open(connection, name, waiting)

    def _may_send(self, lane: LaneName) -> bool:
        """Whether units of the lane may be read and sent: a dry run keeps nothing on a log, so asks for nothing new."""
        return not self.capture.dry_run or lane is LaneName.REPLAY

    def advance(self) -> bool:
        """Send some, count sometimes; whether something has moved.

        That is a unit sent, an outcome since the last count, or a unit that is to come: a source has promised it and
        looks after it, or the run's pace has it wait.
        """
        assert self._connection is not None
        self._awaited = False
        begun, before = time.monotonic(), self._sent
        sent = self._send(self._connection) if self.room() else 0
        if self._sent > before:
            self.measures.batch("sent", time.monotonic() - begun, units=self._sent - before)
        self._pending += self.lanes.poll()
        if len(self._pending) >= _SEND_AT_ONCE or not sent:
            self._mark(self._connection)
        moved = sent > 0 or self._awaited
        left = self.progress.units - self.progress.units_done
        pause = _PROGRESS_SECONDS if left > _LAST_UNITS else _LAST_PROGRESS_SECONDS
        if self._opens is not None and not self.lanes.are_open:
            pause = _PAUSE_SECONDS
            time.sleep(_PROGRESS_SECONDS)
        if time.monotonic() - self._looked >= pause:
            self._keep_hours(self._connection)
            # Who may send nothing doesn't hang.
            return self._look(self._connection) or moved or self._opens is not None
        if not moved:
            time.sleep(0.02)
        return moved

    def _mark(self, connection: psycopg.Connection) -> None:
        assert self._source is not None
        if self._pending:
            with connection.transaction():
                units.mark_sent(connection, self.capture.capture_id, self._pending)
                self._source.delivered(connection, self.capture, self._pending)
            self._pending = []

    def send_again(self, connection: psycopg.Connection) -> None:
        """Look for units to send from the beginning: those whose outcomes can't come, and those planned again since."""
        if again := units.plan_sent(connection, self.capture.capture_id):
            log.warning("%d units were sent, nothing waits in the topics, no outcome came: they are sent again", again)
        self._sent -= again
        self._after, self._all_sent = -1, False

    def room(self) -> bool:
        """Whether there may be units to send, and the queue is short enough for them."""
        return self._opens is None and not self._all_sent and self._left() > 0

    def _left(self) -> int:
        """How many more units may be on their way."""
        return self._window.units - self._on_their_way()

    def _send(self, connection: psycopg.Connection) -> int:
        assert self._source is not None
        if self._pace.waits():
            self._awaited = True
            time.sleep(_PACE_SECONDS)
            return 0
        most = max(1, min(_SEND_AT_ONCE, self._left()))
        planned = units.planned(connection, self.capture.capture_id, self._after, most, self._source.located)
        started = time.monotonic()
        for sent, unit in enumerate(planned):
            if self._may_send(unit.lane):
                read = self._source.read(self.capture.capture_id, self.capture.columns, unit)
            else:
                read = Refusal(unit, f"{unit.key_range}: a dry run asks for nothing new and keeps nothing on a log")
            if read is None:
                self._awaited = True
                return sent
            if isinstance(read, Split):
                log.info("unit %d (%s): %s", unit.unit, unit.key_range, read.reason)
                units.split(connection, self.capture.capture_id, unit, read.parts)
                # The first part keeps the number; it comes next.
                return sent + 1
            if isinstance(read, Refusal):
                log.error("unit %d (%s): %s", unit.unit, unit.key_range, read.reason)
                units.give_up(connection, self.capture.capture_id, unit.unit, read.reason)
                # It counts as done from now on, and was never on its way.
                self._given_up += 1
            else:
                self.lanes.send(unit, read)
                self._sent += 1
                self._pace.take(self._source.counted(unit))
                if unit.lane is not LaneName.REPLAY:
                    # What arrives for the first time was costly: a run that dies asks for no more than the last again.
                    self._pending += self.lanes.flush(_DELIVERY_SECONDS)
                    self._mark(connection)
            self._after = unit.unit
            if self._pace.waits() or time.monotonic() - started > _SEND_SECONDS:
                break
        self._all_sent = not planned
        return len(planned)

    def _look(self, connection: psycopg.Connection) -> bool:
        before = self.progress
        self.progress = units.progress(connection, self.capture.capture_id)
        if self._done_before is None:
            self._done_before = self.progress.units_done
        self._looked = time.monotonic()
        self._window.look(connection)
        self._memory.look(self.lanes.processes())
        self.listener(self.progress)
        self.complete = self._ended(connection)
        if self.progress.complete and not self.complete and not self._more(connection):
            close(connection, self.capture)
            self._memory.look(self.lanes.processes(), last=True)
            stored.note_memory(connection, self.capture.capture_id, self._memory.describe())
            self.complete = stored.finish(connection, self.capture.capture_id)
        return self.progress.units_done > before.units_done

    def _ended(self, connection: psycopg.Connection) -> bool:
        """Whether the capture is complete already; TakenOverError when somebody else has ended it."""
        capture_id = self.capture.capture_id
        found = stored.find(connection, capture_id)
        state = found.state if found else "gone"
        if state in (CaptureState.RUNNING, CaptureState.COMPLETE):
            return state == CaptureState.COMPLETE
        raise TakenOverError(
            f"{capture_id} is {state}: somebody ended it meanwhile", mend=captures.way_on(capture_id, state)
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
            if not stored.holds_running(connection, self.capture):
                # The next look says what has become of it.
                return True
            for due in self._source.more(connection, self.capture):
                units.append(connection, self.capture.capture_id, due)
                added += len(due)
        if added:
            self._all_sent = False
            self._open_lanes(connection)
        return added > 0


def _said_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _of_outage(error: psycopg.OperationalError | Away) -> str:
    if isinstance(error, Away):
        return f"{error.what}, trying again"
    return f"the database refused, or the connection is gone: {first_line(error)}; what is merged stays, trying again"


def _give_up_after(moved: float, progress: Progress) -> None:
    if time.monotonic() - moved > _PATIENCE_SECONDS:
        raise Failed(
            f"no unit has been finished for {_PATIENCE_SECONDS:.0f} s, {progress.units_done} of {progress.units} are",
            why="the broker, an agent or a sink doesn't get on; `rederive logs` says which",
            mend="mend it, then resume the capture",
        )
