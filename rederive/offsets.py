"""Where consumer groups stand on their topics, and putting them elsewhere: exported first, read back afterwards."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import orjson
from confluent_kafka import TopicPartition
from pydantic import BaseModel, ConfigDict, ValidationError

from producers.records import Records
from producers.topics import Member, commit, committed, forget, members_of, watermarks
from rederive import domains
from rederive.local.home import locked
from schemas.errors import Failed, UsageError
from schemas.lane import Lane, LaneName
from schemas.words import counted, verb

Role = Literal["agents", "sinks"]

_OTHERS_SECONDS = 60.0
"""How long another reset on this machine is waited for."""


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group of a domain's lane and the topic that it reads."""

    name: str
    topic: str
    domain: str
    lane: LaneName
    role: Role


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a group stands in a partition that holds [low, high): the next offset it reads, None where it has none."""

    group: Group
    partition: int
    committed: int | None
    low: int
    high: int
    member: str | None

    @property
    def lag(self) -> int:
        """Records that are there and not committed."""
        return self.high - min(max(self.committed or 0, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Change:
    """What a reset does in a partition. `after` is None where nothing is to be committed any more."""

    standing: Standing
    after: int | None

    @property
    def repeated(self) -> int:
        """Records that come again."""
        return max(self._before - self._after, 0)

    @property
    def skipped(self) -> int:
        """Records that are left out."""
        return max(self._after - self._before, 0)

    @property
    def _before(self) -> int:
        return max(self.standing.committed or 0, self.standing.low)

    @property
    def _after(self) -> int:
        return max(self.after or 0, self.standing.low)


def groups_of(prefix: str, word: str | None = None, lane: str | None = None) -> list[Group]:
    """The groups of a domain, or the group of that name, or all; of one lane if it is said. UsageError for no group."""
    every = [group for name in domains.names() for group in _of_domain(name, prefix)]
    if word is None:
        found = every
    elif word in domains.names():
        found = [group for group in every if group.domain == word]
    else:
        found = [group for group in every if group.name in (word, f"{prefix}{word}")]
        if not found:
            near = difflib.get_close_matches(word, [*domains.names(), *(group.name for group in every)], n=3)
            why = f"near it are {', '.join(near)}" if near else f"domains are {', '.join(domains.names())}"
            raise UsageError(f"there is no group and no domain {word}", why=why, mend="`rederive offsets show` has all")
    found = [group for group in found if lane in (None, group.lane)]
    if not found:
        lanes = ", ".join(dict.fromkeys(group.lane for group in every if word in (group.domain, group.name)))
        raise UsageError(f"{word} has no lane {lane}", mend=f"say one of {lanes}" if lanes else "")
    return found


def _of_domain(name: str, prefix: str) -> list[Group]:
    kept = domains.find(name).kept
    lanes = [Lane(name, lane, prefix) for lane in LaneName if lane is LaneName.REPLAY or lane in kept]
    return [
        group
        for lane in lanes
        for group in (
            Group(lane.agents, lane.raw, name, lane.name, "agents"),
            Group(lane.sinks, lane.derived, name, lane.name, "sinks"),
        )
    ]


def stand(kafka: Mapping[str, str], groups: Sequence[Group]) -> list[Standing]:
    """Where groups stand; those whose topic isn't there are left out. Away when the broker doesn't answer."""
    found = []
    for group in groups:
        kept = watermarks(kafka, group.topic)
        if not kept:
            continue
        holders = {at: member.name for member in members_of(kafka, group.name) for _, at in member.places}
        for place in committed(kafka, group.name, [TopicPartition(group.topic, at) for at in kept]):
            at, (low, high) = place.partition, kept[place.partition]
            offset = place.offset if place.offset >= 0 else None
            found.append(Standing(group, at, offset, low, high, holders.get(at)))
    return found


Where = Callable[[Standing], int | None]
"""Where a group is to stand in a partition."""


def to_earliest(standing: Standing) -> int:
    """The first record that is there."""
    return standing.low


def to_latest(standing: Standing) -> int:
    """Behind the last record."""
    return standing.high


def by(number: int) -> Where:
    """So many records on, or back when it is below 0, within what is there."""
    return lambda one: min(max(max(one.committed or 0, one.low) + number, one.low), one.high)


def to_time(kafka: Mapping[str, str], moment: datetime) -> Where:
    """The first record that was sent at or after a time; behind the last where none was."""

    def where(one: Standing) -> int:
        with closing(Records(kafka, one.group.topic)) as records:
            return records.sent_at_or_after(one.partition, moment, one.high)

    return where


class _GroupOffsets(BaseModel):
    model_config = ConfigDict(extra="forbid")

    group: str
    topic: str
    offsets: dict[int, int | None]


class Exported(BaseModel):
    """Offsets of groups in a file. A partition without one has null."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    at: datetime
    groups: list[_GroupOffsets]

    @classmethod
    def of(cls, standings: Sequence[Standing]) -> "Exported":
        """As groups stand."""
        by_group: dict[Group, dict[int, int | None]] = {}
        for one in standings:
            by_group.setdefault(one.group, {})[one.partition] = one.committed
        return cls(
            at=datetime.now(UTC),
            groups=[_GroupOffsets(group=group.name, topic=group.topic, offsets=of) for group, of in by_group.items()],
        )

    @classmethod
    def read(cls, file: Path) -> "Exported":
        """From a file. UsageError when it is none."""
        try:
            return cls.model_validate_json(file.read_bytes())
        except OSError as error:
            raise UsageError(f"{file} can't be read", why=str(error.strerror)) from None
        except ValidationError as error:
            first = error.errors()[0]
            said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            mend = "`rederive offsets reset` writes such files"
            raise UsageError(f"{file} holds no offsets", why=said, mend=mend) from None

    def write(self, folder: Path) -> Path:
        """Into a new file of a folder."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / f"{self.at:%Y%m%d-%H%M%S-%f}.json"
        file.write_bytes(orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_NON_STR_KEYS))
        return file

    def of_group(self, group: Group) -> dict[int, int | None]:
        """A group's offsets by partition."""
        return {at: offset for one in self.groups if one.group == group.name for at, offset in one.offsets.items()}


