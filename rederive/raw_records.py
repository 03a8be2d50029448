"""The raw record from which a capture computed a row: looked for among its units, read, traced, computed again."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from producers.records import Records
from producers.source import Services, Source, open_source
from schemas.capture import Capture, UnitState
from schemas.domain import API, Domain, load
from schemas.errors import RederiveError
from schemas.lane import Lane
from schemas.live import LIVE
from schemas.outcome import Outcome
from schemas.plan import PlannedUnit
from schemas.provenance import Input, Traced, Wanted
from schemas.table import CAPTURE, Table
from schemas.unit import Origin, Unit
from schemas.wire import decode_raw
from schemas.words import counted
from store import origins, units
from store.units import Known

log = logging.getLogger(__name__)

_SAID_BY = 3


@dataclass(frozen=True, slots=True)
class Computed:
    """A column computed again; `there` says whether the record gives the row at all."""

    there: bool
    value: Any = None
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record that gives a row, the unit that it is of, and what of it a column was computed from.

    `wanted` is the value that it was looked at for: of another table where a view shows its rows. `read_from` says
    where it was read now: the topic, or the source of its capture. `unit` is None for a live record.
    """

    wanted: Wanted
    read_from: str
    origin: Origin | None
    unit: int | None
    key_range: str
    locator: Any
    traced: Traced
    computed: Computed


@dataclass(frozen=True, slots=True)
class _Read:
    value: bytes
    read_from: str
    origin: Origin | None = None
    known: Known | None = None


