"""A domain's log as a source: records of a range of send times, read again by offset."""

from collections.abc import Iterator
from typing import Any, ClassVar

from producers.records import Records
from producers.source import Page, Refusal, Request, Services, Source, Stretch
from schemas.domain import Domain
from schemas.errors import Failed
from schemas.lane import Lane, LaneName
from schemas.live import moment_of
from schemas.plan import Locator, Plan, PlanHead, PlannedUnit
from schemas.unit import Unit
from schemas.wire import RawHeaders, decode_raw, oversize
from schemas.words import counted, verb

_PAGE_UNITS = 2_000


class Place(Locator):
    """Where a record of a log stands."""

    log: LaneName = LaneName.LOG
    partition: int
    offset: int


class LogSource(Source[Any]):
    """What is kept of one domain. Each record is already a unit; the end is what the log had when the plan was made.

    A domain's own log may have locators of other kinds beside `Place`.
    """

    locator: ClassVar[Any] = Place

    def __init__(self, domain: Domain, services: Services) -> None:
        super().__init__(domain, services)
        topics = {name: Lane(domain.name, name, services.prefix).raw for name in domain.kept}
        self._logs = {name: Records(services.kafka, topic) for name, topic in topics.items()}

    def close(self) -> None:
        """Leave the broker."""
        for records in self._logs.values():
            records.close()

    def head(self, request: Request) -> PlanHead:
        """The plan's head before anything is found, with the topic."""
        head = super().head(request)
        return head.model_copy(update={"request": {**head.request, "topic": self._logs[LaneName.LOG].topic}})

    def pages(self, request: Request) -> Iterator[Page[Any]]:
        """A unit per record sent in [start, end), or at the places named.

        Failed when the log doesn't exist or the broker doesn't answer.
        """
        number = 0
        for name, partition, first, last in self._stretches(request):
            for start in range(first, last, _PAGE_UNITS):
                end = min(start + _PAGE_UNITS, last)
                if request.limit is not None:
                    end = min(end, start + request.limit - number)
                if end <= start:
                    return
                units = [
                    self.again(number + at - start, Place(log=name, partition=partition, offset=at))
                    for at in range(start, end)
                ]
                number += len(units)
                yield Page(units, {})

    def _stretches(self, request: Request) -> Iterator[Stretch]:
        """What is wanted of each partition, of what is kept of it."""
        for name, partition in self._partitions():
            low, first, last = self._range(self._logs[name], partition, request)
            if not request.places:
                yield Stretch(name, partition, first, last)
            for place in request.places:
                if (place.log, place.partition) == (name, partition):
                    yield Stretch(name, partition, max(low, place.first), min(last, place.last))

    def _places(self) -> list[tuple[LaneName, int]]:
        return [(name, partition) for name, log in self._logs.items() for partition in log.partitions()]

    def _partitions(self) -> list[tuple[LaneName, int]]:
        found = self._places()
        if not found:
            raise Failed(
                f"there is no topic {self._logs[LaneName.LOG].topic}",
                why="nothing has been sent to this domain's log yet",
                mend=f"replay from its source instead: `rederive replay {self.domain.name}`",
            )
        return found

    def again(self, number: int, place: Place, key_range: str = "") -> PlannedUnit[Place]:
        """The unit that reads one record again."""
        named = f"{self._logs[place.log].topic}[{place.partition}]@{place.offset}"
        return PlannedUnit(unit=number, key_range=key_range or named, locator=place)

    def notes(self, request: Request, found: int) -> tuple[str, ...]:
        """What retention has dropped of the range, and why there is nothing to do, if so."""
        notes = []
        partitions = self._partitions()
        for name, partition in partitions:
            records = self._logs[name]
            low, first, _ = self._range(records, partition, request)
            if first == low > 0 and not request.places:
                notes.append(f"{records.topic}[{partition}]: retention has dropped what stood before offset {low:,}")
        if not found:
            notes.append(self._why_nothing(partitions))
        return tuple(notes)

    def _why_nothing(self, partitions: list[tuple[LaneName, int]]) -> str:
        kept = [self._logs[name].watermarks(partition) for name, partition in partitions]
        records = sum(high - low for low, high in kept)
        topic = self._logs[LaneName.LOG].topic
        if not records:
            return f"nothing to do: {topic} holds no record"
        return f"nothing to do: none of the {counted(records, 'record')} of {topic} was sent in the range"

    def _range(self, records: Records, partition: int, request: Request) -> tuple[int, int, int]:
        """(first offset kept, first offset wanted, one past the last wanted)."""
        low, high = records.watermarks(partition)
        first = records.sent_at_or_after(partition, request.start, high) if request.start else low
        last = records.sent_at_or_after(partition, request.end, high) if request.end else high
        return low, first, last

    def stale(self, plan: Plan[Any]) -> str | None:
        """Planned records that retention has dropped meanwhile."""
        gone = self.gone(plan)
        return (
            f"{gone:,} of its {counted(plan.found, 'record')} {verb(gone, 'is', 'are')} no longer in the log"
            if gone
            else None
        )

    def gone(self, plan: Plan[Any]) -> int:
        """How many of the plan's records the log no longer holds."""
        kept = {place: self._logs[place[0]].watermarks(place[1]) for place in self._places()}
        gone = 0
        for unit in plan.units:
            if isinstance(place := unit.locator, Place):
                low, high = kept.get((place.log, place.partition), (0, 0))
                gone += not low <= place.offset < high
        return gone

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[Any]) -> Unit | Refusal:
        """The record's own bytes under the new capture's headers, for the partition that it came from.

        An offset at which no record stands (a transaction's marker, an aborted or compacted record) is a unit of no
        rows; one that retention has dropped is refused, and so is a record that can't be sent on.
        """
        place: Place = unit.locator
        records, partition, offset = self._logs[place.log], place.partition, place.offset
        named = f"{records.topic}[{partition}]@{offset}"
        message = records.at(partition, offset)
        if message is None:
            low, high = records.watermarks(partition)
            if not low <= offset < high:
                return Refusal(unit, f"{named}: the record is no longer there, {low:,} to {high - 1:,} are kept")
            nothing = RawHeaders(self.domain.name, capture_id, unit.unit, columns, None, unit.key_range)
            return Unit(nothing, None, b"", partition)
        key, value = message.key() or b"", message.value() or b""
        if too_large := oversize(value, key):
            return Refusal(unit, f"{named}: {too_large}")
        try:
            said = decode_raw(message.headers(), self.domain.name)  # type: ignore[arg-type]
        except ValueError as error:
            return Refusal(unit, f"{named}: its headers can't be read: {error}")
        _, sent = message.timestamp()
        headers = RawHeaders(
            kind=said.kind,
            capture=capture_id,
            unit=unit.unit,
            columns=columns,
            rows=said.rows,
            key_range=said.key_range or unit.key_range,
            observed=said.observed or moment_of(sent).isoformat(),
        )
        return Unit(headers, message.key(), value, partition)
