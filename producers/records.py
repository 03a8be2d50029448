"""Records of one topic, read by partition and offset: nothing is subscribed, nothing is committed."""

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.topics import held, partitions_of, topic_id, unreachable
from schemas.errors import Away
from schemas.wire import MAX_BATCH_BYTES

_SECONDS = 10.0
_READ_SECONDS = 30.0
_AT_ONCE = 500


class Records:
    """A topic to look into; reading offsets one after the other is fast. `close` it in the end.

    With `ahead=False` little more is fetched than is asked for: for whoever wants a record here and there.
    """

    def __init__(self, kafka: Mapping[str, str], topic: str, *, ahead: bool = True) -> None:
        self.topic = topic
        self._kafka = kafka
        self._next: tuple[int, int] | None = None
        # Taken of the client's queue and not asked for yet: a call for each costs more than a small record does.
        self._taken: deque[Message] = deque()
        self._at_once = _AT_ONCE if ahead else 1
        self._consumer = Consumer(
            {
                **kafka,
                # Positions are assigned, nothing is ever committed; the name is only for the broker's logs.
                "group.id": f"rederive.read.{topic}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                # Says that nothing follows, where the log ends with a transaction's marker.
                "enable.partition.eof": True,
                "fetch.message.max.bytes": MAX_BATCH_BYTES,
                "queued.max.messages.kbytes": 32 * 1024,
                # A batch comes whole, however little is asked for.
                **({} if ahead else {"fetch.message.max.bytes": 1, "queued.min.messages": 1}),
            }
        )

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def partitions(self) -> list[int]:
        """The topic's partitions; empty when there is no such topic. Away when the broker doesn't answer."""
        return partitions_of(self._kafka, self.topic)

    def topic_id(self) -> str | None:
        """Kafka's id of the topic, None when there is no such topic. Away when the broker doesn't answer."""
        return topic_id(self._kafka, self.topic)

    def watermarks(self, partition: int) -> tuple[int, int]:
        """(first offset kept, one past the last)."""
        return held(self._kafka, self._consumer, self.topic, partition)

    def sent_at_or_after(self, partition: int, moment: datetime, high: int) -> int:
        """The first offset sent at or after `moment`; `high` when there is none."""
        # Below 0 are words of the protocol.
        asked = TopicPartition(self.topic, partition, max(0, int(moment.timestamp() * 1000)))
        try:
            (answer,) = self._consumer.offsets_for_times([asked], timeout=_SECONDS)
        except KafkaException as error:
            raise unreachable(self._kafka, error.args[0]) from error
        return high if answer.offset in (OFFSET_END, -1) else min(answer.offset, high)

    def at(self, partition: int, offset: int) -> Message | None:
        """The record at a place, None when none stands there. Away when the broker doesn't answer.

        None may mean a transaction's marker, an aborted or compacted record, or one that retention has dropped.
        """
        message = self.first(partition, offset)
        if message is None or message.offset() == offset:
            return message
        self._next = None
        return None

    def first(self, partition: int, offset: int) -> Message | None:
        """The first record at a place or behind it, None when there is none. Away when the broker doesn't answer."""
        if self._next != (partition, offset):
            self._taken.clear()
            self._consumer.assign([TopicPartition(self.topic, partition, offset)])
        message = self._take()
        error = message.error() if message is not None else None
        self._next = None
        if error is not None and error.code() in (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET):
            return None
        if error is not None:
            raise unreachable(self._kafka, error)
        if message is None:
            raise Away(
                f"{self.topic}[{partition}]@{offset} can't be read",
                why=f"no answer in {_READ_SECONDS:.0f} s",
                mend="see that the broker is up, then resume the capture",
            )
        self._next = partition, (message.offset() or 0) + 1
        return message

    def _take(self) -> Message | None:
        """The next message of the client's, an error too; None when there is no answer."""
        if not self._taken:
            self._taken.extend(self._consumer.consume(self._at_once, 0))
        return self._taken.popleft() if self._taken else self._consumer.poll(_READ_SECONDS)

    def between(self, partition: int, first: int, last: int) -> Iterator[Message]:
        """The records at offsets [first, last), in order, whatever gaps there are. Away when the broker doesn't answer.

        What retention drops meanwhile is passed over.
        """
        at = first
        while at < last:
            message = self.first(partition, at)
            if message is None:
                low, _ = self.watermarks(partition)
                if low <= at:
                    return
                at = low
                continue
            offset = message.offset() or 0
            if offset >= last:
                return
            yield message
            at = offset + 1

    def rest(self) -> None:
        """Fetch nothing until the next record is asked for."""
        self._next = None
        self._taken.clear()
        self._consumer.unassign()
