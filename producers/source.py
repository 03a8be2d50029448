"""What a replay reads again: the contract between a source and the run that sends its units."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from psycopg import Connection

from producers.sender import Delivered
from schemas.capture import Capture
from schemas.plan import Digest, Plan, PlanHead, PlannedUnit
from schemas.table import Mode
from schemas.unit import Unit


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked to replay.

    `start` is included and `end` is not, both aware; None is open. On a table they are the payload's own times, on a
    log send times. `keys` are the domain's own names for a part of the source (betfair: market ids, racing: regions).
    Without `all_rows` only rows with a NULL among `columns` are picked. `limit` is a number of rows. `kinds` are the
    answers wanted of an API; what has been kept is asked for again with `refetch`, and left out with `only_missing`.
    FINRA's `keys` are tiers, its `kinds` stages and calculations; `options` are a domain's own words, JSON values.
    """

    domain: str
    mode: Mode
    columns: tuple[str, ...]
    start: datetime | None = None
    end: datetime | None = None
    keys: tuple[str, ...] = ()
    all_rows: bool = False
    limit: int | None = None
    kinds: tuple[str, ...] = ()
    refetch: bool = False
    only_missing: bool = False
    options: Mapping[str, object] = field(default_factory=dict)

    def describe(self) -> dict[str, object]:
        """As JSON values, for plans and captures."""
        asked: dict[str, object] = {
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat() if self.end else None,
            "keys": list(self.keys),
        }
        if self.options:
            return asked | {"kinds": list(self.kinds), **self.options}
        if self.kinds:
            return asked | {"kinds": list(self.kinds), "refetch": self.refetch, "only_missing": self.only_missing}
        return asked | {"all_rows": self.all_rows, "limit": self.limit}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A planned unit that can't be sent as it is.

    `halves` are the row ids of two smaller units; without them the one row of the unit is too large by itself, or the
    record is gone, and `reason` says so.
    """

    unit: PlannedUnit
    reason: str
    halves: tuple[list[int], list[int]] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some units of a plan, in order, and the NULLs per column among their rows."""

    units: Sequence[PlannedUnit]
    nulls: Mapping[str, int]


class Source(ABC):
    """A place that raw payloads are read from. `close` it in the end."""

    @abstractmethod
    def head(self, request: Request) -> PlanHead:
        """What a plan of this request says before anything is found."""

    @abstractmethod
    def pages(self, request: Request) -> Iterator[Page]:
        """Find what the request means now, in units, a page at a time. Failed for names that don't exist."""

    @abstractmethod
    def notes(self, request: Request, found: int) -> tuple[str, ...]:
        """What a person should know of a plan that found so many rows."""

    @abstractmethod
    def stale(self, plan: Plan) -> str | None:
        """Why the plan no longer fits what is stored, or None."""

    @abstractmethod
    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit) -> Unit | Refusal | None:
        """Read a planned unit's payloads; None while they are on their way: ask again."""

    def delivered(self, connection: Connection, capture: Capture, delivered: Sequence[Delivered]) -> None:  # noqa: B027
        """Take note of units that now stand on their topic, in the caller's transaction."""

    def more(self, connection: Connection, capture: Capture) -> Iterator[Sequence[PlannedUnit]]:  # noqa: ARG002
        """What the capture's applied units have made due; asked when all of them have an outcome, until it is nothing.

        The units' numbers are given when they are added.
        """
        return iter(())

    def planned_again(self, connection: Connection, capture: Capture) -> Iterator[PlannedUnit]:  # noqa: ARG002
        """The capture's dead units whose plan doesn't fit any more what they read, planned anew under their numbers.

        Asked when they are about to be tried again, in the caller's transaction; what isn't given stays as planned.
        """
        return iter(())

    def close(self) -> None:  # noqa: B027 - most sources hold nothing
        """Let go of what the source holds."""


class Planning(Protocol):
    """Units on their way into a plan: iterate over the pages, then take the final `head` and the `digest`."""

    head: PlanHead

    @property
    def digest(self) -> str:
        """The digest of what has passed."""

    def __iter__(self) -> Iterator[Sequence[PlannedUnit]]: ...


class Made:
    """A plan that was made before, as planning."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.head = plan.head

    @property
    def digest(self) -> str:
        """The plan's own."""
        return self._plan.digest

    def __iter__(self) -> Iterator[Sequence[PlannedUnit]]:
        yield self._plan.units


class Finding:
    """Planning by looking into a source now, a page at a time, however much there is."""

    def __init__(self, source: Source, request: Request) -> None:
        self._source, self._request = source, request
        self._digest = Digest()
        self.head = source.head(request)

    @property
    def digest(self) -> str:
        """The digest of what has passed."""
        return self._digest.of(self.head)

    def __iter__(self) -> Iterator[Sequence[PlannedUnit]]:
        nulls: Counter[str] = Counter(dict.fromkeys(self.head.columns, 0))
        found = count = 0
        for page in self._source.pages(self._request):
            for unit in page.units:
                self._digest.add(unit)
                # Of a log every unit is one record found.
                found += 1 if unit.rows is None else unit.rows
            count += len(page.units)
            nulls.update(page.nulls)
            yield page.units
        self.head = self.head.model_copy(
            update={
                "found": found,
                "unit_count": count,
                "nulls": dict(nulls) if self.head.source == "table" else {},
                "notes": self._source.notes(self._request, found),
            }
        )


def make_plan(source: Source, request: Request) -> Plan:
    """The whole plan at once, for printing."""
    planning = Finding(source, request)
    units = tuple(unit for page in planning for unit in page)
    return Plan(**planning.head.model_dump(), units=units).sealed()
