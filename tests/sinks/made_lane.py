"""A lane full of outcomes of the made tables: two captures whose rows meet on the same keys, on two partitions."""

from collections.abc import Iterator

import psycopg
from confluent_kafka import Producer, TopicPartition

from producers.topics import committed, ensure_topics, watermarks
from rederive.settings import Settings
from schemas.derived import encode_outcome
from schemas.lane import Lane, LaneName
from schemas.outcome import Outcome, TableRows
from schemas.table import Mode
from schemas.unit import Origin
from schemas.wire import DerivedHeaders, encode_derived
from sinks.merge.policy import Merge
from store.origins import holes
from tests.sinks.made_tables import MADE, ONE_SOURCE, make, make_capture

SEEN = "2026-02-06T12:00:00+00:00"
UNITS, UNIT_ROWS = 60, 20
ROWS = UNITS * UNIT_ROWS

Record = tuple[int, DerivedHeaders, bytes]
"""Its partition, headers and value."""


def lane_of(settings: Settings) -> Lane:
    return Lane(MADE.name, LaneName.REPLAY, settings.topic_prefix)


def fill(settings: Settings, connection: psycopg.Connection) -> Lane:
    """Make tables, captures and topics, and send everything."""
    lane = lane_of(settings)
    for table in MADE.tables:
        make(connection, table)
    for number, mode in ((1, Mode.FILL), (2, Mode.SUPERSEDE)):
        capture = make_capture(connection, number, mode, 1)
        connection.execute(
            """INSERT INTO rederive.units (capture_id, unit, key_range, locator, rows, state)
               SELECT %s, n, '', '{}', %s, 'sent' FROM generate_series(0, %s) AS n""",
            [capture, UNIT_ROWS, UNITS - 1],
        )
    ensure_topics(settings.kafka_config(), lane, 2)
    producer = Producer({**settings.kafka_config(), "linger.ms": 20})
    for partition, headers, value in records(lane):
        said = list[tuple[str, str | bytes | None]](encode_derived(headers))
        producer.produce(lane.derived, partition=partition, headers=said, value=value)
    assert producer.flush(30) == 0
    return lane


def records(lane: Lane) -> Iterator[Record]:
    """Units of both captures by turns; every seventh in two parts with another unit's record between them."""
    offsets = [0, 0]
    held: dict[int, Record] = {}
    for number in range(UNITS):
        for capture, (partition, values) in {
            # The fill's value for b is nobody else's, the other's for a wins: each row of both changes what is stored.
            "c1": (number % 2, ("a", "b")),
            "c2": (1 - number % 2, ("a", "c")),
        }.items():
            origin = Origin(lane.raw, partition, offsets[partition])
            offsets[partition] += 1
            rows = [
                [key, SEEN, 1.0 if capture == "c1" else 2.0, float(key)]
                for key in range(number * UNIT_ROWS, (number + 1) * UNIT_ROWS)
            ]
            parts = 2 if number % 7 == 0 else 1
            for part in range(1, parts + 1):
                block = TableRows.of(ONE_SOURCE, ("k", "seen", *values), rows[part - 1 :: parts])
                outcome = Outcome(read=UNIT_ROWS if part == parts else 0, tables=[block])
                record = partition, DerivedHeaders(origin, capture, number, part, parts), encode_outcome(outcome)
                if part == 2:
                    held[partition] = record
                else:
                    yield record
            if parts == 1 and partition in held:
                yield held.pop(partition)
    assert not held


def all_committed(settings: Settings) -> bool:
    """Whether the sinks have committed everything that the lane holds."""
    lane, kafka = lane_of(settings), settings.kafka_config()
    ends = {partition: high for partition, (_, high) in watermarks(kafka, lane.derived).items()}
    places = committed(kafka, lane.sinks, [TopicPartition(lane.derived, partition) for partition in ends])
    return {place.partition: place.offset for place in places} == ends


def check_written_once(connection: psycopg.Connection, lane: Lane) -> None:
    """That every row of both captures has had its effect, once, and every unit and record is accounted for."""
    rows = connection.execute("SELECT k, a, b, c FROM made_one ORDER BY k").fetchall()
    assert rows == [(key, 2.0, float(key), float(key)) for key in range(ROWS)]
    entries = "SELECT capture_id, count(*) FROM rederive.made_one_history GROUP BY capture_id ORDER BY capture_id"
    assert connection.execute(entries).fetchall() == [("c1", ROWS), ("c2", ROWS)]
    # What is applied again, and counted so, changes nothing.
    counts = "SELECT state, count(*), sum(updated), sum(unchanged) FROM rederive.units GROUP BY state"
    assert connection.execute(counts).fetchall() == [("applied", 2 * UNITS, 2 * ROWS, 0)]
    assert sum(done.wrong for done in Merge().verify(connection, ONE_SOURCE)) == 0
    for partition in range(2):
        assert holes(connection, lane.raw, partition, 0, UNITS) == []
