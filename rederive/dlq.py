"""What people do with dead letters: find them, send their records again, drop them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from psycopg import Connection, OperationalError

from producers.dead_letters import Again, DeadLetters, Letter, Unsendable, send_again
from producers.topics import topic_id
from rederive import captures
from rederive.settings import Settings
from schemas.capture import CaptureState, UnitState
from schemas.domain import Domain
from schemas.errors import Failed, UsageError
from schemas.live import LiveDay
from schemas.unit import Origin
from store import captures as ledger
from store import dead_letters as stored
from store import live

_BATCH_LETTERS, _BATCH_BYTES = 200, 16 * 1024 * 1024
_ORIGIN = re.compile(r"(.+)\[([0-9]{1,9})\]@([0-9]{1,18})")


class State(StrEnum):
    """How a letter stands.

    DEAD waits for somebody; QUARANTINED has died too often; SENDING was being sent again when the command died;
    REQUEUED was sent again; APPLIED is the record's outcome now, by whatever way; DROPPED was given up.
    """

    DEAD = "dead"
    QUARANTINED = "quarantined"
    SENDING = "sending"
    REQUEUED = "requeued"
    APPLIED = "applied"
    DROPPED = "dropped"


OPEN = (State.DEAD, State.QUARANTINED, State.SENDING)
"""States in which there is something left to do."""


def origin_of(text: str) -> Origin:
    """A place as `topic[partition]@offset`. UsageError when it is none."""
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise UsageError(f"--origin {text!r} is no place", mend="write topic[partition]@offset, as `dlq list` does")
    return Origin(found[1], int(found[2]), int(found[3]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which letters: all that fit everything that is said. `since` and `until` (excluded) are when they died.

    `text` is a part of the reason, or the error's class; `origin` is the record's place, its first one, or the letter's
    own. `limit` counts the oldest.
    """

    capture: str | None = None
    stage: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    origin: Origin | None = None
    states: tuple[State, ...] = ()
    limit: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter fits, whatever its state is."""
        failure = letter.failure
        return (
            self.capture in (None, letter.capture)
            and self.stage in (None, failure.stage)
            and (self.text is None or self.text == failure.error or self.text.lower() in failure.reason.lower())
            and (self.since is None or letter.sent >= self.since)
            and (self.until is None or letter.sent < self.until)
            and (self.origin is None or self.origin in (failure.origin, failure.first, letter.place))
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A letter and how it stands. `noted` is what somebody did with it, `unit` how its unit is, if it has one."""

    letter: Letter
    state: State
    noted: stored.Noted | None
    unit: stored.UnitNow | None

    def describe(self) -> dict[str, Any]:
        """As one JSON object."""
        letter, failure = self.letter, self.letter.failure
        return {
            "place": str(letter.place),
            "state": self.state,
            "sent": letter.sent,
            "stage": failure.stage,
            "attempt": failure.attempt,
            "capture": letter.capture,
            "unit": letter.unit,
            "origin": str(failure.origin),
            "first": str(failure.identity),
            "error": failure.error,
            "reason": failure.reason,
            "version": failure.version,
            "bytes": letter.size,
            "sha256": failure.pointer.sha256 if failure.pointer else None,
            "at": self.noted.at if self.noted else None,
            "who": self.noted.who if self.noted else None,
            "why": self.noted.reason if self.noted else "",
        }


@dataclass(slots=True)
class Requeued:
    """What became of a requeue: letters by where their records stand now, others with why they were refused.

    `captures` are those of runs that have something to do again, `live` says that what came live waits for live work.
    """

    sent: list[tuple[Letter, Origin]] = field(default_factory=list)
    refused: list[tuple[Letter, str]] = field(default_factory=list)
    captures: list[str] = field(default_factory=list)
    live: bool = False


