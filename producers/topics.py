"""Topics: made with the sizes and retention that the program counts on, and mended where they differ."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import stamina
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    MemberDescription,
    NewPartitions,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from schemas.errors import Away, Failed
from schemas.lane import Lane
from schemas.wire import MAX_BATCH_BYTES, MAX_RECORD_BYTES

log = logging.getLogger(__name__)

Watermarks = dict[int, tuple[int, int]]
"""Offsets [low, high) that each partition of a topic holds."""

T = TypeVar("T")

_SECONDS = 10.0
_SETTLE_SECONDS = 30.0

_NO_ANSWER = (
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._WAIT_COORD,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NOT_CONTROLLER,
)
_MOVING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
)


def unreachable(kafka: Mapping[str, str], error: KafkaError) -> Failed:
    """The message for what a broker didn't do: Away when that passes by itself, Failed when it needs a person."""
    where = f"Kafka at {kafka.get('bootstrap.servers')}"
    if error.code() in (*_NO_ANSWER, *_MOVING):
        return Away(
            f"{where} does not answer",
            why=error.str(),
            mend="start it (`rederive local start`), or correct REDERIVE_KAFKA_BOOTSTRAP and its security settings",
        )
    return Failed(
        f"{where} refuses",
        why=error.str(),
        mend="correct REDERIVE_KAFKA_BOOTSTRAP and its security settings, or give this user the right to its topics",
    )


def answer(kafka: Mapping[str, str], future: "Future[T]") -> T:
    """What an admin call gives. Away when no broker answers, KafkaException when one refuses."""
    try:
        return future.result(_SECONDS)
    except KafkaException as error:
        if error.args[0].code() in _NO_ANSWER:
            raise unreachable(kafka, error.args[0]) from error
        raise
    except TimeoutError as error:
        raise unreachable(kafka, KafkaError(KafkaError._TIMED_OUT)) from error


def ensure_topics(kafka: Mapping[str, str], lane: Lane, partitions: int, log_retention: timedelta | None = None) -> str:
    """Make the lane's topics, or bring what is there to size; return Kafka's id of the raw topic.

    The raw and the derived topic end with the same number of partitions, `partitions` at least: outcomes go to the
    partition of their raw record. A log is kept for `log_retention`, None without limit. Away when the broker doesn't
    answer, Failed when it refuses.
    """
    admin = AdminClient({**kafka, "socket.timeout.ms": 10_000})
    present = topics_there(kafka, admin)
    wanted = lane.retention_ms(log_retention)
    counts = [len(present[name].partitions) for name in (lane.raw, lane.derived) if name in present]
    most = max([partitions, *counts])
    sizes = {name: 1 if name == lane.dlq else most for name in wanted}
    # The derived topic first: an agent may answer on a new partition at once.
    order = sorted(wanted, key=lambda name: name == lane.raw)
    _done(
        kafka,
        admin.create_topics([_new(name, sizes[name], wanted[name]) for name in order if name not in present])
        if set(wanted) - set(present)
        else {},
        "made",
        KafkaError.TOPIC_ALREADY_EXISTS,
    )
    for name in order:
        if name in present and len(present[name].partitions) < sizes[name]:
            grown = admin.create_partitions([NewPartitions(name, sizes[name])])
            # Somebody else may have been faster.
            _done(kafka, grown, f"given {sizes[name]} partitions", KafkaError.INVALID_PARTITIONS)
    _mend_sizes(kafka, admin, [name for name in wanted if name in present])
    for name in (lane.derived, lane.raw):
        found = _settled(kafka, admin, name, most)
    return found


def check_reachable(kafka: Mapping[str, str]) -> None:
    """Away when the broker doesn't answer, Failed when it refuses."""
    topics_there(kafka, AdminClient(dict(kafka)))


def topics_there(kafka: Mapping[str, str], admin: AdminClient) -> Mapping[str, TopicMetadata]:
    """All topics by name. Away or Failed as `unreachable`."""
    try:
        return admin.list_topics(timeout=_SECONDS).topics
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error


class _NotSettledError(Exception):
    """A topic that was just made isn't known everywhere yet."""


