"""What a unit of a log reads: one record, or several small ones that stand on end, packed into one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from confluent_kafka import Message

from producers.source import Dated
from schemas.lane import LaneName
from schemas.plan import Locator
from schemas.unit import TARGET_UNIT_BYTES, TARGET_UNIT_ROWS


class Place(Locator):
    """Where a record of a log stands. With `start` or `end` only its payloads of that range of their own times."""

    log: LaneName = LaneName.LOG
    partition: int
    offset: int
    start: datetime | None = None
    end: datetime | None = None


class Pack(Locator):
    """Records that stand at offsets [first, last), of which `records` are read; the range of times is as of a Place."""

    log: LaneName = LaneName.LOG
    partition: int
    first: int
    last: int
    records: int
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as a plan sees it: where it stands, its kind, its lines and bytes; `alone` it can't be packed."""

    offset: int
    kind: str
    lines: int
    size: int
    alone: bool


@dataclass(slots=True)
class Packer:
    """Records of a partition, in order, as locators: a pack is no larger than a unit of a table, nor `most` records."""

    log: LaneName
    partition: int
    dated: Dated | None
    most: int | None = None
    _held: list[Seen] = field(default_factory=list)
    _lines: int = 0
    _size: int = 0

    def take(self, seen: Seen) -> Iterator[Place | Pack]:
        """Take the next record in; what is full by that is given."""
        if self._held and (seen.alone or not self._takes(seen)):
            yield from self.rest()
        self._held.append(seen)
        self._lines += seen.lines
        self._size += seen.size
        if seen.alone:
            yield from self.rest()

    def _takes(self, seen: Seen) -> bool:
        return (
            seen.kind == self._held[0].kind
            and self._lines + seen.lines <= TARGET_UNIT_ROWS
            and self._size + seen.size <= TARGET_UNIT_BYTES
            and (self.most is None or len(self._held) < self.most)
        )

    def rest(self) -> Iterator[Place | Pack]:
        """What is held, if anything."""
        held, self._held, self._lines, self._size = self._held, [], 0, 0
        start, end = self.dated or (None, None)
        if len(held) == 1:
            yield Place(log=self.log, partition=self.partition, offset=held[0].offset, start=start, end=end)
        elif held:
            first, last = held[0].offset, held[-1].offset + 1
            yield Pack(log=self.log, partition=self.partition, first=first, last=last, records=len(held),
                       start=start, end=end)  # fmt: skip


def value_of(message: Message) -> bytes:
    """A record's value; of one without any it is empty."""
    return message.value() or b""
