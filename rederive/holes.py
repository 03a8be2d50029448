"""Holes in what has been derived of a domain's logs: offsets that are kept and that no capture has noted."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from producers.gap import HOLE, Fill, Gap, Looking
from producers.records import Records
from producers.source import Request, Stretch, end_of
from producers.topics import members, watermarks
from schemas.domain import LOG
from schemas.lane import Lane, LaneName
from schemas.live import moment_of
from store import captures, origins


def holes(looking: Looking) -> Iterator[Gap]:
    """The holes of all logs of the domain, by the UTC day on which their records were sent, in the range of days.

    A log that no capture has noted anything of isn't followed: what stands there has never been somebody's task. What
    stands behind the last offset noted is on its way, as long as somebody works at it.
    """
    for name in looking.domain.kept:
        lane = Lane(looking.domain.name, name, looking.services.prefix)
        if tops := origins.tops(looking.services.connection, lane.raw):
            with closing(Records(looking.services.kafka, lane.raw)) as records:
                for stretch in _stretches(looking, lane, records, tops):
                    yield from _gaps(looking, records, stretch)


def on_their_way(looking: Looking) -> dict[tuple[str, int], tuple[int, int]]:
    """By topic and partition of the domain's logs, the offsets [first, last) that no capture has come to yet.

    Of logs at which somebody works: elsewhere nothing is on its way.
    """
    found = {}
    for name in looking.domain.kept:
        lane = Lane(looking.domain.name, name, looking.services.prefix)
        if (tops := origins.tops(looking.services.connection, lane.raw)) and _is_busy(looking, lane):
            for partition, (low, high) in watermarks(looking.services.kafka, lane.raw).items():
                if (top := tops.get(partition, low)) < high:
                    found[lane.raw, partition] = (max(low, top), high)
    return found


def _is_busy(looking: Looking, lane: Lane) -> bool:
    unfinished = captures.unfinished(looking.services.connection, looking.domain.name)
    return bool(unfinished) or members(looking.services.kafka, lane.agents) > 0


def _stretches(looking: Looking, lane: Lane, records: Records, tops: dict[int, int]) -> Iterator[Stretch]:
    connection, domain = looking.services.connection, looking.domain.name
    busy = _is_busy(looking, lane)
    for partition in records.partitions():
        low, high = records.watermarks(partition)
        end = min(high, tops.get(partition, low)) if busy else high
        again = origins.read_again(connection, domain, lane.name, partition)
        for first, last in origins.holes(connection, lane.raw, partition, low, end):
            yield from _without(lane.name, partition, first, last, set(again))


def _without(log: LaneName, partition: int, first: int, last: int, again: set[int]) -> Iterator[Stretch]:
    """What of [first, last) has not been read again."""
    start = first
    for offset in sorted(one for one in again if first <= one < last):
        if start < offset:
            yield Stretch(log, partition, start, offset)
        start = offset + 1
    if start < last:
        yield Stretch(log, partition, start, last)


def _gaps(looking: Looking, records: Records, stretch: Stretch) -> Iterator[Gap]:
    """A stretch by days; where nothing stands, as a transaction's marker, nothing is lost."""
    request = looking.request
    first = stretch.first
    while first < stretch.last:
        message = records.first(stretch.partition, first)
        if message is None:
            low, _ = records.watermarks(stretch.partition)
            if low <= first:
                return
            # Retention has dropped what stood there meanwhile.
            first = low
            continue
        first = message.offset() or 0
        if first >= stretch.last:
            return
        sent = moment_of(message.timestamp()[1])
        end = end_of(sent.date())
        last = records.sent_at_or_after(stretch.partition, end, stretch.last)
        # Send times need not ascend: whoever writes from outside says them.
        last = min(max(last, first + 1), stretch.last)
        if not ((request.start and sent < request.start) or (request.end and sent >= request.end)):
            place = stretch._replace(first=first, last=last)
            yield Gap(
                kind=HOLE,
                day=sent.date(),
                part=f"{records.topic}[{stretch.partition}]@{first}" + (f"..{last - 1}" if last - first > 1 else ""),
                count=last - first,
                of="record",
                fill=Fill(LOG, replace(_of_the_log(looking), places=(place,))),
            )
        first = last


def _of_the_log(looking: Looking) -> Request:
    """As `replay-topic` asks, but in the way in which the rows would have been written."""
    return replace(looking.request, start=None, end=None, keys=(), kinds=())
