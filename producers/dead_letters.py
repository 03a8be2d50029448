"""Dead letters: what stands on a domain's DLQ, and how one of its records goes to its lane again."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.records import Records
from schemas.errors import Failed
from schemas.lane import Lane, LaneName
from schemas.live import moment_of
from schemas.unit import Origin
from schemas.wire import MAX_RECORD_BYTES, Failure, Headers, counted_in, decode_failure, decode_raw, encode_again

log = logging.getLogger(__name__)

AGENT = "agent"
_DELIVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its value, of which `size` is the number of bytes; `place` is where it stands itself.

    `capture` is the one that its record counts in, `unit` None where no plan numbered it. `sent` is when it died.
    """

    place: Origin
    sent: datetime
    failure: Failure
    capture: str | None
    unit: int | None
    size: int


@dataclass(frozen=True, slots=True)
class Again:
    """A dead record as it is sent again."""

    letter: Letter
    lane: Lane
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Unsendable(Exception):  # noqa: N818 - reads as what is so
    """A letter whose record can't be sent again; the text says why."""


class DeadLetters:
    """A domain's DLQ, read without a group. `close` it in the end. Every method raises Away when no broker answers."""

    def __init__(self, kafka: Mapping[str, str], domain: str, prefix: str) -> None:
        self._kafka, self._domain = kafka, domain
        self._lanes = {lane.raw: lane for lane in (Lane(domain, name, prefix) for name in LaneName)}
        self.topic = Lane(domain, LaneName.REPLAY, prefix).dlq
        self._records = Records(kafka, self.topic)
        self._raw: dict[str, Records] = {}

    def close(self) -> None:
        """Leave the broker."""
        self._records.close()
        for records in self._raw.values():
            records.close()

    def letters(self) -> Iterator[Letter]:
        """Every letter that stood there at the beginning, by partition in order. One that came twice comes once."""
        known: set[tuple[str | None, int | None, Origin]] = set()
        for partition in self._records.partitions():
            offset, high = self._records.watermarks(partition)
            while offset < high:
                message = self._records.first(partition, offset)
                if message is None or (message.offset() or 0) >= high:
                    break
                offset = (message.offset() or 0) + 1
                letter = self._read(message)
                if letter is not None and (same := (letter.capture, letter.unit, letter.failure.origin)) not in known:
                    known.add(same)
                    yield letter

    def _read(self, message: Message) -> Letter | None:
        place = Origin(self.topic, message.partition() or 0, message.offset() or 0)
        try:
            failure = decode_failure(message.headers())  # type: ignore[arg-type]
        except ValueError as error:
            log.warning("%s is no dead letter and is passed over: %s", place, error)
            return None
        capture, unit = counted_in(message.headers())  # type: ignore[arg-type]
        _, sent = message.timestamp()
        size = failure.pointer.size if failure.pointer else len(message.value() or b"")
        moment = moment_of(sent)
        return Letter(place, moment, failure, failure.capture or capture, unit, size)

    def message(self, letter: Letter) -> Message:
        """The letter whole. Failed when it is gone."""
        found = self._records.at(letter.place.partition, letter.place.offset)
        if found is None:
            raise Failed(f"{letter.place} is gone", why="somebody has cut the topic")
        return found

    def again(self, letter: Letter) -> Again:
        """The letter's record, to be sent to the lane that it came from. Unsendable says why it can't be."""
        origin = letter.failure.origin
        lane = self._lanes.get(origin.topic)
        if lane is None:
            raise Unsendable(f"{origin.topic} is no topic of {self._domain}'s records")
        raw = self._records_of(origin.topic)
        partitions = raw.partitions()
        if not partitions:
            raise Unsendable(f"the topic {origin.topic} is gone")
        of_letter = letter.failure.stage == AGENT and letter.failure.pointer is None
        found = self.message(letter) if of_letter else self._raw_of(letter, raw)
        headers = encode_again(letter.failure, found.headers())  # type: ignore[arg-type]
        return Again(letter, lane, origin.partition % len(partitions), found.key(), found.value(), headers)

    def _records_of(self, topic: str) -> Records:
        if topic not in self._raw:
            self._raw[topic] = Records(self._kafka, topic, ahead=False)
        return self._raw[topic]

    def _raw_of(self, letter: Letter, raw: Records) -> Message:
        """The raw record at the origin, which the letter itself doesn't hold."""
        origin, pointer = letter.failure.origin, letter.failure.pointer
        elsewhere = (
            ""
            if letter.unit is None
            else f"; `rederive captures retry {letter.capture}` reads its payloads from their source"
        )
        found = raw.at(origin.partition, origin.offset) if origin.partition in raw.partitions() else None
        if found is None:
            raise Unsendable(f"the raw record at {origin} is no longer there{elsewhere}")
        try:
            said = decode_raw(found.headers(), "")  # type: ignore[arg-type]
        except ValueError:
            said = None
        if letter.unit is not None and said is not None and (said.capture, said.unit) != (letter.capture, letter.unit):
            raise Unsendable(f"another record stands at {origin} now: the topic was made anew{elsewhere}")
        if letter.failure.stage == AGENT and pointer is not None:
            digest = hashlib.sha256(found.value() or b"").hexdigest()
            if digest != pointer.sha256:
                raise Unsendable(f"another record stands at {origin} now: its SHA-256 is {digest}{elsewhere}")
        return found

    def high(self, lane: Lane, partition: int) -> int:
        """One past the last record of a lane's partition: what is sent from now on stands there or behind it."""
        return self._records_of(lane.raw).watermarks(partition)[1]

    def sent_at(self, letter: Letter, topic: str, partition: int, first: int) -> int | None:
        """Where the letter's next attempt stands, at or behind an offset; None when it was never sent."""
        records = self._records_of(topic)
        if partition not in records.partitions():
            return None
        low, high = records.watermarks(partition)
        offset = max(low, first)
        while offset < high:
            message = records.first(partition, offset)
            if message is None:
                return None
            offset = (message.offset() or 0) + 1
            try:
                said = decode_raw(message.headers(), "")  # type: ignore[arg-type]
            except ValueError:
                continue
            if (said.first, said.attempt) == (letter.failure.identity, letter.failure.attempt + 1):
                return offset - 1
        return None


def send_again(kafka: Mapping[str, str], records: Sequence[Again]) -> list[Origin]:
    """Send dead records again; where each stands now. Failed when one isn't taken: which are is to be looked for."""
    places: dict[int, Origin] = {}
    failures: list[KafkaError] = []
    producer = Producer({**kafka, "enable.idempotence": True, "message.max.bytes": MAX_RECORD_BYTES, "linger.ms": 5})

    def delivered(number: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failures.append(error)
        else:
            places[number] = Origin(message.topic() or "", message.partition() or 0, message.offset() or 0)

    try:
        for number, one in enumerate(records):
            producer.produce(
                one.lane.raw,
                key=one.key,
                value=one.value,
                headers=list[tuple[str, str | bytes | None]](one.headers),
                partition=one.partition,
                on_delivery=partial(delivered, number),
            )
        left = producer.flush(_DELIVERY_SECONDS)
    except (BufferError, KafkaException) as error:
        producer.purge()
        raise _undelivered(str(error)) from error
    if left or failures:
        producer.purge()
        raise _undelivered(failures[0].str() if failures else f"no answer in {_DELIVERY_SECONDS:.0f} s")
    return [places[number] for number in range(len(records))]


def _undelivered(why: str) -> Failed:
    return Failed(
        "dead records can't be sent again",
        why=why,
        mend="see that the broker is up; the same command goes on, and sends none twice",
    )
