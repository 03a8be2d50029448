"""Outcomes that no sink will ever see: the run notices, and sends their units again."""

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

import rederive.run
from producers.betfair.snapshots import SnapshotTable
from producers.sender import Sender
from producers.source import DraftOfPlan, Request, Services, make_plan
from producers.topics import committed, ensure_topics
from rederive.replayer import Replayer
from rederive.settings import Settings
from samples.betfair.load import load
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import BETFAIR, METRICS
from schemas.lane import Lane, LaneName
from schemas.table import Mode
from schemas.unit import Unit
from store import captures, units
from tests.program import start
from tests.wait import until


@pytest.mark.services
def test_lost_outcomes_are_computed_again(
    settings: Settings, migrated: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kafka = settings.kafka_config()
    lane = Lane("betfair", LaneName.REPLAY, settings.topic_prefix)
    topic_id = ensure_topics(kafka, lane, 1)
    with psycopg.connect(migrated, autocommit=True) as connection:
        world = Synthetic()
        load(connection, world.metadata(), world.snapshots(500))
        source = SnapshotTable(BETFAIR, Services(connection, lambda: connection, kafka))
        plan = make_plan(source, Request("betfair", Mode.FILL, METRICS))
        capture, _ = captures.mint(connection, DraftOfPlan(plan), who="test", reason="", dry_run=False)
        captures.set_topic(connection, capture.capture_id, lane, topic_id, {0: (0, 0)})
        sender = Sender(kafka, lane.raw, [0])
        for unit in plan.units:
            read = source.read(capture.capture_id, METRICS, unit)
            assert isinstance(read, Unit)
            sender.send(read)
        units.mark_sent(connection, capture.capture_id, sender.flush(30))

    agent = start(settings, "worker", "agent", "--domain", "betfair", "--member", f"{settings.topic_prefix}one")
    try:
        raw = [TopicPartition(lane.raw, 0)]
        until(lambda: committed(kafka, lane.agents, raw)[0].offset == len(plan.units), 60, "the agent does not finish")
    finally:
        agent.terminate()
        _, said = agent.communicate(timeout=60)
        assert agent.returncode == 0, f"a worker without a parent stops in order\n{said}"
    look = Consumer({**kafka, "group.id": lane.sinks, "enable.auto.commit": False})
    _, end = look.get_watermark_offsets(TopicPartition(lane.derived, 0), timeout=10)
    look.commit(offsets=[TopicPartition(lane.derived, 0, end)], asynchronous=False)
    look.close()

    # However soon it looks whether it is stalled, it waits for what is on its way.
    monkeypatch.setattr(rederive.run, "_STALL_SECONDS", 0.5)
    replayer = Replayer.of(settings)
    with replayer.connected("tests") as connection:
        stalled = replayer.reopen(connection, capture.capture_id, dead=False)
    done = replayer.run(stalled, lambda _: None).describe()

    assert (done["processed"], done["updated"], done["errors"]) == (500, 500, 0)
    assert caplog.text.count("nothing waits in the topics") == 1
