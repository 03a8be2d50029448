"""Topics: made with the sizes and retention that the program counts on, and mended where they differ."""

from collections.abc import Mapping

import stamina
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from schemas.errors import Failed
from schemas.lane import Lane
from schemas.unit import MAX_RECORD_BYTES

_SECONDS = 10.0


def unreachable(kafka: Mapping[str, str], error: object) -> Failed:
    """The message for a broker that doesn't answer."""
    return Failed(
        f"Kafka at {kafka.get('bootstrap.servers')} does not answer",
        why=str(error),
        mend="start it (`rederive local start`), or correct REDERIVE_KAFKA_BOOTSTRAP and its security settings",
    )


def ensure_topics(kafka: Mapping[str, str], lane: Lane, partitions: int) -> str:
    """Make the lane's topics where they are missing; return Kafka's id of the raw topic.

    Partitions of topics that exist stay as they are. Failed when the broker doesn't answer or refuses.
    """
    admin = AdminClient({**kafka, "socket.timeout.ms": 10_000})
    try:
        present = set(admin.list_topics(timeout=_SECONDS).topics)
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error
    wanted = lane.retention_ms()
    made = (
        admin.create_topics(
            [
                NewTopic(
                    name,
                    num_partitions=1 if name == lane.dlq else partitions,
                    replication_factor=-1,
                    config={
                        "retention.ms": str(retention),
                        "max.message.bytes": str(MAX_RECORD_BYTES + 1024 * 1024),
                        "compression.type": "producer",
                    },
                )
                for name, retention in wanted.items()
                if name not in present
            ]
        )
        if set(wanted) - present
        else {}
    )
    for name, future in made.items():
        try:
            future.result(_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Failed(
                    f"topic {name} can't be made",
                    why=str(error.args[0].str()),
                    mend="give this user the right to create topics, or make it by hand (docs/records.md says how)",
                ) from error
    _mend_sizes(admin, [name for name in wanted if name in present])
    described = admin.describe_topics(TopicCollection([lane.raw]))[lane.raw].result(_SECONDS)
    return str(described.topic_id)


def _mend_sizes(admin: AdminClient, names: list[str]) -> None:
    """A topic made elsewhere with the broker's default of 1 MB would refuse records midway."""
    if not names:
        return
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    wrong = []
    for resource, future in admin.describe_configs(resources).items():
        if int(future.result(_SECONDS)["max.message.bytes"].value) < MAX_RECORD_BYTES:
            entry = ConfigEntry(
                "max.message.bytes",
                str(MAX_RECORD_BYTES + 1024 * 1024),
                incremental_operation=AlterConfigOpType.SET,
            )
            wrong.append(ConfigResource(ResourceType.TOPIC, resource.name, incremental_configs=[entry]))
    if wrong:
        for future in admin.incremental_alter_configs(wrong).values():
            future.result(_SECONDS)


def partitions_of(kafka: Mapping[str, str], topic: str) -> list[int]:
    """The topic's partitions; empty when there is no such topic. Failed when the broker doesn't answer."""
    try:
        found = AdminClient(dict(kafka)).list_topics(topic, timeout=_SECONDS).topics[topic]
    except KafkaException as error:
        raise unreachable(kafka, error.args[0]) from error
    return [] if found.error is not None else sorted(found.partitions)


def _coordinator_moves(error: Exception) -> bool:
    return isinstance(error, KafkaException) and error.args[0].retriable()


@stamina.retry(on=_coordinator_moves, timeout=_SECONDS)
def committed(kafka: Mapping[str, str], group: str, places: list[TopicPartition]) -> list[TopicPartition]:
    """Where a consumer group stands, without joining it; a negative offset where it has committed nothing.

    KafkaException when the broker doesn't answer.
    """
    # Not the admin client's call for this: librdkafka 2.16 crashes the process in it while a group's coordinator moves.
    consumer = Consumer({**kafka, "group.id": group, "enable.auto.commit": False})
    try:
        return consumer.committed(places, timeout=_SECONDS)
    finally:
        consumer.close()
