"""Hours of the day in which a run may send units: it pauses outside them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.errors import UsageError

_FORM = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})(?: +(\S+))?")
_LAST = (24, 0)
_MEND = "write hours of the UTC day such as 01:00-05:00 (22:00-04:00 is over midnight), or '01:00-05:00 Europe/London'"


@dataclass(frozen=True, slots=True)
class Hours:
    """From `start`, included, to `end`, not included, on every day of a time zone; over midnight where `end` is first.

    Times are by that zone's clock. An end of 24:00 is 00:00.
    """

    start: time
    end: time
    zone: tzinfo = UTC
    name: str = "UTC"

    @classmethod
    def read(cls, text: str) -> "Hours":
        """As a person says them: `01:00-05:00` in UTC, or with a time zone behind. UsageError when they mean none."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"--window {text!r} says no hours", mend=_MEND)
        *numbers, name = found.groups()
        first, second, third, fourth = (int(number) for number in numbers)
        try:
            start, end = time(first, second), time() if (third, fourth) == _LAST else time(third, fourth)
        except ValueError as error:
            raise UsageError(f"--window {text!r} says no hours", why=str(error), mend=_MEND) from None
        if start == end:
            why = "it ends when it begins: without --window there is no pause"
            raise UsageError(f"--window {text!r} says no hours", why=why, mend=_MEND)
        return cls(start, end, *(_zone(name) if name and name != "UTC" else ()))

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M} {self.name}"

    def opens(self, now: datetime) -> datetime | None:
        """When they begin next, in UTC; None within them. `now` is aware."""
        stretches = list(self._around(now))
        if any(first <= now < last for first, last in stretches):
            return None
        return min(first for first, _ in stretches if first > now)

    def _around(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        today = now.astimezone(self.zone).date()
        for day in (today + timedelta(days) for days in range(-1, 3)):
            over = timedelta(self.end <= self.start)
            first, last = self._at(day, self.start), self._at(day + over, self.end)
            # A clock that goes forward may leave nothing of them.
            if first < last:
                yield first, last

    def _at(self, day: date, clock: time) -> datetime:
        return datetime.combine(day, clock, self.zone).astimezone(UTC)


def _zone(name: str) -> tuple[tzinfo, str]:
    try:
        return ZoneInfo(name), name
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"--window: there is no time zone {name!r}", why=str(error), mend=_MEND) from None
