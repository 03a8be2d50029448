"""Topics: made with the sizes and retention that the program counts on, and mended where they differ."""

import logging
from collections.abc import Mapping
from concurrent.futures import Future

import stamina
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from schemas.errors import Failed
from schemas.lane import Lane
from schemas.unit import MAX_RECORD_BYTES

log = logging.getLogger(__name__)

Watermarks = dict[int, tuple[int, int]]
"""Offsets [low, high) that each partition of a topic holds."""

_SECONDS = 10.0
_SETTLE_SECONDS = 30.0
# A batch's own bytes come on top of its records.
_TOPIC_RECORD_BYTES = MAX_RECORD_BYTES + 1024 * 1024


def unreachable(kafka: Mapping[str, str], error: object) -> Failed:
    """The message for a broker that doesn't answer."""
    return Failed(
        f"Kafka at {kafka.get('bootstrap.servers')} does not answer",
        why=str(error),
        mend="start it (`rederive local start`), or correct REDERIVE_KAFKA_BOOTSTRAP and its security settings",
    )


def ensure_topics(kafka: Mapping[str, str], lane: Lane, partitions: int) -> str:
    """Make the lane's topics, or bring what is there to size; return Kafka's id of the raw topic.

    The raw and the derived topic end with the same number of partitions, `partitions` at least: outcomes go to the
    partition of their raw record. Failed when the broker doesn't answer or refuses.
    """
    admin = AdminClient({**kafka, "socket.timeout.ms": 10_000})
    present = _topics(kafka, admin)
    wanted = lane.retention_ms()
    counts = [len(present[name].partitions) for name in (lane.raw, lane.derived) if name in present]
    most = max([partitions, *counts])
    sizes = {name: 1 if name == lane.dlq else most for name in wanted}
    # The derived topic first: an agent may answer on a new partition at once.
    order = sorted(wanted, key=lambda name: name == lane.raw)
    _done(
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
            _done(grown, f"given {sizes[name]} partitions", KafkaError.INVALID_PARTITIONS)
    _mend_sizes(admin, [name for name in wanted if name in present])
    for name in (lane.derived, lane.raw):
        found = _settled(admin, name, most)
    return found


def check_reachable(kafka: Mapping[str, str]) -> None:
    """Failed when the broker doesn't answer."""
    _topics(kafka, AdminClient(dict(kafka)))


def _topics(kafka: Mapping[str, str], admin: AdminClient) -> Mapping[str, TopicMetadata]:
    try:
        return admin.list_topics(timeout=_SECONDS).topics
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error


class _NotSettledError(Exception):
    """A topic that was just made isn't known everywhere yet."""


def _settled(admin: AdminClient, name: str, partitions: int) -> str:
    """Kafka's id of the topic, once the broker shows it with its partitions: it may take a moment."""
    try:
        for attempt in stamina.retry_context(on=_NotSettledError, attempts=None, timeout=_SETTLE_SECONDS, wait_max=0.5):
            with attempt:
                try:
                    found = admin.describe_topics(TopicCollection([name]))[name].result(_SECONDS)
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
            "max.message.bytes": str(_TOPIC_RECORD_BYTES),
            "compression.type": "producer",
        },
    )


def _done(futures: Mapping[str, Future[None]], what: str, harmless: int | None = None) -> None:
    for name, future in futures.items():
        try:
            future.result(_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != harmless:
                raise Failed(
                    f"topic {name} can't be {what}",
                    why=error.args[0].str(),
                    mend="give this user the right to, or do it by hand (docs/records.md says how)",
                ) from error


def _mend_sizes(admin: AdminClient, names: list[str]) -> None:
    """A topic made elsewhere with the broker's default of 1 MB would refuse records midway."""
    if not names:
        return
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    wrong = []
    for resource, future in admin.describe_configs(resources).items():
        try:
            size = int(future.result(_SECONDS)["max.message.bytes"].value)
        except KafkaException as error:
            # Who may not look must trust; a record that is refused says so then.
            log.warning("the record size of topic %s can't be read: %s", resource.name, error.args[0].str())
            continue
        if size < MAX_RECORD_BYTES:
            entry = ConfigEntry(
                "max.message.bytes", str(_TOPIC_RECORD_BYTES), incremental_operation=AlterConfigOpType.SET
            )
            wrong.append(ConfigResource(ResourceType.TOPIC, resource.name, incremental_configs=[entry]))
    if wrong:
        changed = admin.incremental_alter_configs(wrong)
        _done({resource.name: future for resource, future in changed.items()}, "made to take records of 16 MiB")


def partitions_of(kafka: Mapping[str, str], topic: str) -> list[int]:
    """The topic's partitions; empty when there is no such topic. Failed when the broker doesn't answer."""
    try:
        found = AdminClient(dict(kafka)).list_topics(topic, timeout=_SECONDS).topics[topic]
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error
    return [] if found.error is not None else sorted(found.partitions)


def topic_id(kafka: Mapping[str, str], topic: str) -> str | None:
    """Kafka's id of the topic, None when there is no such topic. Failed when the broker doesn't answer."""
    admin = AdminClient(dict(kafka))
    try:
        return str(admin.describe_topics(TopicCollection([topic]))[topic].result(_SECONDS).topic_id)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise unreachable(kafka, error.args[0]) from error


def _moves(error: Exception) -> bool:
    """Whether a group's coordinator or a partition's leader isn't there yet, or is elsewhere now."""
    moving = (
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    )
    return isinstance(error, KafkaException) and error.args[0].code() in moving


def committed(kafka: Mapping[str, str], group: str, places: list[TopicPartition]) -> list[TopicPartition]:
    """Where a consumer group stands, without joining it; a negative offset where it has committed nothing.

    KafkaException when the broker doesn't answer.
    """
    # Not the admin client's call for this: librdkafka 2.16 crashes the process in it while a group's coordinator moves.
    consumer = Consumer({**kafka, "group.id": group, "enable.auto.commit": False})
    try:
        for attempt in stamina.retry_context(on=_moves, timeout=_SECONDS):
            with attempt:
                return consumer.committed(places, timeout=_SECONDS)
        raise AssertionError("unreachable")
    finally:
        consumer.close()


def held(kafka: Mapping[str, str], consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Offsets [low, high) that a partition holds. Failed when the broker doesn't answer."""
    try:
        # A partition that was just made has a leader a moment later than everybody knows of it.
        for attempt in stamina.retry_context(on=_moves, attempts=None, timeout=_SECONDS, wait_max=0.5):
            with attempt:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_SECONDS)
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error
    return int(low), int(high)


def watermarks(kafka: Mapping[str, str], topic: str) -> Watermarks:
    """Offsets [low, high) that each partition of the topic holds. Failed when the broker doesn't answer."""
    consumer = Consumer({**kafka, "group.id": f"rederive.look.{topic}", "enable.auto.commit": False})
    try:
        return {partition: held(kafka, consumer, topic, partition) for partition in partitions_of(kafka, topic)}
    finally:
        consumer.close()


def behind(kafka: Mapping[str, str], group: str, topic: str) -> int:
    """Lag: how many of the records that the topic holds the group has not committed."""
    kept = watermarks(kafka, topic)
    places = committed(kafka, group, [TopicPartition(topic, partition) for partition in kept])
    return sum(kept[place.partition][1] - max(place.offset, kept[place.partition][0]) for place in places)
