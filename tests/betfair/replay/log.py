"""A domain's log, filled as an ingester fills it, and what stands on topics."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from producers.betfair.snapshots import KIND
from producers.topics import ensure_topics, partitions_of
from rederive.settings import Settings
from schemas.lane import Lane, LaneName
from schemas.wire import Headers, RawHeaders, encode_raw
from tests.betfair.reports.made import AWAY, DRAW, HOME, PAYLOAD, START


def line(snapshot_id: int, market_id: str = "1.1", raw: object = PAYLOAD, **more: Any) -> bytes:
    """A snapshot as an input line of `rederive compute betfair`."""
    said = {
        "snapshot_id": snapshot_id,
        "snapshot_at": START.isoformat(),
        "market_id": market_id,
        "selection_ids": {"home": HOME, "away": AWAY, "draw": DRAW},
        "raw_payload": raw,
    }
    return orjson.dumps({**said, **more})


HEADERS: Headers = encode_raw(RawHeaders(kind=KIND, capture="betfair-live-1", unit=7, rows=1, key_range="somewhere"))


def lane(settings: Settings, name: LaneName = LaneName.LOG) -> Lane:
    return Lane("betfair", name, settings.topic_prefix)


def fill(settings: Settings, records: Iterable[tuple[bytes, Headers, datetime | None]]) -> None:
    """Send records (value, headers, send time) to the log, in turn to each of its two partitions."""
    kafka = settings.kafka_config()
    ensure_topics(kafka, lane(settings), 2)
    producer = Producer({**kafka, "compression.type": "zstd"})
    for number, (value, headers, at) in enumerate(records):
        moment = int((at or datetime.now(UTC)).timestamp() * 1000)
        producer.produce(lane(settings).raw, value=value, headers=list(headers), partition=number % 2, timestamp=moment)
    assert producer.flush(30) == 0


def read(settings: Settings, topic: str) -> list[Message]:
    """Everything that stands on a topic."""
    kafka = settings.kafka_config()
    consumer = Consumer({**kafka, "group.id": f"{settings.topic_prefix}look", "enable.auto.commit": False})
    found: list[Message] = []
    try:
        for partition in partitions_of(kafka, topic):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, low)])
            deadline = time.monotonic() + 30
            for _ in range(high - low):
                message = consumer.poll(max(0.0, deadline - time.monotonic()))
                assert message is not None, f"{topic}[{partition}] ends before {high}"
                assert message.error() is None
                found.append(message)
    finally:
        consumer.close()
    return found
