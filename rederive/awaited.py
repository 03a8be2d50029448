"""What can be waited for: a row, everything until a moment, a capture; each knows how far it has come."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from psycopg import Connection, sql

from rederive.captures import find, named, said, way_on
from rederive.groups import Groups
from rederive.named_rows import parts_of
from rederive.passage import Passage, Stage
from schemas.capture import CaptureState
from schemas.domain import Domain
from schemas.errors import UsageError
from schemas.lane import Lane
from schemas.table import CAPTURE, Column
from schemas.words import counted
from store import captures, problems, units
from store.rows import value

_PASSAGE_SECONDS = 1.0

_HANGS = {
    Stage.NOT_FOUND: "what is committed has not been found yet",
    Stage.ON_LOG: "agents have not computed all that stands on the log",
    Stage.COMPUTED: "sinks have not merged all that is computed",
    Stage.MERGED: "all that had arrived is merged",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the wait. `what` says it in a sentence; unless it is visible, `why` and `mend` say more.

    `stage` is the last one passed, None where it can't be known; `missing` counts what is still to come.
    """

    visible: bool
    what: str
    why: str = ""
    mend: str = ""
    stage: Stage | None = None
    missing: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def describe(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "visible": self.visible,
            "seconds": round(self.seconds, 3),
            "stage": self.stage,
            "missing": self.missing,
            "what": self.what,
            "why": self.why,
            "mend": self.mend,
        }


class Awaited(Protocol):
    """What is waited for."""

    def look(self, connection: Connection, groups: Groups | None) -> Answer | None:
        """The answer once there is one. UsageError when the words mean nothing there."""

    def late(self) -> Answer:
        """The answer when time is up."""


@dataclass(slots=True)
class _Passing:
    """A passage that is looked at when there is a broker to ask, and not at every look."""

    domain: Domain
    prefix: str
    moment: datetime | None = None
    stage: Stage | None = None
    _passage: Passage | None = None

    def look(self, connection: Connection, groups: Groups | None) -> Stage | None:
        if groups is None:
            return None
        if self._passage is None:
            moment = self.moment or value(connection, "SELECT now()")
            self._passage = Passage(self.domain, moment, self.prefix)
        self.stage = self._passage.look(connection, groups)
        return self.stage

    @property
    def missing(self) -> dict[str, int]:
        waits = self._passage.missing if self._passage else 0
        return {"records": waits} if waits else {}

    @property
    def why(self) -> str:
        if self.stage is None:
            return "how far it has come isn't known"
        records = f": {counted(self.missing['records'], 'record')}" if self.missing else ""
        return f"{self.stage}; {_HANGS[self.stage]}{records}"


@dataclass(slots=True)
class Row:
    """A row of the domain's first table, by its key as a person writes it: its parts joined by `/`."""

    domain: Domain
    word: str
    prefix: str
    _key: Sequence[str] | None = None
    _passing: _Passing = field(init=False)
    _began: float = field(default_factory=time.monotonic)
    _looked: float = float("-inf")

    def __post_init__(self) -> None:
        self._passing = _Passing(self.domain, self.prefix)

    def look(self, connection: Connection, groups: Groups | None) -> Answer | None:
        """Whether it is there, or why it won't be; as Awaited says."""
        columns = self._columns()
        if self._key is None:
            self._key = parts_of(connection, self.domain.tables[0].name, columns, self.word)
        same = sql.SQL(" AND ").join(
            sql.SQL("{} = %s::{}").format(sql.Identifier(one.name), sql.SQL(one.type)) for one in columns
        )
        table = self.domain.tables[0].name
        there = sql.SQL("SELECT 1 FROM {} WHERE {} LIMIT 1").format(sql.Identifier(*table.split(".")), same)
        if connection.execute(there, list(self._key)).fetchone():
            return Answer(True, f"{self.word} is in {table}", stage=Stage.MERGED)
        # All problems are gone through for it.
        due = time.monotonic() - self._looked > _PASSAGE_SECONDS
        noted = problems.of_key(connection, self.domain.name, self._key) if due else None
        self._looked = time.monotonic() if due else self._looked
        if noted is not None:
            done = "is an error" if noted.reason in ("error", "dead") else "was skipped"
            return Answer(
                False,
                f"{self.word} {done} in {noted.capture_id}",
                ": ".join(filter(None, (noted.reason, noted.message))),
                f"`rederive captures show {noted.capture_id}` says more",
                Stage.MERGED,
            )
        # What is visible at once needs no look at the broker.
        if time.monotonic() - self._began > _PASSAGE_SECONDS:
            self._passing.look(connection, groups)
        return None

    def late(self) -> Answer:
        """It isn't there."""
        why = self._passing.why
        if self._passing.stage is Stage.MERGED:
            why = "merged; what had arrived when the wait began is merged, and it isn't among that"
        what = f"{self.word} is not in {self.domain.tables[0].name}"
        return Answer(False, what, why, "", self._passing.stage, self._passing.missing)

    def _columns(self) -> Sequence[Column]:
        """The key's columns; a table that is inserted into may be asked for a row of whatever capture."""
        key = self.domain.tables[0].key
        others = tuple(column for column in key if column.name != CAPTURE)
        parts = self.word.split("/") if len(others) > 1 else [self.word]
        return key if len(parts) == len(key) else others