def _settled(kafka: Mapping[str, str], admin: AdminClient, name: str, partitions: int) -> str:
    """Kafka's id of the topic, once the broker shows it with its partitions: it may take a moment."""
    try:
        for attempt in stamina.retry_context(on=_NotSettledError, attempts=None, timeout=_SETTLE_SECONDS, wait_max=0.5):
            with attempt:
                try:
                    found = answer(kafka, admin.describe_topics(TopicCollection([name]))[name])
                except KafkaException as error:
                    if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise _NotSettledError from error
                    raise Failed(f"topic {name} can't be looked at", why=error.args[0].str()) from error
                if len(found.partitions) < partitions:
                    raise _NotSettledError
    except _NotSettledError as error:
        raise Failed(f"topic {name} doesn't come to be", why=f"not there after {_SETTLE_SECONDS:.0f} s") from error
    return str(found.topic_id)


def _new(name: str, partitions: int, retention_ms: int) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=partitions,
        replication_factor=-1,
        config={
            "retention.ms": str(retention_ms),
            "max.message.bytes": str(MAX_BATCH_BYTES),
            "compression.type": "producer",
        },
    )


def _done(
    kafka: Mapping[str, str], futures: Mapping[str, Future[None]], what: str, harmless: int | None = None
) -> None:
    for name, future in futures.items():
        try:
            answer(kafka, future)
        except KafkaException as error:
            if error.args[0].code() != harmless:
                raise Failed(
                    f"topic {name} can't be {what}",
                    why=error.args[0].str(),
                    mend="give this user the right to, or do it by hand (docs/records.md says how)",
                ) from error


def _mend_sizes(kafka: Mapping[str, str], admin: AdminClient, names: list[str]) -> None:
    """A topic made elsewhere with the broker's default of 1 MB would refuse records midway."""
    if not names:
        return
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    wrong = []
    for resource, future in admin.describe_configs(resources).items():
        try:
            size = int(answer(kafka, future)["max.message.bytes"].value)
        except KafkaException as error:
            # Who may not look must trust; a record that is refused says so then.
            log.warning("the record size of topic %s can't be read: %s", resource.name, error.args[0].str())
            continue
        if size < MAX_RECORD_BYTES:
            entry = ConfigEntry("max.message.bytes", str(MAX_BATCH_BYTES), incremental_operation=AlterConfigOpType.SET)
            wrong.append(ConfigResource(ResourceType.TOPIC, resource.name, incremental_configs=[entry]))
    if wrong:
        changed = admin.incremental_alter_configs(wrong)
        _done(kafka, {resource.name: future for resource, future in changed.items()}, "made to take records of 16 MiB")


def partitions_of(kafka: Mapping[str, str], topic: str) -> list[int]:
    """The topic's partitions; empty when there is no such topic. Away when the broker doesn't answer."""
    try:
        found = AdminClient(dict(kafka)).list_topics(topic, timeout=_SECONDS).topics[topic]
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error
    return [] if found.error is not None else sorted(found.partitions)


def topic_id(kafka: Mapping[str, str], topic: str) -> str | None:
    """Kafka's id of the topic, None when there is no such topic. Away when the broker doesn't answer."""
    admin = AdminClient(dict(kafka))
    try:
        return str(answer(kafka, admin.describe_topics(TopicCollection([topic]))[topic]).topic_id)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise unreachable(kafka, error.args[0]) from error


def _moves(error: Exception) -> bool:
    """Whether a group's coordinator or a partition's leader isn't there yet, or is elsewhere now."""
    return isinstance(error, KafkaException) and error.args[0].code() in _MOVING


def committed(kafka: Mapping[str, str], group: str, places: list[TopicPartition]) -> list[TopicPartition]:
    """Where a consumer group stands, without joining it; a negative offset where it has committed nothing.

    Away when the broker doesn't answer.
    """
    consumer = outside(kafka, group)
    try:
        return committed_of(kafka, consumer, places)
    finally:
        consumer.close()


def outside(kafka: Mapping[str, str], group: str) -> Consumer:
    """A client that asks for what a group has committed and never joins it. `close` it in the end."""
    # Not the admin client's call for this: librdkafka 2.16 crashes the process in it while a group's coordinator moves.
    return Consumer({**kafka, "group.id": group, "enable.auto.commit": False})


