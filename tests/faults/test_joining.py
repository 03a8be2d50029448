"""Agents that join: before their topic is there, beside one that answers no more, and one after another."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import ConsumerGroupState, KafkaException, Producer
from confluent_kafka.admin import AdminClient

import rederive.workers
from producers.topics import ensure_topics
from rederive.lanes import Lanes
from rederive.settings import Settings
from schemas.capture import Capture, CaptureState
from schemas.lane import Lane, LaneName
from schemas.table import Mode
from tests.faults.agent_under_test import NEVER
from tests.faults.test_agent import agent, reached_by
from tests.wait import until
from tests.worker_forks import Forked

pytestmark = pytest.mark.services

PATIENT = 60.0
"""Seconds of a session that is not over while a test runs."""


@contextmanager
def joining(settings: Settings, name: str) -> Iterator[Forked]:
    process = agent(settings, NEVER, 0, name, PATIENT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def group(settings: Settings, lane: Lane) -> tuple[ConsumerGroupState, int]:
    """How the agents' group is, and how many members it has; unknown while nobody coordinates it yet."""
    admin = AdminClient({**settings.kafka_config()})
    try:
        found = admin.describe_consumer_groups([lane.agents])[lane.agents].result(10)
    except KafkaException:
        return ConsumerGroupState.UNKNOWN, -1
    return found.state, len(found.members)


def joined(settings: Settings, lane: Lane) -> bool:
    return group(settings, lane) == (ConsumerGroupState.STABLE, 1)


def test_a_topic_that_is_made_after_the_agent_has_joined(settings: Settings) -> None:
    lane = Lane("betfair", LaneName.REPLAY, settings.topic_prefix)
    with joining(settings, "first") as first:
        until(lambda: joined(settings, lane), 60, "the agent does not join")
        ensure_topics(settings.kafka_config(), lane, 1)
        producer = Producer(settings.kafka_config())
        producer.produce(lane.raw, value=b"0", partition=0)
        assert producer.flush(30) == 0
        until(lambda: reached_by(settings, lane) == 1, 60, "the agent does not see its topic")

        # In order it leaves its group at once: the next to join has nobody to wait for.
        first.terminate()
        assert first.wait(60) == 0
        assert group(settings, lane)[1] == 0


def test_an_agent_that_is_stopped_while_it_joins(settings: Settings) -> None:
    lane = Lane("betfair", LaneName.REPLAY, settings.topic_prefix)
    ensure_topics(settings.kafka_config(), lane, 2)
    with joining(settings, "first") as first:
        until(lambda: joined(settings, lane), 60, "the agent does not join")
        first.send_signal(signal.SIGSTOP)
        with joining(settings, "second") as second:
            until(lambda: group(settings, lane)[1] == 2, 60, "the second agent does not come")
            second.terminate()
            assert second.wait(PATIENT / 2) == 0


def test_no_more_agents_than_units_nor_sinks_than_partitions(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(rederive.workers.Workers, "_start", lambda _, worker: started.append(worker.role))
    monkeypatch.setattr("store.captures.set_topic", lambda *_: 0)
    capture = Capture("betfair-1", 1, "betfair", "table", Mode.FILL, False, 1, (), CaptureState.RUNNING, {})
    with Lanes(settings, capture, 4, 9) as lanes:
        for units, agents in ((2, 2), (1, 2), (3, 3), (100, 4)):
            lanes.open(None, LaneName.REPLAY, units)  # type: ignore[arg-type]
            assert (started.count("agent"), started.count("sink")) == (agents, 4)
