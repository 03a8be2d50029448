"""The sink: reads outcomes, has them applied in batches, then commits the offsets that are safe.

While a batch is written the next is read and made ready, and no more than that: memory holds two.
"""

import gc
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass

import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.domain import Domain
from schemas.lane import Lane, LaneName
from schemas.measures import UNMEASURED, Measures
from schemas.wire import MAX_BATCH_BYTES
from sinks.applier import Applier
from sinks.apply import Result
from sinks.batch import Batch, make_batch, weight
from sinks.dead_letters import DeadLetters
from sinks.parts import Parts
from store.latencies import Latencies

log = logging.getLogger("rederive.sink")

_POLL_SECONDS = 0.05
_SHORT_SECONDS = 0.005
_AT_ONCE = 32
_LINGER_SECONDS = 0.3
_PAUSE_AFTER_SECONDS = 1.0
_HAND_OVER_SECONDS = 5.0
_GARBAGE_THRESHOLD = 1_000_000
_COLLECT_SECONDS = 30.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """How a sink connects and who it is; `member` is its static id within the consumer group."""

    lane: Lane
    domain: Domain
    member: str
    kafka: Mapping[str, str]
    connect: Callable[[], psycopg.Connection]
    batch_rows: int
    measures: Measures = UNMEASURED


class ConsumerLostError(Exception):
    """The consumer can't go on, a new one can: after an outage the broker took it for another one, for instance."""


