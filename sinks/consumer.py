"""The sink: reads outcomes, applies them in batches, then commits the offsets that are safe."""

import gc
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psycopg
import stamina
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.domain import Domain
from schemas.errors import Failed
from schemas.lane import Lane
from schemas.outcome import Outcome
from schemas.wire import (
    MAX_BATCH_BYTES,
    DerivedHeaders,
    Failure,
    encode_derived,
    encode_failure,
    encode_outcome,
    oversize,
)
from sinks.apply import Applied, Result, apply
from sinks.parts import Parts
from sinks.policies import prepare

log = logging.getLogger("rederive.sink")

_POLL_SECONDS = 0.05
_LINGER_SECONDS = 0.3
_RETRY_CLASSES = ("40", "08", "53", "57")
_CONNECT_ATTEMPT_SECONDS = 300.0
_DELIVERY_SECONDS = 60.0
_WIDTH = 50
_GARBAGE_THRESHOLD = 1_000_000


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """How a sink connects and who it is; `member` is its static id within the consumer group."""

    lane: Lane
    domain: Domain
    member: str
    kafka: Mapping[str, str]
    connect: Callable[[], psycopg.Connection]
    batch_rows: int


def weight(outcome: Outcome) -> int:
    """How many rows of the usual width an outcome is worth: a batch of narrow rows may hold more of them."""
    return sum(len(block.rows) * len(block.columns) for block in outcome.tables) // _WIDTH + 1


class ConsumerLostError(Exception):
    """The consumer can't go on, a new one can: after an outage the broker took it for another one, for instance."""