def committed_of(kafka: Mapping[str, str], consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    """As `committed`, of the group of this client."""
    try:
        for attempt in stamina.retry_context(on=_moves, timeout=_SECONDS):
            with attempt:
                return consumer.committed(places, timeout=_SECONDS)
        raise AssertionError("unreachable")
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error


def held(kafka: Mapping[str, str], consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Offsets [low, high) that a partition holds. Away when the broker doesn't answer."""
    try:
        # A partition that was just made has a leader a moment later than everybody knows of it.
        for attempt in stamina.retry_context(on=_moves, attempts=None, timeout=_SECONDS, wait_max=0.5):
            with attempt:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_SECONDS)
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error
    return int(low), int(high)


def watermarks(kafka: Mapping[str, str], topic: str) -> Watermarks:
    """Offsets [low, high) that each partition of the topic holds. Away when the broker doesn't answer."""
    consumer = Consumer({**kafka, "group.id": f"rederive.look.{topic}", "enable.auto.commit": False})
    try:
        return {partition: held(kafka, consumer, topic, partition) for partition in partitions_of(kafka, topic)}
    finally:
        consumer.close()


def behind(kafka: Mapping[str, str], group: str, topic: str) -> int:
    """Lag: how many of the records that the topic holds the group has not committed."""
    kept = watermarks(kafka, topic)
    places = committed(kafka, group, [TopicPartition(topic, partition) for partition in kept])
    # What it holds was asked for before: the group may have passed that since.
    return sum(max(kept[place.partition][1] - max(place.offset, kept[place.partition][0]), 0) for place in places)


def members(kafka: Mapping[str, str], group: str) -> int:
    """How many consumers a group has now. Away when the broker doesn't answer."""
    return len(members_of(kafka, group))


@dataclass(frozen=True, slots=True)
class Member:
    """A consumer of a group: its static id, or else its client's own; the machine it is on.

    `places` are the topics and partitions that it has.
    """

    name: str
    host: str
    places: tuple[tuple[str, int], ...]


def members_of(kafka: Mapping[str, str], group: str) -> list[Member]:
    """The consumers that a group has now. Away when the broker doesn't answer, Failed when it refuses."""
    return members_of_all(kafka, [group])[group]


def members_of_all(
    kafka: Mapping[str, str], groups: Sequence[str], admin: AdminClient | None = None
) -> dict[str, list[Member]]:
    """As `members_of`, of several groups at once, asked by this client or one of its own."""
    if not groups:
        return {}
    # Its calls end with the client.
    admin = admin or AdminClient(dict(kafka))
    try:
        asked = admin.describe_consumer_groups(list(groups), request_timeout=_SECONDS)
        return {group: [_member(one) for one in answer(kafka, future).members] for group, future in asked.items()}
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error


def _member(one: MemberDescription) -> Member:
    places = one.assignment.topic_partitions if one.assignment else ()
    return Member(
        one.group_instance_id or one.client_id,
        one.host.lstrip("/"),
        tuple(sorted((place.topic, place.partition) for place in places)),
    )


def commit(kafka: Mapping[str, str], group: str, places: Sequence[TopicPartition]) -> None:
    """Commit offsets for a group that has no members. Failed when the broker refuses, as it does when it has some."""
    if not places:
        return
    consumer = outside(kafka, group)
    try:
        for attempt in stamina.retry_context(on=_moves, timeout=_SECONDS):
            with attempt:
                consumer.commit(offsets=list(places), asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() in (*_NO_ANSWER, *_MOVING):
            raise unreachable(kafka, error.args[0]) from error
        raise Failed(
            f"offsets of {group} can't be committed",
            why=error.args[0].str(),
            mend="stop its members, then say it again",
        ) from error
    finally:
        consumer.close()


def forget(kafka: Mapping[str, str], group: str) -> None:
    """Delete a group that has no members, with all it has committed. Failed when the broker refuses."""
    # Its calls end with the client.
    admin = AdminClient(dict(kafka))
    try:
        answer(kafka, admin.delete_consumer_groups([group])[group])
    except KafkaException as error:
        if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
            raise Failed(f"the group {group} can't be deleted", why=error.args[0].str()) from error
