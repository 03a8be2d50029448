"""Consumer groups seen from outside: how far they are, since when what waits waits, who has what. None is joined."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from producers.records import Records
from producers.topics import committed_of, members_of_all, outside, unreachable
from schemas.live import moment_of

_SECONDS = 5.0

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_NEWEST: OffsetSpec = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]

Place = tuple[str, int]
"""A topic and a partition of it."""


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
        # The end was asked for before: the group may have passed it since.
        return max(self.end - self.committed, 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """A group on its topic.

    `sent` says by partition when the oldest record that the group hasn't committed was sent; a partition where none
    waits is left out. `newest` is when the topic's newest record was sent, None when it holds none.
    """

    group: str
    topic: str
    standings: list[Standing]
    sent: dict[int, datetime]
    newest: datetime | None

    @property
    def lag(self) -> int:
        """Records not committed."""
        return sum(one.lag for one in self.standings)

    @property
    def oldest(self) -> datetime | None:
        """When the oldest record that waits was sent."""
        return min(self.sent.values(), default=None)

    @property
    def holders(self) -> dict[str | None, list[Standing]]:
        """Partitions by who has them; None has those that nobody has."""
        found: dict[str | None, list[Standing]] = {}
        for one in self.standings:
            found.setdefault(one.member, []).append(one)
        return found


@dataclass(slots=True)
class Groups:
    """Looks at groups, with clients that stay from look to look. `close` it in the end.

    Every method raises Away when the broker doesn't answer.
    """

    kafka: dict[str, str]
    _admin: AdminClient = field(init=False)
    _consumers: dict[str, Consumer] = field(default_factory=dict)
    _records: dict[str, Records] = field(default_factory=dict)
    _sent: dict[Place, tuple[int, datetime | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._admin = AdminClient(dict(self.kafka))

    def close(self) -> None:
        """Leave the broker."""
        for consumer in self._consumers.values():
            consumer.close()
        for records in self._records.values():
            records.close()
        self._consumers.clear()
        self._records.clear()

    def topics(self) -> dict[str, list[int]]:
        """The partitions of every topic."""
        try:
            found = self._admin.list_topics(timeout=_SECONDS).topics
        except KafkaException as error:
            raise unreachable(self.kafka, error.args[0]) from error
        return {name: sorted(topic.partitions) for name, topic in found.items() if topic.error is None}

    def held(self, topics: Sequence[str]) -> dict[str, int]:
        """How many records those topics keep that are there, by the offsets of their ends."""
        there = self.topics()
        places = [TopicPartition(topic, number) for topic in topics for number in there.get(topic, ())]
        low, high = (self._offsets(places, spec) for spec in (_EARLIEST, _LATEST))
        found: dict[str, int] = {}
        for (topic, number), end in high.items():
            found[topic] = found.get(topic, 0) + end.offset - low[topic, number].offset
        return found

    def look(self, wanted: Sequence[tuple[str, str]]) -> dict[str, Seen]:
        """How the groups are, each on its topic; those whose topic isn't there are left out."""
        there = self.topics()
        wanted = [(group, topic) for group, topic in wanted if there.get(topic)]
        places = {topic: [TopicPartition(topic, number) for number in there[topic]] for _, topic in wanted}
        every = [place for some in places.values() for place in some]
        low, high, newest = (self._offsets(every, spec) for spec in (_EARLIEST, _LATEST, _NEWEST))
        has = members_of_all(self.kafka, [group for group, _ in wanted], self._admin)
        found = {}
        for group, topic in wanted:
            holders = {place: one.name for one in has[group] for place in one.places}
            standings = [
                self._standing(topic, place, low, high, holders.get((topic, place.partition)))
                for place in committed_of(self.kafka, self._consumer(group), places[topic])
            ]
            waits = {one.partition: self._sent_at(topic, one) for one in standings if one.lag > 0}
            sent = {partition: moment for partition, moment in waits.items() if moment is not None}
            standings = [
                # Behind the last record may stand a transaction's marker, which no group ever commits.
                one if one.lag <= 0 or one.partition in sent else Standing(one.partition, one.end, one.end, one.member)
                for one in standings
            ]
            moments = [newest[topic, number].timestamp for number in there[topic]]
            last = max((moment for moment in moments if moment is not None and moment >= 0), default=None)
            found[group] = Seen(group, topic, standings, sent, None if last is None else moment_of(last))
        return found

    def _consumer(self, group: str) -> Consumer:
        if group not in self._consumers:
            self._consumers[group] = outside(self.kafka, group)
        return self._consumers[group]

    def _offsets(self, places: Sequence[TopicPartition], spec: OffsetSpec) -> dict[Place, ListOffsetsResultInfo]:
        if not places:
            return {}
        answers: dict[TopicPartition, Future[ListOffsetsResultInfo]] = self._admin.list_offsets(
            dict.fromkeys(places, spec), request_timeout=_SECONDS
        )
        try:
            return {(place.topic, place.partition): answer.result(2 * _SECONDS) for place, answer in answers.items()}
        except KafkaException as error:
            raise unreachable(self.kafka, error.args[0]) from error
        except TimeoutError as error:
            raise unreachable(self.kafka, KafkaError(KafkaError._TIMED_OUT)) from error

    @staticmethod
    def _standing(
        topic: str,
        place: TopicPartition,
        low: dict[Place, ListOffsetsResultInfo],
        high: dict[Place, ListOffsetsResultInfo],
        member: str | None,
    ) -> Standing:
        key = (topic, place.partition)
        return Standing(place.partition, max(place.offset, low[key].offset), high[key].offset, member)

    def _sent_at(self, topic: str, standing: Standing) -> datetime | None:
        """When the first record that waits was sent, None when there is none after all."""
        place = (topic, standing.partition)
        offset, sent = self._sent.get(place, (-1, None))
        if offset == standing.committed and sent is not None:
            return sent
        if topic not in self._records:
            self._records[topic] = Records(self.kafka, topic, ahead=False)
        try:
            record = self._records[topic].first(standing.partition, standing.committed)
        finally:
            self._records[topic].rest()
        if record is None:
            return None
        sent = moment_of(record.timestamp()[1])
        self._sent[place] = standing.committed, sent
        return sent
