"""Upper bounds of a contest: each part of the work alone, in one process, on the same rows.

    python -m bench.limits [--rows 20000]

Reading; computing; merging (binary COPY and one UPDATE a page, no history); and records through the broker by
librdkafka without any other work, a snapshot a record and in units.
"""

import argparse
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pyarrow as pa
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.contenders.work import PAGE_ROWS, compute, fill, ids, pages
from bench.fresh import services
from bench.rows import bare
from bench.rows import fill as fill_tables
from rederive.settings import Settings
from schemas.unit import TARGET_UNIT_ROWS

MOST_ROWS = 50_000
"""Rows that a part is measured on at most: each needs them in memory."""


def measure(settings: Settings, rows: int) -> dict[str, float]:
    """Rows/s by part, of the first `rows` snapshots."""
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    bare(url)
    count = min(rows, MOST_ROWS)
    with psycopg.connect(url) as reading, psycopg.connect(url) as writing:
        first, _ = ids(reading)
        lines: list[bytes] = []
        found = {"reading": _rate(count, lambda: lines.extend(_read(reading, first, count)))}
        batches: list[pa.RecordBatch] = []
        found["computing"] = _rate(count, lambda: batches.extend(compute(lines)))
        taken = PAGE_ROWS // max(1, batches[0].num_rows)

        def merge() -> None:
            for start in range(0, len(batches), taken):
                fill(writing, batches[start : start + taken])

        found["merging"] = _rate(count, merge)
    kafka = settings.kafka_config()
    units = [b"\n".join(lines[at : at + TARGET_UNIT_ROWS]) for at in range(0, count, TARGET_UNIT_ROWS)]
    with _topic(kafka) as topic:
        found["librdkafka, a row a record"] = _rate(count, lambda: _through(kafka, topic, lines))
    with _topic(kafka) as topic:
        found["librdkafka, in units"] = _rate(count, lambda: _through(kafka, topic, units))
    return found


def table(limits: dict[str, float]) -> list[str]:
    """A line a part."""
    return ["each part alone, in one process", *(f"  {part:28}{rate:10,.0f} rows/s" for part, rate in limits.items())]


def _rate(rows: int, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return rows / (time.perf_counter() - started)


def _read(connection: psycopg.Connection, first: int, count: int) -> Iterator[bytes]:
    for page in pages(connection, first, first + count - 1):
        yield from page


@contextmanager
def _topic(kafka: dict[str, str]) -> Iterator[str]:
    """A fresh topic of one partition, gone afterwards."""
    admin, name = AdminClient({**kafka}), f"bench-{secrets.token_hex(4)}"
    admin.create_topics([NewTopic(name, 1, 1)])[name].result()
    yield name
    admin.delete_topics([name])[name].result()


def _through(kafka: dict[str, str], topic: str, records: Sequence[bytes]) -> None:
    """Send records, and read them while they are sent."""
    producer = Producer({**kafka, "compression.type": "lz4", "linger.ms": 20, "batch.size": 1_000_000})
    consumer = Consumer({**kafka, "group.id": topic, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    read = 0
    for record in records:
        while True:
            try:
                producer.produce(topic, record, partition=0)
                break
            except BufferError:
                read += len(consumer.consume(1_000, 0.05))
                producer.poll(0)
    producer.flush(60)
    while read < len(records):
        read += len(consumer.consume(1_000, 1.0))
    consumer.close()


def main() -> None:
    """Print a line a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="default %(default)s")
    given = parser.parse_args()
    with services() as settings:
        assert settings.database_url is not None
        fill_tables(settings.database_url.get_secret_value(), given.rows)
        print("\n".join(table(measure(settings, given.rows))))


if __name__ == "__main__":
    main()