class Sink:
    """One sink process: `run` blocks until `stopping` answers True."""

    def __init__(self, config: SinkConfig) -> None:
        self.config = config
        self._parts: dict[int, Parts] = {}
        self._committed: dict[int, int] = {}
        self._results: list[Result] = []
        self._connection: psycopg.Connection | None = None
        self._consumer = Consumer(
            {
                **config.kafka,
                "group.id": config.lane.sinks,
                "group.instance.id": config.member,
                "client.id": config.member,
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 2000,
                "enable.auto.commit": False,
                "on_commit": self._told,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": MAX_BATCH_BYTES,
                "fetch.max.bytes": MAX_BATCH_BYTES + 1024 * 1024,
                "queued.max.messages.kbytes": 32 * 1024,
            }
        )
        self._dead_letters = Producer({**config.kafka, "compression.type": "zstd", "enable.idempotence": True})

    def run(self, stopping: Callable[[], bool]) -> None:
        """Read, apply and commit until asked to stop.

        Failed when only a person can mend it, ConsumerLostError when a new process can.
        """
        # What a batch is made of has no cycles: looking for some would take longer than decoding it.
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        self._consumer.subscribe([self.config.lane.derived], on_assign=self._assigned, on_revoke=self._revoked)
        log.info("sink %s reads %s", self.config.member, self.config.lane.derived)
        try:
            while not stopping():
                self._gather(stopping)
                self._flush()
        finally:
            self._consumer.close()
            if self._connection is not None:
                self._connection.close()

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        # Positions start from what is committed: whatever was gathered before comes again.
        self._results.clear()
        self._parts = {part.partition: Parts() for part in partitions}
        self._committed.clear()

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._results.clear()
        for part in partitions:
            self._parts.pop(part.partition, None)

    def _gather(self, stopping: Callable[[], bool]) -> None:
        """Read results until there are enough rows, none wait, or the first has waited long enough."""
        started = time.monotonic()
        rows = 0
        while not stopping():
            messages = self._consumer.consume(num_messages=8, timeout=_POLL_SECONDS)
            for message in messages:
                rows += self._take(message)
            waited = time.monotonic() - started
            if rows >= 2 * self.config.batch_rows or (self._results and (not messages or waited > _LINGER_SECONDS)):
                return
            if not self._results:
                # Records that were no outcomes are done with, too.
                self._commit()
                started = time.monotonic()

    def _take(self, message: Message) -> int:
        """Keep a message; return the rows of the result that it finishes."""
        error = message.error()
        if error is not None:
            if error.fatal() or error.code() == KafkaError._FATAL:
                raise ConsumerLostError(str(error))
            if error.code() != KafkaError._PARTITION_EOF:
                log.warning("reading %s: %s", self.config.lane.derived, error)
            return 0
        parts = self._parts.setdefault(message.partition() or 0, Parts())
        offset = message.offset() or 0
        try:
            result = parts.take(offset, message.headers() or (), message.value() or b"")  # type: ignore[arg-type]
        except ValueError as failure:
            log.error(
                "%s[%s]@%d is no outcome and is passed over: %s",
                self.config.lane.derived, message.partition(), offset, failure,
            )  # fmt: skip
            return 0
        if result is None:
            return 0
        self._results.append(result)
        return weight(result.outcome)

    def _flush(self) -> None:
        """Apply what was gathered, capture by capture, then commit how far everything is done."""
        by_capture: dict[str, list[Result]] = defaultdict(list)
        for result in self._results:
            by_capture[result.capture_id].append(result)
        for capture_id, results in by_capture.items():
            done = self._apply(capture_id, results)
            if done.discarded:
                log.warning("%d records of %s are discarded: it isn't running", done.discarded, capture_id)
            self._send_dead_letters(done)
        self._results.clear()
        self._commit()

    def _commit(self) -> None:
        safe = {partition: parts.safe_offset for partition, parts in self._parts.items()}
        moved = {partition: offset for partition, offset in safe.items() if offset != self._committed.get(partition, 0)}
        if not moved:
            return
        offsets = [TopicPartition(self.config.lane.derived, partition, offset) for partition, offset in moved.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.warning("offsets are not committed, their records will come again: %s", error)
            return
        self._committed.update(moved)

    def _told(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """What became of a commit; a refused one is tried again with the next."""
        if error is not None:
            log.warning("offsets are not committed, their records may come again: %s", error)
            for place in offsets:
                self._committed.pop(place.partition, None)

    def _apply(self, capture_id: str, results: list[Result]) -> Applied:
        """Apply with patience: what passes by itself is tried again, what needs a person stops the sink."""
        for attempt in stamina.retry_context(
            on=passes, attempts=None, timeout=_CONNECT_ATTEMPT_SECONDS, wait_initial=0.05, wait_max=10.0
        ):
            with attempt:
                try:
                    return apply(self._connected(), self.config.domain, capture_id, results)
                except psycopg.Error as error:
                    if self._connection is not None and self._connection.broken:
                        self._connection = None
                    if passes(error):
                        if attempt.num == 1:
                            log.warning("rows of %s wait for the database: %s", capture_id, error)
                        raise
                    raise Failed(
                        f"rows of {capture_id} can't be written",
                        why=f"{error} [{error.sqlstate}]",
                        mend="run `rederive migrate`, then `rederive captures resume " + capture_id + "`",
                    ) from error
        raise AssertionError("unreachable")

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            connection = self.config.connect()
            prepare(connection, self.config.domain)
            self._connection = connection
        return self._connection

    def _send_dead_letters(self, done: Applied) -> None:
        """Send refused outcomes to the DLQ and wait for their delivery. Failed when one isn't taken."""
        failures: list[str] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error.str())

        for result, reason in done.refused:
            log.error("unit %s of %s is dead: %s", result.unit, result.capture_id, reason)
            value = encode_outcome(result.outcome)
            if oversize(value):
                # Its rows come again from the raw record, whose place is in the headers.
                value = encode_outcome(Outcome(result.outcome.read, dead=reason))
            answered = encode_derived(DerivedHeaders(result.origin, result.capture_id, result.unit))
            headers = encode_failure(Failure(result.origin, "sink", reason), answered)
            self._dead_letters.produce(
                self.config.lane.dlq,
                value=value,
                headers=list[tuple[str, str | bytes | None]](headers),
                on_delivery=delivered,
            )
        if done.refused and (self._dead_letters.flush(_DELIVERY_SECONDS) or failures):
            raise Failed(
                "dead letters can't be delivered",
                why=f"{self.config.lane.dlq}: {failures[0] if failures else f'no answer in {_DELIVERY_SECONDS:.0f} s'}",
                mend="see that the topic takes records of 16 MiB; they are sent again then",
            )


def passes(error: Exception) -> bool:
    """Whether trying again may help: the connection is gone, or the SQLSTATE's class is 40, 08, 53 or 57."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate[:2] in _RETRY_CLASSES
