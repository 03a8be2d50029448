"""An agent that raises, is cancelled or is killed never commits what it hasn't delivered."""

import random
from itertools import count

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from processors.runtime import EXIT_BATCH_FAILED
from producers.topics import committed, ensure_topics
from rederive.settings import Settings
from schemas.lane import Lane, LaneName
from schemas.wire import decode_derived
from tests.faults.agent_under_test import NEVER
from tests.program import environment
from tests.wait import until
from tests.worker_forks import Forked, address

RECORDS = 200
REPEATS = 3


def agent(settings: Settings, harm: str, at: int, name: str = "agent", session_seconds: float = 6.0) -> Forked:
    words = [harm, str(at), str(settings.kafka_bootstrap), settings.topic_prefix, str(settings.home)]
    words += [name, str(session_seconds)]
    return Forked.begun(address(), "tests.faults.agent_under_test", words, environment(settings))


def reached_by(settings: Settings, lane: Lane) -> int:
    """The agents' committed offset of the one partition; 0 before the first commit."""
    (place,) = committed(settings.kafka_config(), lane.agents, [TopicPartition(lane.raw, 0)])
    return max(0, int(place.offset))


class Delivered:
    """The raw offsets that have an outcome on the derived topic, read as it grows."""

    def __init__(self, settings: Settings, lane: Lane) -> None:
        self.offsets: set[int] = set()
        self._consumer = Consumer({**settings.kafka_config(), "group.id": f"{lane.derived}.look"})
        self._place = TopicPartition(lane.derived, 0, 0)
        self._consumer.assign([self._place])
        self._read = 0

    def look(self) -> set[int]:
        """Read what has come since; everything that was there when this was called is in the answer."""
        _, end = self._consumer.get_watermark_offsets(self._place, timeout=10)
        while self._read < end:
            message = self._consumer.poll(30)
            assert message is not None, f"there is nothing at {self._read} of {end}"
            assert message.error() is None, message.error()
            self._read = (message.offset() or 0) + 1
            self.offsets.add(decode_derived(message.headers()).origin.offset)  # type: ignore[arg-type]
        return self.offsets

    def close(self) -> None:
        self._consumer.close()


@pytest.mark.services
@pytest.mark.parametrize("harm", ["raise", "cancel", "kill"])
def test_nothing_undelivered_is_committed(settings: Settings, harm: str) -> None:
    lane = Lane("betfair", LaneName.REPLAY, settings.topic_prefix)
    ensure_topics(settings.kafka_config(), lane, 1)
    producer = Producer(settings.kafka_config())
    for number in range(RECORDS):
        producer.produce(lane.raw, value=str(number).encode(), partition=0)
    assert producer.flush(30) == 0

    delivered = Delivered(settings, lane)
    chance = random.Random(harm)
    try:
        for attempt in count():
            reached = reached_by(settings, lane)
            if attempt == REPEATS or reached >= RECORDS - 20:
                break
            doomed = agent(settings, harm, chance.randrange(reached + 2, min(reached + 50, RECORDS)))
            doomed.wait(60)
            assert doomed.returncode == (-9 if harm == "kill" else EXIT_BATCH_FAILED)
            behind = reached_by(settings, lane)
            missing = set(range(behind)) - delivered.look()
            assert not missing, f"committed {behind} without delivering {sorted(missing)[:5]}"

        last = agent(settings, NEVER, 0)
        try:
            until(lambda: reached_by(settings, lane) == RECORDS, 60, "the rest was not taken up")
        finally:
            last.terminate()
            assert last.wait(60) == 0
        assert delivered.look() == set(range(RECORDS))
    finally:
        delivered.close()
