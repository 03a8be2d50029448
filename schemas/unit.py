"""The unit: one raw record, the smallest set of payloads from which rows can be computed knowing nothing else."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from schemas.wire import RawHeaders

TARGET_UNIT_BYTES = 1024 * 1024
TARGET_UNIT_ROWS = 512


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a raw record stands: its identity."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Delivered(NamedTuple):
    """A unit of a plan, by its number, and where it stands on its topic."""

    unit: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Unit:
    """A raw record to be sent; `partition` None: any."""

    headers: "RawHeaders"
    key: bytes | None
    value: bytes
    partition: int | None = None
