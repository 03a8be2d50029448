"""What is missing, and what to ask of which source to have it: the contract between a domain and `rederive gaps`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from producers.source import Request, Services
from schemas.domain import Domain
from schemas.table import Mode
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


def again(request: Request, columns: Sequence[str]) -> tuple[Mode, tuple[str, ...]]:
    """How rows of older formulas are computed anew, and which columns: of those outdated (none: all) those asked for.

    Where some are outdated and none of them is asked for, it is none.
    """
    mode = request.mode if request.mode in (Mode.SHADOW, Mode.INSERT) else Mode.SUPERSEDE
    wanted = tuple(name for name in columns if not request.columns or name in request.columns)
    return mode, wanted if columns else request.columns


def said_columns(columns: Sequence[str], of: int) -> str:
    """Which columns are outdated, in words; empty where all are."""
    if not columns or len(columns) == of:
        return ""
    named = ", ".join(columns[:6]) + (" and more" if len(columns) > 6 else "")
    return f"{len(columns)} of {of} columns: {named}"


@dataclass(frozen=True, slots=True)
class Looking:
    """What a person wants to know of a domain: the range, the parts; with `outdated` also rows of older versions.

    With `nothing_else` only these: what else is missing need not be looked for. The services are dry: looking changes
    nothing. `cursors` say how far live was, by name, where that matters.
    """

    domain: Domain
    services: Services
    request: Request
    outdated: bool = False
    cursors: Mapping[str, Position] = field(default_factory=dict)
    nothing_else: bool = False