class RawRecords:
    """What the captures of a domain have read. `close` it in the end; `unread` says what could not be read."""

    def __init__(self, domain: Domain, services: Services) -> None:
        self.domain, self.services = domain, services
        self.unread: list[str] = []
        self._topics: dict[str, Records] = {}
        self._sources: dict[str, Source[Any]] = {}
        # Several columns of one row are asked for one after another.
        self._last: tuple[Origin, bytes] | None = None
        self._trace = load(domain.provenance) if domain.provenance else None
        self._process = load(domain.process)

    def close(self) -> None:
        """Leave the broker."""
        for records in self._topics.values():
            records.close()
        for source in self._sources.values():
            with suppress(RederiveError):
                source.close()

    def find(self, capture: Capture, wanted: Wanted, kept: object, *, skipped: bool = False) -> RawRecord | None:
        """The record from which the capture has computed the value; None when none that can be read gives the row.

        Of several that give it, the one that gives what the capture has `kept`, as JSON has it, comes first. With
        `skipped` a record counts, too, that says why there is no row.
        """
        first: RawRecord | None = None
        for read in self._reads(capture, wanted):
            found = self._explained(read, wanted, skipped=skipped)
            if found is None:
                continue
            if found.computed.there and found.computed.value == kept:
                return found
            first = first or found
        return first

    def _explained(self, read: _Read, wanted: Wanted, *, skipped: bool) -> RawRecord | None:
        try:
            traced = self._trace(read.value, wanted) if self._trace else _whole(read.value)
            if traced is None:
                return None
            computed = computed_of(self._process(traced.record, ()), self.domain.table(wanted.table), wanted)
        except ValueError as error:
            log.debug("%s: %s", read.origin, error)
            return None
        if not computed.there and not (skipped and traced.reason):
            return None
        known = read.known
        return RawRecord(
            wanted,
            read.read_from,
            read.origin,
            known.unit if known else None,
            known.key_range if known else "",
            known.locator if known else None,
            traced,
            computed,
        )

    def _reads(self, capture: Capture, wanted: Wanted) -> Iterator[_Read]:
        if capture.source == LIVE:
            yield from self._live(capture)
            return
        for known in self._candidates(capture, wanted):
            try:
                read = self._read(capture, known)
            except RederiveError as error:
                self._note(known, f"{error.what}: {error.why}" if error.why else error.what)
                continue
            if read is not None:
                yield read

    def _candidates(self, capture: Capture, wanted: Wanted) -> Sequence[Known]:
        """The applied units that may have given the row."""
        table = self.domain.table(wanted.table)
        found = [
            one for one in units.of_capture(self.services.connection, capture.capture_id)
            if one.state is UnitState.APPLIED
        ]  # fmt: skip
        writing = [one for one in found if wanted.key.get(CAPTURE) in one.writes]
        if CAPTURE in wanted.key and writing:
            stages = self.domain.stages
            found = [one for one in writing if table.audit or table.name in stages.get(one.stage, (table.name,))]
        if self.domain.notes:
            key = tuple(wanted.key.values())
            noted = [one for one in found if key in map(tuple, load(self.domain.notes)(table, one.stage, one.writes))]
            found = noted or found
        return self._source(capture.source).holding(found, table, wanted.key, wanted.observed or "")

    def _read(self, capture: Capture, known: Known) -> _Read | None:
        """A unit's record, from its topic while it is kept there, else from the capture's source."""
        lane = Lane(self.domain.name, known.lane, self.services.prefix)
        if known.partition is not None and known.record_offset is not None:
            origin = Origin(lane.raw, known.partition, known.record_offset)
            value = self._kept(origin, capture, known)
            if value is not None:
                return _Read(value, lane.raw, origin, known)
        else:
            origin = None
        if capture.source == API and known.lane in self.domain.kept:
            self._note(known, f"{origin or known.key_range}: the log no longer holds it, and no API is asked")
            return None
        source = self._source(capture.source)
        planned = PlannedUnit(
            unit=known.unit,
            key_range=known.key_range,
            locator=source.located(known.locator),
            rows=known.rows,
            lane=known.lane,
            stage=known.stage,
            reads=known.reads,
            writes=known.writes,
        )
        made = source.read(capture.capture_id, capture.columns, planned)
        if isinstance(made, Unit):
            return _Read(made.value, f"the source {capture.source}", origin, known)
        self._note(known, getattr(made, "reason", "it can't be read now"))
        return None

    def _kept(self, origin: Origin, capture: Capture, known: Known) -> bytes | None:
        """The record that a unit was sent as, None when it isn't there any more."""
        if not self.services.kafka.get("bootstrap.servers"):
            return None
        if self._last is not None and self._last[0] == origin:
            return self._last[1]
        try:
            message = self._records(origin.topic).at(origin.partition, origin.offset)
            said = decode_raw(message.headers(), self.domain.name) if message else None  # type: ignore[arg-type]
        except (RederiveError, ValueError) as error:
            log.debug("%s: %s", origin, error)
            return None
        # A topic that was made anew has other records there.
        if message is None or said is None or (said.capture, said.unit) != (capture.capture_id, known.unit):
            return None
        self._last = origin, message.value() or b""
        return self._last[1]

    def _live(self, capture: Capture) -> Iterator[_Read]:
        for topic, partition, first, last in origins.applied(self.services.connection, capture.capture_id):
            if not self.services.kafka.get("bootstrap.servers"):
                self.unread.append(f"{topic}[{partition}]: no broker is there")
                return
            records = self._records(topic)
            try:
                low, _ = records.watermarks(partition)
                if low > first:
                    self.unread.append(f"{topic}[{partition}]: retention has dropped what stood before {low:,}")
                at = max(low, first)
                while at < last and (message := records.first(partition, at)) is not None:
                    offset = message.offset() or 0
                    if offset >= last:
                        break
                    yield _Read(message.value() or b"", topic, Origin(topic, partition, offset))
                    at = offset + 1
            except RederiveError as error:
                self.unread.append(f"{topic}[{partition}]: {error.what}")

    def _records(self, topic: str) -> Records:
        if topic not in self._topics:
            self._topics[topic] = Records(self.services.kafka, topic)
        return self._topics[topic]

    def _source(self, name: str) -> Source[Any]:
        if name not in self._sources:
            self._sources[name] = open_source(self.domain, name, self.services)
        return self._sources[name]

    def _note(self, known: Known, why: str) -> None:
        self.unread.append(f"unit {known.unit} ({known.key_range}): {why}")


def _whole(value: bytes) -> Traced:
    note = "the record as a whole: its domain doesn't say which parts of it a column is computed from"
    return Traced((Input("", value.decode("utf-8", "replace"), note=note),), value)


def computed_of(outcome: Outcome, table: Table, wanted: Wanted) -> Computed:
    """The column of the wanted row in an outcome, and what an outcome without it says instead."""
    for rows in outcome.tables:
        if (rows.table, rows.source) != (table.name, wanted.source):
            continue
        places = {name: at for at, name in enumerate(rows.columns)}
        own = {name: part for name, part in wanted.key.items() if name in places}
        for row in rows.rows():
            if all(row[places[name]] == part for name, part in own.items()):
                at = places.get(wanted.column)
                return Computed(True, None if at is None else row[at], _wrong(outcome))
    return Computed(False, wrong=_wrong(outcome))


def _wrong(outcome: Outcome) -> str:
    """What was wrong with the rows, in words."""
    said = [f"{one.reason}: {one.text}" for one in (*outcome.errors, *outcome.skips) if one.key and one.key[-1]]
    more = f"; {counted(len(said) - _SAID_BY, 'more')}" if len(said) > _SAID_BY else ""
    return "; ".join(said[:_SAID_BY]) + more
