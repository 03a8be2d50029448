"""Send units to a raw topic: idempotent, every delivery known."""

from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import KafkaError, Message, Producer

from schemas.errors import Away, Failed
from schemas.unit import Delivered, Unit
from schemas.wire import MAX_RECORD_BYTES, encode_raw


class Sender:
    """A producer to one topic. `delivered` collects what the broker has acknowledged, until it is taken.

    A unit is about as large as a batch may be, there is little to wait for; with `at_once` nothing is. Failed when the
    topic has no `partitions`.
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        topic: str,
        partitions: list[int],
        codec: str = "zstd",
        *,
        at_once: bool = False,
    ) -> None:
        if not partitions:
            raise Failed(
                f"there is no topic {topic}",
                why="nobody has made it, or it was deleted",
                mend="`rederive topics make` makes it; live does so when it is begun again",
            )
        self._topic, self._partitions = topic, partitions
        self._delivered: list[Delivered] = []
        self._failure: KafkaError | None = None
        self._producer = Producer(
            {
                **kafka,
                "enable.idempotence": True,
                "compression.type": codec,
                "linger.ms": 0 if at_once else 5,
                "message.max.bytes": MAX_RECORD_BYTES,
                "queue.buffering.max.kbytes": 64 * 1024,
                # Bounded by the run's own patience: it asks for what isn't delivered.
                "message.timeout.ms": 300_000,
            }
        )

    def send(self, unit: Unit, number: int | None = None) -> None:
        """Queue a unit; waits while the queue is full. Failed when an earlier delivery has failed.

        By `number` it is known when it is delivered, where no plan has given it one.
        """
        number = unit.headers.unit if number is None else number
        assert number is not None
        wanted = number if unit.partition is None else unit.partition

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failure = error
            else:
                self._delivered.append(Delivered(number, message.partition() or 0, message.offset() or 0))

        while True:
            self._check()
            try:
                self._producer.produce(
                    self._topic,
                    key=unit.key,
                    value=unit.value,
                    headers=list[tuple[str, str | bytes | None]](encode_raw(unit.headers)),
                    partition=self._partitions[wanted % len(self._partitions)],
                    on_delivery=on_delivery,
                )
            except BufferError:
                self._serve(self._producer.poll, 0.5)
                continue
            self._serve(self._producer.poll, 0)
            return

    def poll(self) -> list[Delivered]:
        """What has been delivered since the last call. Failed when a delivery has failed."""
        self._serve(self._producer.poll, 0)
        self._check()
        taken, self._delivered = self._delivered, []
        return taken

    def flush(self, seconds: float) -> list[Delivered]:
        """Wait for all deliveries, at most so long; what is not delivered then is simply sent again some day."""
        self._serve(self._producer.flush, seconds)
        taken, self._delivered = self._delivered, []
        return taken

    def deliver(self, units: Iterable[Unit], seconds: float) -> list[Delivered]:
        """Send units and wait until they stand on the topic: where, each by its place among them.

        Failed when the broker refuses one, Away when there is no word of one after so long. Nothing more is sent then,
        and another sender has to go on: who looks again may find missing what this one would still bring.
        """
        ranges: list[str] = []
        try:
            for number, unit in enumerate(units):
                ranges.append(unit.headers.key_range)
                self.send(unit, number)
            delivered = self.flush(seconds)
            self._check()
            if missing := set(range(len(ranges))) - {one.unit for one in delivered}:
                others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
                raise Away(
                    f"{ranges[min(missing)]}{others} can't be delivered to {self._topic}",
                    why=f"no answer in {seconds:g} s",
                    mend="see that the broker is up",
                )
        except BaseException:
            self.drop()
            raise
        return sorted(delivered)

    def drop(self) -> None:
        """Forget what is queued, so that closing doesn't wait for a broker that is gone."""
        self._producer.purge()

    @staticmethod
    def _serve(call: Callable[[float], object], seconds: float) -> None:
        """Let deliveries be told. An interrupt meanwhile is lost in the C library but for a trace."""
        try:
            call(seconds)
        except SystemError as error:
            raise KeyboardInterrupt from error

    def _check(self) -> None:
        if self._failure is not None:
            raise Failed(
                f"units can't be delivered to {self._topic}",
                why=self._failure.str(),
                mend="see that the broker is up and takes records of 16 MiB; live goes on by itself then, a run with "
                "`rederive captures resume`",
            )
