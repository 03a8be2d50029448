"""What a broker's refusal and its silence are told as."""

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from producers import topics
from schemas.errors import Away, Failed
from schemas.lane import Lane, LaneName

KAFKA = {"bootstrap.servers": "kafka:9092"}


class _Admin:
    """A broker that knows no topic yet, and ends making one as a test says."""

    def __init__(self, ends: BaseException) -> None:
        self._ends = ends

    def list_topics(self, **_: object) -> Any:
        return type("Found", (), {"topics": {}})

    def describe_consumer_groups(self, groups: list[str], **_: object) -> dict[str, Future[Any]]:
        described: dict[str, Future[Any]] = {group: Future() for group in groups}
        for future in described.values():
            future.set_exception(self._ends)
        return described

    def create_topics(self, new: list[Any]) -> dict[str, Future[None]]:
        made: dict[str, Future[None]] = {one.topic: Future() for one in new}
        for future in made.values():
            future.set_exception(self._ends)
        return made


@pytest.mark.parametrize(
    ("ends", "kind", "said"),
    [
        (KafkaError._TRANSPORT, Away, "Kafka at kafka:9092 does not answer\n  why: Local: Broker transport failure"),
        (KafkaError._TIMED_OUT, Away, "Kafka at kafka:9092 does not answer\n  why: Local: Timed out"),
        (TimeoutError(), Away, "Kafka at kafka:9092 does not answer\n  why: Local: Timed out"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Failed, "can't be made\n  why: Broker: Topic authorization failed"),
        (KafkaError.INVALID_CONFIG, Failed, "can't be made\n  why: Broker: Configuration is invalid"),
    ],
)
def test_what_passes_by_itself_is_told_apart_from_what_needs_a_person(
    ends: int | BaseException, kind: type[Failed], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ends if isinstance(ends, BaseException) else KafkaException(KafkaError(ends))
    monkeypatch.setattr(topics, "AdminClient", lambda _: _Admin(error))
    with pytest.raises(Failed) as caught:
        topics.ensure_topics(KAFKA, Lane("betfair", LaneName.REPLAY, ""), 1)
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert ("give this user the right" in caught.value.mend) == (kind is Failed)
    assert "KafkaError{" not in str(caught.value)


def test_a_refused_look_is_not_a_broker_that_is_away() -> None:
    refused = topics.unreachable(KAFKA, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert type(refused) is Failed
    assert str(refused).startswith("Kafka at kafka:9092 refuses\n  why: Broker: Topic authorization failed\n")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.GROUP_AUTHORIZATION_FAILED, Failed),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, Away),
        (KafkaError._TIMED_OUT, Away),
    ],
)
def test_who_may_not_look_at_a_group_is_told_so(code: int, kind: type[Failed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "AdminClient", lambda _: _Admin(KafkaException(KafkaError(code))))
    with pytest.raises(Failed, match="Kafka at kafka:9092") as caught:
        topics.members(KAFKA, "g")
    assert type(caught.value) is kind
