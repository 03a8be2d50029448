"""A domain's log as a source: records of a range, planned by reading them, read again by offset."""

import shlex
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, ClassVar

from confluent_kafka import Message

from producers.frozen import Range, changed, described, ranges, why_anew
from producers.places import Pack, Packer, Place, Seen, value_of
from producers.records import Records
from producers.source import Dated, Page, Refusal, Request, Services, Source, Split
from schemas.domain import Domain, load
from schemas.lane import Lane, LaneName
from schemas.live import moment_of
from schemas.plan import Plan, PlanHead, PlannedUnit
from schemas.table import Mode
from schemas.unit import Unit
from schemas.wire import RawHeaders, decode_raw, oversize, planned_rows
from schemas.words import counted, verb
from store import captures

_PAGE_UNITS = 1_000
_LOOK_SECONDS = 60.0


class LogSource(Source[Any]):
    """What is kept of one domain, and what its queue still holds. The end is what the log had when the plan was made.

    A plan reads the records: only what stands there is planned, not what compaction has taken or a transaction's
    marker. Where a domain `joins`, small records are packed into units. A domain's own log may have locators of other
    kinds beside `Place`.
    """

    locator: ClassVar[Any] = Place | Pack

    def __init__(self, domain: Domain, services: Services) -> None:
        super().__init__(domain, services)
        self._logs: dict[LaneName, Records] = {}
        self._ranges: tuple[Request, list[Range]] | None = None
        self._within = load(domain.within) if domain.within else None
        self._unread = 0
        self._first_sent: dict[tuple[LaneName, int], datetime] = {}
        self._anew: dict[str, tuple[float, str | None]] = {}

    def log(self, name: LaneName) -> Records:
        """The records of a lane's raw topic."""
        if name not in self._logs:
            topic = Lane(self.domain.name, name, self.services.prefix).raw
            self._logs[name] = Records(self.services.kafka, topic)
        return self._logs[name]

    def close(self) -> None:
        """Leave the broker."""
        for records in self._logs.values():
            records.close()

    def head(self, request: Request) -> PlanHead:
        """The plan's head before anything is found, with the topics, their ids and the offsets that are frozen.

        Failed when a log doesn't exist or the broker doesn't answer; UsageError for what the log hasn't.
        """
        head = super().head(request)
        frozen = described(self.log, self.ranges(request))
        return head.model_copy(update={"request": {**head.request, "topic": self._topic(request), "logs": frozen}})

    def _topic(self, request: Request) -> str:
        return self.log((request.logs or self.domain.kept)[0]).topic

    def ranges(self, request: Request) -> list[Range]:
        """What is wanted of each partition; looked for once a request, so that its end is frozen."""
        if self._ranges is None or self._ranges[0] is not request:
            self._ranges = request, ranges(self.domain, self.log, request)
            self._unread = 0
            self._first_sent = {}
        return self._ranges[1]

    def pages(self, request: Request) -> Iterator[Page[Any]]:
        """A unit per record of the ranges, or per pack of small ones. Failed when the broker doesn't answer."""
        numbered = enumerate(self._places(request))
        while page := list(islice(numbered, _PAGE_UNITS)):
            yield Page([self.again(number, place) for number, place in page])

    def _places(self, request: Request) -> Iterator[Place | Pack]:
        left = request.limit
        for wanted in self.ranges(request):
            place = wanted.log, wanted.partition
            packer = Packer(*place, request.dated, 1 if request.apart else request.rate)
            for message in self.log(wanted.log).between(wanted.partition, wanted.first, wanted.last):
                if place not in self._first_sent:
                    self._first_sent[place] = moment_of(message.timestamp()[1])
                seen = self._seen(message, request.dated)
                if seen is None:
                    continue
                if left is not None:
                    left -= 1
                yield from packer.take(seen)
                if left == 0:
                    break
            yield from packer.rest()
            if left == 0:
                return

    def _seen(self, message: Message, dated: Dated | None) -> Seen | None:
        """A record as it is planned, None where nothing of it is wanted."""
        value = value_of(message)
        if dated is not None:
            try:
                cut = self._cut(value, *dated)
            except ValueError:
                self._unread += 1
                return None
            if cut is None:
                return None
            value = cut
        kind, alone = "", not self.domain.joins
        if not alone:
            try:
                kind = decode_raw(message.headers(), self.domain.name).kind  # type: ignore[arg-type]
                value.isascii() or value.decode()
            except ValueError:
                # It can't be sent on, or is dead: it alone is to be.
                alone = True
        return Seen(message.offset() or 0, kind, value.count(b"\n") + 1, len(value), alone)

    def _cut(self, value: bytes, start: datetime | None, end: datetime | None) -> bytes | None:
        """What of a value lies in a range of payload times; ValueError when that can't be said."""
        assert self._within is not None
        cut: bytes | None = self._within(value, start, end)
        return cut

    def again(self, number: int, place: Place | Pack, key_range: str = "") -> PlannedUnit[Any]:
        """The unit that reads one record again, or several."""
        at = f"{place.first}..{place.last - 1}" if isinstance(place, Pack) else str(place.offset)
        named = f"{self.log(place.log).topic}[{place.partition}]@{at}"
        return PlannedUnit(unit=number, key_range=key_range or named, locator=place)

    def counted(self, unit: PlannedUnit[Any]) -> int:
        """Its records."""
        return unit.locator.records if isinstance(unit.locator, Pack) else super().counted(unit)

    def notes(self, request: Request, found: int) -> tuple[str, ...]:
        """What retention has dropped of the range and what brings it back; why there is nothing to do, if so."""
        notes = []
        cut = [one for one in self.ranges(request) if one.cut]
        for one in cut:
            records = self.log(one.log)
            sent = self._first_sent.get((one.log, one.partition))
            before = f", sent before {sent:%Y-%m-%d %H:%M:%S} UTC" if sent else ""
            named = f"{records.topic}[{one.partition}]"
            notes.append(f"{named}: retention has dropped what stood before offset {one.low:,}{before}")
        if cut:
            sent = max((at for one in cut if (at := self._first_sent.get((one.log, one.partition)))), default=None)
            notes.append(f"what was dropped is read from its source by: {self.from_source(request, sent)}")
        if self._unread:
            of = f"{counted(self._unread, 'record')} {verb(self._unread, 'says', 'say')}"
            notes.append(f"{of} no time of a payload, and {verb(self._unread, 'is', 'are')} left out")
        if not found:
            notes.append(self._why_nothing(request))
        return tuple(notes)

    def from_source(self, request: Request, sent: datetime | None) -> str:
        """The command that reads from the source what the log has dropped; `sent` is when what it kept begins."""
        if not self.domain.sources:
            return f"nothing: {self.domain.name} has no source but its log"
        words = ["rederive", "replay", self.domain.name, *self.source_words(request), *_days(request, sent)]
        return shlex.join(words)

    def source_words(self, request: Request) -> list[str]:
        """The options of the domain's `replay` that recompute all rows of a range, as this request would."""
        words = [] if request.mode is Mode.INSERT else ["--mode", request.mode.value]
        return ["--all-rows", *words]

    def _why_nothing(self, request: Request) -> str:
        records = 0
        for one in self.ranges(request):
            low, high = self.log(one.log).watermarks(one.partition)
            records += high - low
        topic = self._topic(request)
        if not records:
            return f"nothing to do: {topic} holds no record"
        how = "is of the range" if request.dated else "was sent in the range"
        return f"nothing to do: none of the {counted(records, 'record')} of {topic} {how}"

    def stale(self, plan: Plan[Any]) -> str | None:
        """Another topic, or more partitions, or planned records that retention has dropped meanwhile."""
        if why := changed(self.services.kafka, plan.request):
            return why
        gone = self.gone(plan)
        return (
            f"{gone:,} of its {counted(plan.found, 'record')} {verb(gone, 'is', 'are')} no longer in the log"
            if gone
            else None
        )

    def gone(self, plan: Plan[Any]) -> int:
        """How many of the plan's records the log no longer holds."""
        kept: dict[tuple[LaneName, int], tuple[int, int]] = {}
        gone = 0
        for unit in plan.units:
            place = unit.locator
            if not isinstance(place, Place | Pack):
                continue
            at = place.log, place.partition
            if at not in kept:
                there = place.partition in self.log(place.log).partitions()
                kept[at] = self.log(place.log).watermarks(place.partition) if there else (0, 0)
            low, high = kept[at]
            if isinstance(place, Place):
                gone += not low <= place.offset < high
            elif place.last > high:
                gone += place.records
            else:
                gone += max(0, min(place.records, low - place.first))
        return gone

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[Any]) -> Unit | Refusal | Split:
        """The record's own bytes under the new capture's headers; small ones, packed, line behind line.

        It goes to the partition that it came from, or where lines stand alone to any. An offset at which no record
        stands (one compacted since) is a unit of no rows; one that retention has dropped is refused, and so is a record
        that can't be sent on, or one of a topic that was made anew since the capture was planned.
        """
        if why := self._why_anew(capture_id):
            return Refusal(unit, f"{unit.key_range}: {why}")
        if isinstance(unit.locator, Pack):
            return self._read_pack(capture_id, columns, unit)
        place: Place = unit.locator
        records, offset = self.log(place.log), place.offset
        message = records.at(place.partition, offset)
        named = f"{records.topic}[{place.partition}]@{offset}"
        if message is None:
            low, high = records.watermarks(place.partition)
            if not low <= offset < high:
                return Refusal(unit, f"{named}: the record is no longer there, {low:,} to {high - 1:,} are kept")
            nothing = RawHeaders(self.domain.name, capture_id, unit.unit, columns, None, unit.key_range)
            return Unit(nothing, None, b"", self._partition(place))
        key, value = message.key() or b"", value_of(message)
        if too_large := oversize(value, key):
            return Refusal(unit, f"{named}: {too_large}")
        try:
            said = decode_raw(message.headers(), self.domain.name)  # type: ignore[arg-type]
        except ValueError as error:
            return Refusal(unit, f"{named}: its headers can't be read: {error}")
        if place.start or place.end:
            cut = self._cut(value, place.start, place.end) or b""
            said = said if cut == value else replace(said, rows=None)
            value = cut
        return Unit(self._under(capture_id, columns, unit, said, message), message.key(), value, self._partition(place))

    def _read_pack(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[Pack]) -> Unit | Refusal | Split:
        pack = unit.locator
        records = self.log(pack.log)
        values: list[bytes] = []
        rows: int | None = 0
        first: Message | None = None
        for message in records.between(pack.partition, pack.first, pack.last):
            value = self._wanted(value_of(message), pack)
            if value is None:
                continue
            first = first or message
            # Of what is cut down nobody knows how many rows were planned.
            said = None if pack.start or pack.end else planned_rows(message.headers())  # type: ignore[arg-type]
            rows = None if rows is None or said is None else rows + said
            values.append(value)
        if len(values) < pack.records:
            low, high = records.watermarks(pack.partition)
            if values and pack.first < low < pack.last:
                return self._without_dropped(unit, low, len(values))
            if low > pack.first or high < pack.last:
                missing = pack.records - len(values)
                of = f"{missing:,} of its {pack.records:,} records {verb(missing, 'is', 'are')} no longer there"
                return Refusal(unit, f"{unit.key_range}: {of}, {low:,} to {high - 1:,} are kept")
        if first is None:
            nothing = RawHeaders(self.domain.name, capture_id, unit.unit, columns, None, unit.key_range)
            return Unit(nothing, None, b"", None)
        its = decode_raw(first.headers(), self.domain.name)  # type: ignore[arg-type]
        said_first = replace(its, rows=rows, key_range="")
        return Unit(self._under(capture_id, columns, unit, said_first, first), first.key(), b"\n".join(values), None)

    def _without_dropped(self, unit: PlannedUnit[Pack], low: int, left: int) -> Split:
        """The records of a pack that retention has dropped, and those from `low` on that are left."""
        pack = unit.locator
        gone = pack.model_copy(update={"last": low, "records": pack.records - left})
        rest = pack.model_copy(update={"first": low, "records": left})
        parts = [self.again(unit.unit, part) for part in (gone, rest)]
        return Split(unit, f"retention has dropped {counted(gone.records, 'record')} of it", parts)

    def _wanted(self, value: bytes, pack: Pack) -> bytes | None:
        """What of a record is wanted, None for nothing."""
        if not (pack.start or pack.end):
            return value
        try:
            return self._cut(value, pack.start, pack.end)
        except ValueError:
            return None

    def _partition(self, place: Place) -> int | None:
        return None if self.domain.joins else place.partition

    def _under(
        self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[Any], said: RawHeaders, message: Message
    ) -> RawHeaders:
        _, sent = message.timestamp()
        return RawHeaders(
            kind=said.kind,
            capture=capture_id,
            unit=unit.unit,
            columns=columns,
            rows=said.rows,
            key_range=said.key_range or unit.key_range,
            observed=said.observed or moment_of(sent).isoformat(),
        )

    def _why_anew(self, capture_id: str) -> str | None:
        """Why the capture's records are no longer those that were planned; looked at once a minute."""
        looked, why = self._anew.get(capture_id, (float("-inf"), None))
        if time.monotonic() - looked > _LOOK_SECONDS:
            found = captures.find(self.connection, capture_id)
            why = why_anew(self.services.kafka, found.request) if found else None
            self._anew[capture_id] = (time.monotonic(), why)
        return why


def _days(request: Request, sent: datetime | None) -> list[str]:
    """The days of a range, as far as it was sent before a moment, as options of a command."""
    if request.dated:
        start, end = request.dated
    else:
        start, end = request.start, min(filter(None, (request.end, sent)), default=None)
    words = ["--from", f"{start:%Y-%m-%d}"] if start else []
    if end:
        # What was sent then was observed then, or before.
        words += ["--to", f"{(end.astimezone(UTC) - timedelta(microseconds=0 if end is sent else 1)):%Y-%m-%d}"]
    return words
