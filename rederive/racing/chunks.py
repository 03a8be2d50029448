"""Monthly chunks of a range of race days (racing spec, section 8)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

CALL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Chunk:
    """A calendar month clipped to a range, both ends included."""

    number: int
    start: date
    end: date

    def __str__(self) -> str:
        return f"{self.start} to {self.end}"


def monthly(start: date, end: date) -> Iterator[Chunk]:
    """The chunks of a range in order, numbered from 1; none when it ends before it starts."""
    number = 1
    while start <= end:
        next_month = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        yield Chunk(number, start, min(end, next_month - timedelta(days=1)))
        start, number = next_month, number + 1