def to_offsets(exported: Exported, name: str) -> Where:
    """What a file says; a partition that it doesn't name stays. UsageError for an offset outside of what is there."""

    def where(one: Standing) -> int | None:
        said = exported.of_group(one.group)
        if one.partition not in said:
            return one.committed
        offset = said[one.partition]
        if offset is not None and not 0 <= offset <= one.high:
            place = f"{one.group.topic}[{one.partition}]"
            why = f"{place} holds {one.low:,} to {one.high:,}: it has been made anew, or the file is of elsewhere"
            raise UsageError(f"{name}: offset {offset:,} is none of {place}", why=why)
        return offset

    return where


def changes(standings: Sequence[Standing], where: Where) -> list[Change]:
    """What a reset would do."""
    return [Change(one, where(one)) for one in standings]


def check_idle(kafka: Mapping[str, str], groups: Sequence[Group]) -> None:
    """Failed when any of the groups has members: they would go on from where they are, and commit it again."""
    active: dict[str, list[Member]] = {}
    for group in groups:
        if found := members_of(kafka, group.name):
            active[group.name] = found
    if active:
        said = "; ".join(
            f"{name}: {', '.join(f'{one.name} on {one.host}' for one in found)}" for name, found in active.items()
        )
        number = sum(map(len, active.values()))
        raise Failed(
            f"{counted(number, 'member')} {verb(number, 'is', 'are')} active, no offset is changed",
            why=said,
            mend="stop the run, live work or workers that they belong to; one that has ended counts for 6 s more",
        )


def reset(kafka: Mapping[str, str], wanted: Sequence[Change], folder: Path) -> Path:
    """Do it; the file that has what was there, for `undo`.

    Failed when a group has members, when the broker refuses, or when something else stands there afterwards.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / "lock", _OTHERS_SECONDS):
        return _reset(kafka, wanted, folder)


def _reset(kafka: Mapping[str, str], wanted: Sequence[Change], folder: Path) -> Path:
    groups = list(dict.fromkeys(one.standing.group for one in wanted))
    check_idle(kafka, groups)
    seen = {(one.standing.group, one.standing.partition): one.standing.committed for one in wanted}
    now = {(one.group, one.partition): one.committed for one in stand(kafka, groups)}
    if moved := [place for place, offset in seen.items() if now.get(place) != offset]:
        (group, partition), *_ = moved
        raise Failed(
            "offsets have changed since they were looked at, none is changed",
            why=f"{group.name} stood at {seen[group, partition]} in {group.topic}[{partition}], "
            f"now it stands at {now.get((group, partition))}",
            mend="say it again, once nobody else resets them",
        )
    file = Exported.of([one.standing for one in wanted]).write(folder)
    undo = f"`rederive offsets undo {file} --yes` puts back what was there"
    for group in groups:
        of_group = [one for one in wanted if one.standing.group == group]
        if any(one.after is None and one.standing.committed is not None for one in of_group):
            # Only with its group an offset can be taken away.
            forget(kafka, group.name)
        try:
            commit(
                kafka,
                group.name,
                [
                    TopicPartition(group.topic, one.standing.partition, one.after)
                    for one in of_group
                    if one.after is not None
                ],
            )
        except Failed as error:
            raise Failed(error.what, why=error.why, mend=f"{error.mend}; {undo}") from error
    expected = {(one.standing.group, one.standing.partition): one.after for one in wanted}
    there = {(one.group, one.partition): one.committed for one in stand(kafka, groups)}
    if wrong := [place for place, offset in expected.items() if there.get(place) != offset]:
        (group, partition), *_ = wrong
        raise Failed(
            f"offsets of {counted(len(wrong), 'partition')} are not what was committed",
            why=f"{group.name} stands at {there.get((group, partition))} in {group.topic}[{partition}], "
            f"{expected[group, partition]} was committed: somebody else writes them",
            mend=undo,
        )
    return file