class Dlq:
    """A domain's dead letters. `settings` name the services."""

    def __init__(self, settings: Settings, domain: Domain, connection: Connection) -> None:
        self._kafka = settings.kafka_config()
        self._most = settings.dlq_attempts
        self._domain, self.connection = domain, connection
        self.letters = DeadLetters(self._kafka, domain.name, settings.topic_prefix)
        self._topic_id = topic_id(self._kafka, self.letters.topic) or ""

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings, domain: Domain, connection: Connection) -> Iterator[Self]:
        """One whose clients end with the block."""
        found = cls(settings, domain, connection)
        with closing(found.letters):
            yield found

    def find(self, asked: Asked) -> list[Found]:
        """The letters that are asked for, oldest first. Failed for a capture that nobody has made."""
        if asked.capture is not None and captures.latest_of(asked.capture) is not None:
            asked = replace(asked, capture=captures.named(self.connection, asked.capture))
        wanted = [letter for letter in self.letters.letters() if asked.takes(letter)]
        if asked.capture is not None and not wanted:
            captures.named(self.connection, asked.capture)
        noted = stored.noted(self.connection, self._topic_id)
        numbered = [(one.capture, one.unit) for one in wanted if one.capture is not None and one.unit is not None]
        units = stored.units_now(self.connection, numbered)
        applied = stored.applied(self.connection, [one.failure.identity for one in wanted if one.unit is None])
        found = []
        for letter in wanted:
            unit = units.get((letter.capture or "", -1 if letter.unit is None else letter.unit))
            done = letter.failure.identity in applied if letter.unit is None else False
            of_it = noted.get((letter.place.partition, letter.place.offset))
            state = self._state(letter, of_it, done=done or (unit is not None and unit.state is UnitState.APPLIED))
            if not asked.states or state in asked.states:
                found.append(Found(letter, state, of_it, unit))
        found.sort(key=lambda one: (one.letter.sent, one.letter.place))
        return found[: asked.limit]

    def _state(self, letter: Letter, noted: stored.Noted | None, *, done: bool) -> State:
        if noted is not None and noted.state == stored.DROPPED:
            return State.DROPPED
        if done:
            return State.APPLIED
        if noted is not None:
            return State(noted.state)
        return State.QUARANTINED if letter.failure.attempt >= self._most else State.DEAD

    def requeue(self, asked: Asked, *, force: bool = False, dry_run: bool = False) -> Requeued:
        """Send the letters' records again, each to the lane that it came from, with its own capture and unit.

        Ended midway, the same call goes on, and what was sent isn't sent again. With `force` quarantined ones go too.
        Failed when another process is at it.
        """
        done = Requeued()
        with self._found_alone(asked, dry_run=dry_run) as found:
            for batch in _batches(found):
                self._requeue(batch, done, force=force, dry_run=dry_run)
        done.captures = sorted(set(done.captures))
        return done

    @contextmanager
    def _found_alone(self, asked: Asked, *, dry_run: bool) -> Iterator[list[Found]]:
        """The letters, which nobody else sends or drops meanwhile. Failed when another process is at it."""
        # The look comes after the lock: what another process has done until then is seen.
        if not dry_run and not stored.lock(self.connection, self._domain.name):
            raise Failed(
                f"dead letters of {self._domain.name} are being sent again or dropped by another process",
                mend="wait until that is done, then say it again",
            )
        try:
            yield self.find(asked)
        finally:
            if not dry_run:
                # A connection that is lost has given it back, and must not hide why.
                with suppress(OperationalError):
                    stored.unlock(self.connection, self._domain.name)

    def _requeue(self, batch: Sequence[Found], done: Requeued, *, force: bool, dry_run: bool) -> None:
        ready: list[tuple[Again, stored.Sending]] = []
        settled: list[stored.Sending] = []
        for one in batch:
            try:
                earlier = self._sent_before(one)
                if earlier is not None:
                    settled.append(earlier)
                    done.sent.append((one.letter, earlier.sent))
                    self._follow(one.letter, done)
                    continue
                reopened = self._checked(one, force=force)
                again = self.letters.again(one.letter)
            except Unsendable as why:
                done.refused.append((one.letter, str(why)))
                continue
            sending = _sending(one.letter, Origin(again.lane.raw, again.partition, 0), reopened)
            ready.append((again, sending))
        if dry_run:
            done.sent += [(again.letter, again.letter.failure.origin) for again, _ in ready]
        else:
            places = self._send(ready)
            for (again, _), sending in zip(ready, places, strict=True):
                done.sent.append((again.letter, sending.sent))
                self._follow(again.letter, done)
            settled += places
            stored.settle(self.connection, self._topic_id, self._domain.name, captures.who(), settled)

    def _send(self, ready: Sequence[tuple[Again, stored.Sending]]) -> list[stored.Sending]:
        """Send what is ready; where each stands now."""
        if not ready:
            return []
        # Whoever looks for them after a crash begins here.
        highs = {
            (again.lane.raw, again.partition): self.letters.high(again.lane, again.partition) for again, _ in ready
        }
        begun = [
            replace(one, sent=Origin(again.lane.raw, again.partition, highs[again.lane.raw, again.partition]))
            for again, one in ready
        ]
        stored.begin(self.connection, self._topic_id, self._domain.name, captures.who(), begun)
        places = send_again(self._kafka, [again for again, _ in ready])
        return [replace(one, sent=place) for one, place in zip(begun, places, strict=True)]

    def _sent_before(self, one: Found) -> stored.Sending | None:
        """The letter as it was sent by a command that died; None when it wasn't."""
        noted = one.noted
        if one.state is not State.SENDING or noted is None or noted.sent_topic is None:
            return None
        place = (noted.sent_topic, noted.sent_partition or 0)
        offset = self.letters.sent_at(one.letter, *place, noted.sent_offset or 0)
        return None if offset is None else _sending(one.letter, Origin(*place, offset), None)

    def _checked(self, one: Found, *, force: bool) -> str | None:
        """The capture in which the letter is dead, to be run again. Unsendable says why it is not to be sent."""
        letter, unit = one.letter, one.unit
        if one.state is State.QUARANTINED and not force:
            raise Unsendable(
                f"it is quarantined after {letter.failure.attempt} attempts: mend what kills it, then say --force"
            )
        if one.state not in OPEN:
            raise Unsendable(f"it is {one.state} already")
        if letter.capture is None:
            return None
        if letter.unit is None:
            return self._checked_live(letter, letter.capture)
        if unit is None:
            raise Unsendable(f"unit {letter.unit} of {letter.capture} isn't known here: the database is another one")
        lost = one.state is State.SENDING and unit.state is UnitState.SENT and not unit.placed
        if unit.state is not UnitState.DEAD and not lost:
            raise Unsendable(f"unit {letter.unit} of {letter.capture} is {unit.state}: it has been tried again")
        self._check_capture(letter.capture)
        return letter.capture

    def _checked_live(self, letter: Letter, capture: str) -> str | None:
        """As `_checked`, of what came live: the turn of its day that has it."""
        day = LiveDay.read(capture, self._domain.name)
        turn = live.holding_dead(self.connection, day, letter.failure.identity) if day else None
        if turn is not None:
            self._check_capture(turn)
        return turn

    def _check_capture(self, capture_id: str) -> None:
        capture = ledger.find(self.connection, capture_id)
        state = capture.state if capture else "gone"
        if state not in (CaptureState.RUNNING, CaptureState.COMPLETE):
            raise Unsendable(f"{capture_id} is {state}; {captures.way_on(capture_id, state)}")

    @staticmethod
    def _follow(letter: Letter, done: Requeued) -> None:
        if letter.unit is None:
            done.live = True
        elif letter.capture is not None:
            done.captures.append(letter.capture)

    def drop(self, asked: Asked, why: str, *, dry_run: bool = False) -> list[Letter]:
        """Note that letters are given up, and why; those. What is done with already is left out.

        Failed when another process is at it.
        """
        with self._found_alone(asked, dry_run=dry_run) as found:
            letters = [one.letter for one in found if one.state in OPEN]
            if not dry_run:
                stored.drop(
                    self.connection,
                    self._topic_id,
                    self._domain.name,
                    captures.who(),
                    why,
                    [stored.Dropping(one.place, one.failure.attempt, one.capture) for one in letters],
                )
        return letters


def _sending(letter: Letter, sent: Origin, reopened: str | None) -> stored.Sending:
    return stored.Sending(letter.place, letter.failure.attempt, letter.capture, letter.unit, reopened, sent)


def _batches(found: Sequence[Found]) -> Iterator[list[Found]]:
    batch: list[Found] = []
    size = 0
    for one in found:
        if batch and (len(batch) >= _BATCH_LETTERS or size + one.letter.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.letter.size
    if batch:
        yield batch
