"""What is missing, and what to ask of which source to have it: the contract between a domain and `rederive gaps`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from producers.source import Request, Services
from schemas.domain import Domain
from store.cursors import Position

MISSING, NULL, FAILED, EARLY, DUE = "missing", "null", "failed", "early", "due"
OUTDATED, HOLE = "outdated", "hole"


class Kind(NamedTuple):
    """A kind of gap: the sign of a day in the calendar, and what it means."""

    sign: str
    meaning: str


KINDS: Mapping[str, Kind] = {
    MISSING: Kind("m", "nothing is stored"),
    NULL: Kind("n", "a column is NULL that the stored payload fills"),
    FAILED: Kind("f", "it was tried last, and failed"),
    EARLY: Kind("e", "fetched before it was over"),
    DUE: Kind("d", "its input is stored, its result isn't"),
    OUTDATED: Kind("o", "computed by an older derivation version"),
    HOLE: Kind("h", "on the log, and derived by nobody"),
}
"""The kinds that there are; of others that a domain names, the sign is their first letter as a capital."""


class Fill(NamedTuple):
    """What closes a gap: a request, and the source to make it of."""

    source: str
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that is missing of a day.

    `day` is a UTC day, a race day, or the last day of a week, which has 7 `days`; None where there is none. `part` says
    what of the day: a tier, a kind of answer. `count` counts what `of` names a single one of. `fill` closes it by a
    plan; where no plan can, `mend` is the command that does. `why` is said where the kind doesn't say all. `waiting`
    are those among them that live has yet to come to, where it is asked how far it was.
    """

    kind: str
    day: date | None = None
    days: int = 1
    part: str = ""
    count: int = 1
    of: str = "row"
    why: str = ""
    fill: Fill | None = None
    mend: str = ""
    waiting: int = 0

    def describe(self) -> dict[str, object]:
        """As one JSON object."""
        said = {name: getattr(self, name) for name in ("kind", "day", "days", "part", "count", "of", "why")}
        return {**said, "by_plan": self.fill is not None, "mend": self.mend}


@dataclass(frozen=True, slots=True)
class Looking:
    """What a person wants to know of a domain: the range, the parts; with `outdated` also rows of older versions.

    The services are dry: looking changes nothing. `cursors` say how far live was, by name, where that matters.
    """

    domain: Domain
    services: Services
    request: Request
    outdated: bool = False
    cursors: Mapping[str, Position] = field(default_factory=dict)
