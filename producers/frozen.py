"""Which offsets of a log a plan freezes, of which topics, and whether these are still the same ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producers.records import Records
from producers.source import Request
from producers.topics import partitions_of, topic_id
from schemas.domain import Domain
from schemas.errors import Failed, UsageError
from schemas.lane import LaneName
from schemas.words import counted, verb


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets [first, last) that are wanted of a partition, which keeps those from `low`.

    It is `cut` where it begins earlier than what retention has left.
    """

    log: LaneName
    partition: int
    low: int
    first: int
    last: int
    cut: bool = False


def ranges(domain: Domain, log: Callable[[LaneName], Records], request: Request) -> list[Range]:
    """What a request wants of each partition, up to what stands there now.

    Failed when there is none of the logs; UsageError for partitions, offsets or a range that they don't have.
    """
    if request.dated and not domain.within:
        raise UsageError(
            f"records of {domain.name} can't be told by the dates of their payloads",
            why="the domain doesn't say how: it has no `within`",
            mend="say --since and --until: when they were sent",
        )
    names = request.logs or domain.kept
    there = {name: log(name).partitions() for name in names}
    topics = [log(name).topic for name in names]
    if not any(there.values()):
        raise Failed(
            f"there is no topic {topics[0]}",
            why=f"nothing has been sent to this domain's {'log' if names[0] in domain.kept else 'queue'} yet",
            mend=f"replay from its source instead: `rederive replay {domain.name}`",
        )
    known = {partition for partitions in there.values() for partition in partitions}
    if lacking := sorted(set(request.partitions) - known):
        why = f"it has {counted(len(known), 'partition')}, 0 to {max(known)}"
        raise UsageError(f"{topics[0]} has no partition {lacking[0]}", why=why)
    places = [(name, partition) for name in names for partition in there[name]]
    chosen = [place for place in places if not request.partitions or place[1] in request.partitions]
    return [one for name, partition in chosen for one in _ranges(log(name), name, partition, request)]


def _ranges(records: Records, name: LaneName, partition: int, request: Request) -> list[Range]:
    low, high = records.watermarks(partition)
    if request.places:
        return [
            Range(name, partition, low, max(low, place.first), min(high, place.last))
            for place in request.places
            if (place.log, place.partition) == (name, partition)
        ]
    first = records.sent_at_or_after(partition, request.start, high) if request.start else low
    last = records.sent_at_or_after(partition, request.end, high) if request.end else high
    begin = next((one.offset for one in request.begins if one[:2] == (name, partition)), None)
    if begin is not None and begin > high:
        raise UsageError(
            f"offset {begin:,} is none of {records.topic}[{partition}]",
            why=f"it holds {low:,} to {high:,}: it has been made anew, or the file is of elsewhere",
            mend="take offsets of this topic: `rederive offsets show` has them",
        )
    cut = first == low > 0 and (begin is None or begin < low)
    return [Range(name, partition, low, max(first, begin or 0), last, cut)]


def described(log: Callable[[LaneName], Records], wanted: Sequence[Range]) -> list[dict[str, Any]]:
    """As JSON values: each topic with its id, and of its partitions number, first offset kept, first and last wanted.

    The last is excluded.
    """
    found: dict[LaneName, list[list[int]]] = {}
    for one in wanted:
        found.setdefault(one.log, []).append([one.partition, one.low, one.first, one.last])
    return [
        {"log": name, "topic": log(name).topic, "topic_id": log(name).topic_id(), "partitions": partitions}
        for name, partitions in found.items()
    ]


def why_anew(kafka: Mapping[str, str], request: Mapping[str, Any]) -> str | None:
    """Why the topics aren't those that a plan or a capture of this request has frozen, or None."""
    for frozen in request.get("logs", ()):
        topic = frozen["topic"]
        now = topic_id(kafka, topic)
        if now is None:
            return f"there is no topic {topic} any more"
        if now != frozen["topic_id"]:
            return f"{topic} was deleted and made anew since: other records stand at these offsets"
    return None


def changed(kafka: Mapping[str, str], request: Mapping[str, Any]) -> str | None:
    """Why the topics don't fit a plan of this request any more, or None: made anew, or grown where it wants all."""
    if why := why_anew(kafka, request):
        return why
    for frozen in request.get("logs", ()):
        if request.get("partitions") or request.get("places"):
            continue
        planned = {partition for partition, *_ in frozen["partitions"]}
        if more := len(set(partitions_of(kafka, frozen["topic"])) - planned):
            of = f"{more:,} {'partition' if more == 1 else 'partitions'} more"
            return f"{frozen['topic']} has {of} than it had: what stands there {verb(more, 'is', 'are')} not planned"
    return None
