"""Whether the members of a consumer group get on: by what they have committed, never by their existing."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from producers.topics import committed, unreachable, watermarks
from schemas.errors import Away

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a group stands in a partition: what it has committed, one past the last record, who has it.

    `member` is the static id, or else the client's own, of whoever the partition is assigned to; None for nobody.
    """

    partition: int
    committed: int
    end: int
    member: str | None

    @property
    def lag(self) -> int:
        """Records not committed."""
        return self.end - self.committed


def standings(kafka: Mapping[str, str], group: str, topic: str) -> list[Standing]:
    """The group in every partition of the topic. Away when the broker doesn't answer."""
    kept = watermarks(kafka, topic)
    if not kept:
        return []
    places = committed(kafka, group, [TopicPartition(topic, partition) for partition in kept])
    # An answer comes only while its client lives.
    admin = AdminClient(dict(kafka))
    holders = {
        member.partition: member.name for member in members(kafka, admin, [group])[group] if member.topic == topic
    }
    return [
        Standing(
            place.partition,
            max(place.offset, kept[place.partition][0]),
            kept[place.partition][1],
            holders.get(place.partition),
        )
        for place in places
    ]


class Assigned(NamedTuple):
    """A partition that a member of a group has; `name` is its static id, or else its client's own."""

    topic: str
    partition: int
    name: str


def members(kafka: Mapping[str, str], admin: AdminClient, groups: Sequence[str]) -> dict[str, list[Assigned]]:
    """What each group's members have. Away when the broker doesn't answer."""
    if not groups:
        return {}
    found = {}
    for group, answer in admin.describe_consumer_groups(list(groups), request_timeout=_SECONDS).items():
        try:
            described = answer.result(2 * _SECONDS)
        except KafkaException as error:
            raise unreachable(kafka, error.args[0]) from error
        except TimeoutError as error:
            raise Away(f"the group {group} can't be looked at", why=f"no answer in {_SECONDS:.0f} s") from error
        found[group] = [
            Assigned(place.topic, place.partition, member.group_instance_id or member.client_id)
            for member in described.members
            for place in (member.assignment.topic_partitions if member.assignment else ())
        ]
    return found


@dataclass(slots=True)
class Health:
    """What a group has done over time. `stuck` tells after every look which members hang."""

    patience: float
    _moved: dict[int, tuple[int, float]] = field(default_factory=dict)
    _standings: list[Standing] = field(default_factory=list)

    def look(self, standings: list[Standing]) -> None:
        """Take note of where the group stands now."""
        now = time.monotonic()
        for one in standings:
            before, _ = self._moved.get(one.partition, (-1, 0.0))
            if one.lag <= 0 or one.committed != before:
                self._moved[one.partition] = one.committed, now
        self._standings = standings

    def forget(self) -> None:
        """Give everybody new time: what they need was away."""
        now = time.monotonic()
        self._moved = {partition: (offset, now) for partition, (offset, _) in self._moved.items()}

    def is_stuck(self, member: str) -> bool:
        """Whether work waits for this member, and it has done nothing for as long as the patience lasts.

        A member that the group no longer knows has the partitions that nobody has.
        """
        mine = [one for one in self._standings if one.member is not None and is_of(one.member, member)]
        mine = mine or [one for one in self._standings if one.member is None]
        late = [time.monotonic() - self._moved[one.partition][1] > self.patience for one in mine]
        return bool(late) and any(late) and all(slow or one.lag <= 0 for slow, one in zip(late, mine, strict=True))


def is_of(instance: str, member: str) -> bool:
    """Whether a static id in a group is that of a worker (rederive.worker)."""
    return instance == member or instance.startswith(f"{member}-of-")
