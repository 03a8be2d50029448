"""The live capture: what arrives by itself belongs to its day, and nobody has to mint it."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Self

LIVE = "live"
"""The source of live captures."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_000


def moment_of(sent: int) -> datetime:
    """The moment of a Kafka timestamp in milliseconds; one outside the calendar is the start of its first day, 1970's.

    Whoever writes to a log from outside says when that was, and -1 is no time at all.
    """
    return _EPOCH + timedelta(milliseconds=sent if 0 <= sent <= _LAST_MS else 0)


@dataclass(frozen=True, slots=True)
class LiveDay:
    """A domain's live capture: the records without a capture that were sent on a UTC day, under a derivation version.

    `turn` counts those of one day: where one is over, rolled back for instance, the next record begins another.
    """

    domain: str
    day: date
    version: int
    turn: int = 1

    @classmethod
    def of(cls, domain: str, sent: int, version: int) -> Self:
        """The day of a record, by its Kafka timestamp in milliseconds; one outside the calendar is of its first day."""
        return cls(domain, moment_of(sent).date(), version)

    @classmethod
    def read(cls, capture_id: str, domain: str) -> Self | None:
        """The day that an id means, None when it is no live capture's of this domain."""
        said = re.fullmatch(re.escape(domain) + r"-live-([0-9]{8})-v([0-9]{1,9})(?:-([0-9]{1,4}))?", capture_id)
        if said is None:
            return None
        try:
            day = datetime.strptime(said[1], "%Y%m%d").date()  # noqa: DTZ007 - a day, no moment
        except ValueError:
            return None
        return cls(domain, day, int(said[2]), int(said[3] or 1))

    @property
    def capture_id(self) -> str:
        """The capture's id: whoever meets a record first makes the same."""
        turn = f"-{self.turn}" if self.turn > 1 else ""
        return f"{self.domain}-live-{self.day:%Y%m%d}-v{self.version}{turn}"

    def next_turn(self) -> Self:
        """The one that follows on the same day."""
        return replace(self, turn=self.turn + 1)