@dataclass(slots=True)
class Everything:
    """Everything that was committed, or sent to the log, before a moment; None is when the wait begins."""

    domain: Domain
    moment: datetime | None
    prefix: str
    _passing: _Passing = field(init=False)

    def __post_init__(self) -> None:
        self._passing = _Passing(self.domain, self.prefix, self.moment)

    def look(self, connection: Connection, groups: Groups | None) -> Answer | None:
        """Whether it has been applied; as Awaited says."""
        if self._passing.look(connection, groups) is Stage.MERGED:
            return Answer(True, f"{self._named} is merged", stage=Stage.MERGED)
        return None

    def late(self) -> Answer:
        """Some of it isn't."""
        what = f"not all is merged: {self._named}"
        return Answer(False, what, self._passing.why, "", self._passing.stage, self._passing.missing)

    @property
    def _named(self) -> str:
        when = f"{self.moment:%Y-%m-%d %H:%M:%S} UTC" if self.moment else "the wait began"
        return f"what of {self.domain.name} had arrived before {when}"


@dataclass(slots=True)
class Completion:
    """That a capture is complete."""

    domain: Domain
    capture_id: str
    prefix: str
    _progress: captures.Listed | None = None
    _stage: Stage | None = None
    _mend: str = ""

    def look(self, connection: Connection, groups: Groups | None) -> Answer | None:
        """Whether it is, or why it won't be; as Awaited says."""
        self.capture_id = named(connection, self.capture_id)
        capture = find(connection, self.capture_id)
        if capture.domain != self.domain.name:
            raise UsageError(f"{self.capture_id} is of {capture.domain}", mend=f"`rederive wait {capture.domain} …`")
        (counts,) = captures.listed(connection, limit=1, capture_id=self.capture_id)
        self._progress = counts
        bad = {name: n for name, n in (("errors", counts.errors), ("dead units", counts.units_dead)) if n}
        if capture.state is CaptureState.COMPLETE:
            if not bad:
                return Answer(True, f"{self.capture_id} is complete", stage=Stage.MERGED)
            why = ", ".join(f"{n:,} {name}" for name, n in bad.items())
            mend = f"`rederive captures show {self.capture_id}` says which"
            return Answer(False, f"{self.capture_id} is complete with errors", why, mend, Stage.MERGED)
        if capture.state is not CaptureState.RUNNING:
            mend = way_on(self.capture_id, capture.state)
            return Answer(False, f"{self.capture_id} is {capture.state}", mend=mend, missing=self._missing)
        self._mend = "; ".join(said(connection, {self.capture_id: capture.state}))
        waiting = units.progress(connection, self.capture_id).units_waiting
        self._stage = Stage.NOT_FOUND if waiting else self._on_its_way(connection, groups)
        return None

    def _on_its_way(self, connection: Connection, groups: Groups | None) -> Stage | None:
        if groups is None:
            return None
        lanes = [Lane(self.domain.name, name, self.prefix) for name in units.lanes(connection, self.capture_id)]
        seen = groups.look([(one.agents, one.raw) for one in lanes])
        return Stage.ON_LOG if any(one.lag for one in seen.values()) else Stage.COMPUTED

    def late(self) -> Answer:
        """It isn't."""
        why = "how far it has come isn't known"
        if self._progress is not None:
            stage = "not all is sent" if self._stage is Stage.NOT_FOUND else self._stage
            why = f"{self._progress.units_done:,} of {counted(self._progress.units, 'unit')} are done"
            why += f"; the others: {stage}" if stage else ""
        return Answer(False, f"{self.capture_id} is not complete", why, self._mend, self._stage, self._missing)

    @property
    def _missing(self) -> dict[str, int]:
        return {} if self._progress is None else {"units": self._progress.units - self._progress.units_done}