class Sink:
    """One sink process: `run` blocks until `stopping` answers True.

    The consumer belongs to the thread that runs, the database to the applier's.
    """

    def __init__(self, config: SinkConfig) -> None:
        self.config = config
        self._parts: dict[int, Parts] = {}
        self._committed: dict[int, int] = {}
        self._results: list[Result] = []
        self._rows = 0
        self._collected = time.monotonic()
        self._behind, self._looked = 0, 0.0
        self._ready: Batch | None = None
        self._writing: Future[None] | None = None
        self._promised: Mapping[int, int] = {}
        self._applier = Applier(
            config.domain,
            config.connect,
            DeadLetters(config.kafka, config.lane, config.domain.derivation_version),
            Latencies(config.lane, config.member, config.measures.took),
            config.measures,
        )
        self._consumer = Consumer(
            {
                **config.kafka,
                "group.id": config.lane.sinks,
                "group.instance.id": config.member,
                "client.id": config.member,
                "session.timeout.ms": 6000,
                # A member learns of a rebalance by it: another sink waits no longer than that.
                "heartbeat.interval.ms": 500,
                "enable.auto.commit": False,
                "on_commit": self._told,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": MAX_BATCH_BYTES,
                "fetch.max.bytes": MAX_BATCH_BYTES + 1024 * 1024,
                # Several batches; they would only lie there.
                "queued.max.messages.kbytes": 16 * 1024,
            }
        )

    def run(self, stopping: Callable[[], bool]) -> None:
        """Read, apply and commit until asked to stop; what is read and not begun by then comes again.

        Failed when only a person can mend it, ConsumerLostError when a new process can.
        """
        # What a batch is made of has no cycles: looking for some would take longer than decoding it. What writes it has
        # a few, by the thousand where batches are small: they are looked for now and then.
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        self._consumer.subscribe(
            [self.config.lane.derived], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        log.info("sink %s reads %s", self.config.member, self.config.lane.derived)
        try:
            while not stopping():
                self._gather(stopping)
                self._wait()
                if not stopping():
                    self._begin()
            self._finish()
        finally:
            self._consumer.close()
            if self._writing is None:
                self._applier.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Positions start from what is committed: whatever was gathered before comes again.
        self._let_go()
        self._parts = {part.partition: Parts() for part in partitions}
        consumer.assign(partitions)
        # A partition that was paused when it went away would come back paused.
        consumer.resume(partitions)
        self.config.measures.begun(lambda: self._behind)

    def _revoked(self, _: Consumer, __: list[TopicPartition]) -> None:
        """Wait a while for what is being written, and commit it: it needn't come again to whoever has it next."""
        if self._writing is not None:
            wait([self._writing], _HAND_OVER_SECONDS)
            if self._writing.done() and self._writing.exception() is None:
                self._commit(self._promised, asynchronous=False)
        self._let_go()

    def _lost(self, _: Consumer, __: list[TopicPartition]) -> None:
        # Somebody else has them already and knows where they stand.
        self._let_go()

    def _let_go(self) -> None:
        """Forget all that is read. What is still being written comes again, and finds itself noted."""
        self._results, self._rows = [], 0
        self._ready = None
        self._promised = {}
        self._parts.clear()
        self._committed.clear()

    def _look(self) -> None:
        """Note how many records of its partitions it hasn't committed, as far as it has heard of them.

        Who asks for it is another thread: there the client's calls may wait for this one's.
        """
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        topic, behind = self.config.lane.derived, 0
        for partition, parts in self._parts.items():
            _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True) or (0, 0)
            # Of one that it hasn't read anything of yet it doesn't know.
            if done := self._committed.get(partition) or parts.safe_offset:
                behind += max(0, end - done)
        self._behind = behind

    def _gather(self, stopping: Callable[[], bool]) -> None:
        """Read a batch: enough rows, or while nothing is being written what there is, and make it ready."""
        started = time.monotonic()
        while not stopping():
            drained = self._read()
            self._look()
            if self._writing is not None and self._writing.done():
                self._finish()
            waited = time.monotonic() - started
            idle = self._writing is None
            if self._rows >= 2 * self.config.batch_rows or (
                self._results and idle and (drained or waited > _LINGER_SECONDS)
            ):
                results, self._results, self._rows = self._results, [], 0
                self._ready = make_batch(self.config.domain, results, self._safe(), self._applier.modes)
                return
            if not self._results:
                if idle:
                    # Records that were no outcomes are done with, too.
                    self._commit(self._safe())
                    self._applier.note_latencies()
                started = time.monotonic()

    def _read(self) -> bool:
        """Take what has come, after a moment if nothing has; whether it is worth to write what there is.

        What is replayed comes in numbers: a larger batch costs less. What arrives by itself is written as it comes, and
        waits no longer than what was before it is being written.
        """
        if self.config.lane.name is LaneName.REPLAY:
            messages = self._consumer.consume(num_messages=8, timeout=_POLL_SECONDS)
            drained = not messages
        else:
            if self._results and self._writing is not None:
                wait([self._writing], _SHORT_SECONDS)
                messages = []
            else:
                messages = self._consumer.consume(num_messages=1, timeout=_POLL_SECONDS)
            more = self._consumer.consume(num_messages=_AT_ONCE, timeout=0)
            drained = len(more) < _AT_ONCE
            messages += more
        for message in messages:
            self._take(message)
        return drained

    def _safe(self) -> Mapping[int, int]:
        return {partition: parts.safe_offset for partition, parts in self._parts.items()}

    def _take(self, message: Message) -> None:
        """Keep a message, and the result that it finishes."""
        error = message.error()
        if error is not None:
            if error.fatal() or error.code() == KafkaError._FATAL:
                raise ConsumerLostError(str(error))
            if error.code() != KafkaError._PARTITION_EOF:
                log.warning("reading %s: %s", self.config.lane.derived, error)
            return
        parts = self._parts.setdefault(message.partition() or 0, Parts())
        offset = message.offset() or 0
        try:
            _, computed = message.timestamp()
            result = parts.take(offset, message.headers() or (), message.value() or b"", computed)  # type: ignore[arg-type]
        except ValueError as failure:
            log.error(
                "%s[%s]@%d is no outcome and is passed over: %s",
                self.config.lane.derived, message.partition(), offset, failure,
            )  # fmt: skip
            return
        if result is not None:
            self._results.append(result)
            self._rows += weight(result.outcome)

    def _wait(self) -> None:
        """Until nothing is being written any more, or what is ready has been let go.

        The group is answered meanwhile. Pausing costs what has been fetched ahead: the usual batch doesn't come to it.
        """
        if self._writing is None:
            return
        wait([self._writing], _PAUSE_AFTER_SECONDS)
        if not self._writing.done():
            self._consumer.pause(self._consumer.assignment())
            while self._ready is not None and not self._writing.done():
                for message in self._consumer.consume(num_messages=32, timeout=_POLL_SECONDS):
                    self._take(message)
            self._consumer.resume(self._consumer.assignment())
        if self._writing.done():
            self._finish()

    def _begin(self) -> None:
        """Begin to write what is ready."""
        if self._ready is not None:
            batch, self._ready = self._ready, None
            self._promised, self._writing = batch.offsets, self._applier.begin(batch)

    def _finish(self) -> None:
        """Wait for what is being written, if anything, then commit how far everything is done."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        writing.result()
        self._commit(self._promised)
        if time.monotonic() - self._collected > _COLLECT_SECONDS:
            gc.collect()
            self._collected = time.monotonic()

    def _commit(self, safe: Mapping[int, int], *, asynchronous: bool = True) -> None:
        moved = {partition: offset for partition, offset in safe.items() if offset != self._committed.get(partition, 0)}
        if not moved:
            return
        offsets = [TopicPartition(self.config.lane.derived, partition, offset) for partition, offset in moved.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=asynchronous)  # type: ignore[call-overload]
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
