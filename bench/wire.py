"""What records cost on their way, by codec and by unit size: processor time of both clients and of the broker.

    python -m bench.wire [--rows 20000]

A raw record is sent as a run does it (librdkafka) and read as an agent does it (aiokafka); an outcome is sent as an
agent does it and read as a sink does it. Each figure is µs of processor a row; bytes are those on the broker's disk.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.agent import lines
from processors.betfair.process import process
from producers.topics import ensure_topics
from rederive import local
from rederive.settings import Settings
from samples.betfair.synthetic import Synthetic
from schemas.derived import parts
from schemas.lane import Lane, LaneName
from schemas.wire import MAX_BATCH_BYTES, MAX_RECORD_BYTES

_CODECS = ("none", "lz4", "zstd 1", "zstd 3")


@dataclass(frozen=True, slots=True)
class Cost:
    """µs of processor a row, and bytes a row that the broker keeps."""

    sent: float
    broker: float
    read: float
    stored: float


def _cpu() -> float:
    return time.process_time()


def _broker_cpu(broker: psutil.Process) -> float:
    times = broker.cpu_times()
    return float(times.user + times.system)


def _codec(name: str) -> dict[str, str]:
    kind, _, level = name.partition(" ")
    return {"compression.type": kind, **({"compression.level": level} if level else {})}


def send(kafka: dict[str, str], topic: str, codec: str, records: Sequence[bytes]) -> None:
    """Send records as a run sends its units."""
    producer = Producer({**kafka, "enable.idempotence": True, "linger.ms": 5, **_codec(codec)})
    for record in records:
        while True:
            try:
                producer.produce(topic, value=record, partition=0)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)


def read(kafka: dict[str, str], topic: str, count: int, at_once: int = 8) -> None:
    """Read so many records as a sink reads outcomes."""
    settings = {**kafka, "group.id": "bench", "enable.auto.commit": False, "fetch.message.max.bytes": MAX_BATCH_BYTES}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(topic, 0, 0)])
    while count > 0:
        count -= len(consumer.consume(at_once, 1.0))
    consumer.close()


async def send_async(kafka: dict[str, str], topic: str, codec: str, records: Sequence[bytes]) -> None:
    """Send records as an agent sends its outcomes."""
    kind = None if codec == "none" else codec.partition(" ")[0]
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka["bootstrap.servers"], compression_type=kind, max_request_size=MAX_RECORD_BYTES
    )
    await producer.start()
    for sent in [await producer.send(topic, record, partition=0) for record in records]:
        await sent
    await producer.stop()


async def read_async(kafka: dict[str, str], topic: str, count: int) -> None:
    """Read so many records as an agent reads units."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka["bootstrap.servers"],
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_BATCH_BYTES,
    )
    await consumer.start()
    while count > 0:
        got = await consumer.getmany(timeout_ms=1000, max_records=16)
        count -= sum(map(len, got.values()))
    await consumer.stop()


def _topic_bytes(home: Path, topic: str) -> int:
    return sum(path.stat().st_size for path in home.glob(f"kafka/data/**/{topic}-0/*.log"))


def cost(settings: Settings, topic: str, rows: int, send_all: Callable[[], None], read_all: Callable[[], None]) -> Cost:
    """Send, then read, and see what each took."""
    (kafka,) = [one for one in local.status(settings) if one.service == "kafka"]
    broker = psutil.Process(kafka.pid)
    began, before = _broker_cpu(broker), _cpu()
    send_all()
    between = _cpu()
    read_all()
    after = _cpu()
    stored = _topic_bytes(settings.home, topic)
    a_row = 1e6 / rows
    return Cost(
        (between - before) * a_row, (_broker_cpu(broker) - began) * a_row, (after - between) * a_row, stored / rows
    )


def _wait(made: Awaitable[None]) -> None:
    async def run() -> None:
        await made

    asyncio.run(run())


def measure(settings: Settings, name: str, codec: str, rows: int, records: Sequence[bytes], *, raw: bool) -> None:
    """Print the cost of one kind of record with one codec."""
    lane = Lane("bench", LaneName.REPLAY, f"{name}-{codec.replace(' ', '')}-")
    kafka = settings.kafka_config()
    ensure_topics(kafka, lane, 1)
    topic = lane.raw if raw else lane.derived
    if raw:
        found = cost(
            settings, topic, rows,
            lambda: send(kafka, topic, codec, records), lambda: _wait(read_async(kafka, topic, len(records))),
        )  # fmt: skip
    else:
        found = cost(
            settings, topic, rows,
            lambda: _wait(send_async(kafka, topic, codec, records)), lambda: read(kafka, topic, len(records)),
        )  # fmt: skip
    whole = found.sent + found.broker + found.read
    print(
        f"{name[:7]:12} {codec:7} {found.sent:7.1f} {found.broker:7.1f} {found.read:7.1f} {whole:7.1f}"
        f" {found.stored:10,.0f}",
        flush=True,
    )


def main() -> None:
    """Print a line for each kind of record, size and codec."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    world = Synthetic()
    made = list(lines(world.snapshots(rows), world.metadata()))
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder), kafka_bootstrap=None, database_url=None)
        try:
            settings = settings.at(local.start(settings))
            print(f"{'µs a row':12} {'codec':7} {'sent':>7} {'broker':>7} {'read':>7} {'all':>7} {'bytes/row':>10}")
            # the broker compiles what it runs: the first figures would be those of its compiler
            for size in (512, 128, 512):
                units = [b"\n".join(made[at : at + size]) for at in range(0, rows, size)]
                outcomes = [part for unit in units for part in parts(process(unit, ()))]
                for codec in _CODECS:
                    measure(settings, f"raw-{size}-{os.urandom(2).hex()}", codec, rows, units, raw=True)
                for codec in (*_CODECS[:2], "zstd 3"):
                    measure(settings, f"out-{size}-{os.urandom(2).hex()}", codec, rows, outcomes, raw=False)
        finally:
            local.stop(settings)


if __name__ == "__main__":
    main()
