"""How far a group is, from what its broker says at several moments."""

from datetime import UTC, datetime

import pytest
from confluent_kafka import TopicPartition

from producers.topics import behind, commit
from rederive.groups import Seen, Standing
from rederive.settings import Settings
from tests.betfair.replay.log import fill, lane, line


def test_a_group_that_has_gone_on_between_two_looks_is_not_ahead() -> None:
    ahead, late = Standing(0, committed=12, end=10, member="m"), Standing(1, committed=3, end=5, member="m")
    assert ahead.lag == 0
    assert Seen("g", "t", [ahead, late], {}, datetime.now(UTC)).lag == 2, "what is ahead hides nothing that waits"


@pytest.mark.services
def test_a_partition_ahead_hides_nothing_that_waits_in_another(settings: Settings, migrated: str) -> None:
    assert migrated
    fill(settings, [(line(key), [], None) for key in (1, 2, 3, 4)])
    kafka, log = settings.kafka_config(), lane(settings)
    commit(kafka, log.agents, [TopicPartition(log.raw, 0, 4), TopicPartition(log.raw, 1, 1)])
    assert behind(kafka, log.agents, log.raw) == 1
