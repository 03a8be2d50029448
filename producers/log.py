"""A domain's log as a source: records of a range of send times, read again by offset."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition
from psycopg import Connection

from producers.source import Page, Refusal, Request
from producers.topics import partitions_of, unreachable
from schemas.errors import Failed
from schemas.plan import Plan, PlanHead, PlannedUnit
from schemas.table import Domain
from schemas.unit import ENVELOPE_BYTES, MAX_RECORD_BYTES, Unit, UnitHeaders

_PAGE_UNITS = 2_000
_SECONDS = 10.0
_READ_SECONDS = 30.0


class LogSource:
    """One raw topic. Each record is already a unit; the end is what the log had when the plan was made."""

    def __init__(self, domain: Domain, topic: str, kafka: Mapping[str, str]) -> None:
        self._domain, self._topic, self._kafka = domain, topic, kafka
        self._next: TopicPartition | None = None
        self._consumer = Consumer(
            {
                **kafka,
                # Positions are assigned, nothing is ever committed; the name is only for the broker's logs.
                "group.id": f"rederive.read.{topic}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                # Says that nothing follows, where the log ends with a transaction's marker.
                "enable.partition.eof": True,
                "fetch.message.max.bytes": MAX_RECORD_BYTES + 1024 * 1024,
                "queued.max.messages.kbytes": 32 * 1024,
            }
        )

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def head(self, request: Request) -> PlanHead:
        """The plan's head before anything is found."""
        return PlanHead(
            domain=self._domain.name,
            source="log",
            mode=request.mode,
            derivation_version=self._domain.derivation_version,
            columns=request.columns,
            request={**request.describe(), "topic": self._topic},
        )

    def pages(self, request: Request) -> Iterator[Page]:
        """A unit per record sent in [start, end). Failed when the log doesn't exist or the broker doesn't answer."""
        number = 0
        for partition in self._partitions():
            _, first, last = self._range(partition, request)
            for start in range(first, last, _PAGE_UNITS):
                end = min(start + _PAGE_UNITS, last)
                if request.limit is not None:
                    end = min(end, start + request.limit - number)
                if end <= start:
                    return
                units = [self._unit(number + offset - start, partition, offset) for offset in range(start, end)]
                number += len(units)
                yield Page(units, {})

    def _partitions(self) -> list[int]:
        found = partitions_of(self._kafka, self._topic)
        if not found:
            raise Failed(
                f"there is no topic {self._topic}",
                why="nothing has been sent to this domain's log yet",
                mend="replay from the table instead: `rederive replay " + self._domain.name + "`",
            )
        return found

    def _unit(self, number: int, partition: int, offset: int) -> PlannedUnit:
        return PlannedUnit(
            unit=number,
            key_range=f"{self._topic}[{partition}]@{offset}",
            picked={"partition": partition, "offset": offset},
            rows=None,
        )

    def notes(self, request: Request, found: int) -> tuple[str, ...]:
        """What retention has dropped of the range, and why there is nothing to do, if so."""
        notes = []
        partitions = self._partitions()
        for partition in partitions:
            low, first, _ = self._range(partition, request)
            if first == low > 0:
                notes.append(f"{self._topic}[{partition}]: retention has dropped what stood before offset {low:,}")
        if not found:
            notes.append(self._why_nothing(partitions))
        return tuple(notes)

    def _why_nothing(self, partitions: list[int]) -> str:
        kept = [self._watermarks(partition) for partition in partitions]
        records = sum(high - low for low, high in kept)
        if not records:
            return f"nothing to do: {self._topic} holds no record"
        return f"nothing to do: none of the {records:,} records of {self._topic} was sent in the range"

    def _watermarks(self, partition: int) -> tuple[int, int]:
        """(first offset kept, one past the last)."""
        try:
            found = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=_SECONDS)
        except KafkaException as error:
            raise unreachable(self._kafka, error.args[0]) from error
        return int(found[0]), int(found[1])

    def _range(self, partition: int, request: Request) -> tuple[int, int, int]:
        """(first offset kept, first offset wanted, one past the last wanted)."""
        low, high = self._watermarks(partition)
        try:
            first = self._at(partition, request.start, low, high)
            last = self._at(partition, request.end, high, high)
        except KafkaException as error:
            raise unreachable(self._kafka, error.args[0]) from error
        return low, first, last

    def _at(self, partition: int, moment: datetime | None, default: int, high: int) -> int:
        """The first offset sent at or after `moment`; `high` when there is none."""
        if moment is None:
            return default
        asked = TopicPartition(self._topic, partition, int(moment.timestamp() * 1000))
        (answer,) = self._consumer.offsets_for_times([asked], timeout=_SECONDS)
        return high if answer.offset in (OFFSET_END, -1) else min(answer.offset, high)

    def stale(self, connection: Connection, plan: Plan) -> str | None:  # noqa: ARG002
        """Planned records that retention has dropped meanwhile."""
        kept = {partition: self._watermarks(partition) for partition in self._partitions()}
        gone = 0
        for unit in plan.units:
            low, high = kept.get(unit.picked["partition"], (0, 0))
            gone += not low <= unit.picked["offset"] < high
        return f"{gone:,} of its {plan.found:,} records are no longer in {self._topic}" if gone else None

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit) -> Unit | Refusal:
        """The record's own bytes under the new capture's headers, for the partition that it came from.

        An offset at which no record stands (a transaction's marker, an aborted or compacted record) is a unit of no
        rows; one that retention has dropped is refused, and so is a record that can't be sent on.
        """
        place = TopicPartition(self._topic, unit.picked["partition"], unit.picked["offset"])
        named = f"{self._topic}[{place.partition}]@{place.offset}"
        message = self._message(place, named)
        if message is None:
            low, high = self._watermarks(place.partition)
            if not low <= place.offset < high:
                return Refusal(unit, f"{named}: the record is no longer there, {low:,} to {high - 1:,} are kept")
            nothing = UnitHeaders(self._domain.name, capture_id, unit.unit, columns, None, unit.key_range)
            return Unit(nothing, None, b"", place.partition)
        key, value = message.key() or b"", message.value() or b""
        if len(key) + len(value) + ENVELOPE_BYTES > MAX_RECORD_BYTES:
            limit = MAX_RECORD_BYTES - ENVELOPE_BYTES
            return Refusal(
                unit, f"{named}: its {len(key) + len(value):,} bytes are over the limit of {limit:,} bytes a record"
            )
        try:
            said = UnitHeaders.decode(message.headers(), default_kind=self._domain.name)  # type: ignore[arg-type]
        except ValueError as error:
            return Refusal(unit, f"{named}: its headers can't be read: {error}")
        _, sent = message.timestamp()
        headers = UnitHeaders(
            kind=said.kind,
            capture=capture_id,
            unit=unit.unit,
            columns=columns,
            rows=said.rows,
            key_range=said.key_range or unit.key_range,
            observed=said.observed or datetime.fromtimestamp(sent / 1000, UTC).isoformat(),
        )
        return Unit(headers, message.key(), value, place.partition)

    def _message(self, place: TopicPartition, named: str) -> Message | None:
        """The record at `place`, None when none stands there. Failed when the broker doesn't answer."""
        if self._next is None or (self._next.partition, self._next.offset) != (place.partition, place.offset):
            self._consumer.assign([place])
        message = self._consumer.poll(_READ_SECONDS)
        error = message.error() if message is not None else None
        self._next = None
        if error is not None and error.code() in (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET):
            return None
        if message is None or error is not None:
            raise Failed(
                f"{named} can't be read",
                why=str(error or f"no answer in {_READ_SECONDS:.0f} s"),
                mend="see that the broker is up, then resume the capture",
            )
        if message.offset() != place.offset:
            return None
        self._next = TopicPartition(self._topic, place.partition, place.offset + 1)
        return message
