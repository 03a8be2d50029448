"""What a replay reads again: the contract between a source and the run that sends its units."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from psycopg import Connection
from pydantic import TypeAdapter

from schemas.capture import Capture
from schemas.domain import LOG, TABLE, Domain, load
from schemas.errors import Failed, UsageError
from schemas.lane import LaneName
from schemas.plan import Digest, Plan, PlanHead, PlannedUnit
from schemas.table import Mode, Table
from schemas.unit import Delivered, Unit
from schemas.wire import RawHeaders, oversize
from store.units import Known

L = TypeVar("L")


class Stretch(NamedTuple):
    """Offsets [first, last) of a partition of a log."""

    log: LaneName
    partition: int
    first: int
    last: int


class Begin(NamedTuple):
    """Where a partition of a log begins at the earliest."""

    log: LaneName
    partition: int
    offset: int


class Dated(NamedTuple):
    """A range [start, end) of the payloads' own times, aware; None is open."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def span(self) -> str:
        """The range in words."""
        start, end = (moment.isoformat() if moment else None for moment in self)
        return f"payloads of {start or 'the beginning'} to {end or 'now'} (end excluded)"


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked to replay.

    `start` is included and `end` is not, both aware; None is open. On a table they are the payload's own times, on a
    log send times. `keys` are the domain's own names for a part of the source (betfair: market ids, racing: regions).
    Without `all_rows` only rows with a NULL among `columns` are picked. `limit` is a number of rows. `kinds` are the
    answers wanted of an API; what has been kept is asked for again with `refetch`, and left out with `only_missing`.
    FINRA's `keys` are tiers, its `kinds` stages and calculations; `options` are a domain's own words, JSON values.
    With `clear` what is computed as NULL replaces what is stored, too.

    Of a log `places` are all that is read, whenever it was sent. `logs` are the raw topics that are read, by lane
    (none: all that the domain keeps), `partitions` those of them (none: all), `begins` where a partition begins at the
    earliest, `dated` the range of the payloads' own times. `rate` is how many rows, of a log records, are sent a second
    at most; `apart` each record is a unit of its own.
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
    places: tuple[Stretch, ...] = ()
    clear: bool = False
    logs: tuple[LaneName, ...] = ()
    partitions: tuple[int, ...] = ()
    begins: tuple[Begin, ...] = ()
    dated: Dated | None = None
    rate: int | None = None
    apart: bool = False

    @property
    def span(self) -> str:
        """The range in words."""
        if self.places:
            return f"of {sum(place.last - place.first for place in self.places):,} places of the log"
        start, end = (moment.isoformat() if moment else None for moment in (self.start, self.end))
        said = f"from {start or 'the beginning'} to {end or 'now'} (end excluded)"
        return f"{said}, {self.dated.span}" if self.dated else said

    def days(self, otherwise: str) -> str:
        """The range as days, both included; `otherwise` when it is open."""
        last = self.end - timedelta(microseconds=1) if self.end else None
        return f"from {self.start:%Y-%m-%d} to {last:%Y-%m-%d}" if self.start and last else otherwise

    def describe(self) -> dict[str, object]:
        """As JSON values, for plans and captures."""
        asked: dict[str, object] = {
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat() if self.end else None,
            "keys": list(self.keys),
        }
        if self.places:
            asked["places"] = [list(place) for place in self.places]
        if self.clear:
            asked["clear"] = True
        if self.partitions:
            asked["partitions"] = list(self.partitions)
        if self.begins:
            asked["begins"] = [list(begin) for begin in self.begins]
        if self.dated:
            asked["dated"] = [moment.isoformat() if moment else None for moment in self.dated]
        if self.rate:
            asked["rate"] = self.rate
        if self.apart:
            asked["apart"] = True
        if self.options:
            return asked | {"kinds": list(self.kinds), **self.options}
        if self.kinds:
            return asked | {"kinds": list(self.kinds), "refetch": self.refetch, "only_missing": self.only_missing}
        return asked | {"all_rows": self.all_rows, "limit": self.limit}


def start_of(day: date) -> datetime:
    """Where a UTC day starts."""
    return datetime.combine(day, time(), UTC)


def end_of(day: date) -> datetime:
    """Where a UTC day ends, itself excluded: at the start of the next; the calendar's last ends with the calendar."""
    return start_of(day) + timedelta(days=1) if day < date.max else datetime.max.replace(tzinfo=UTC)


def is_within(day: date, request: Request) -> bool:
    """Whether any of a UTC day lies in what was asked for, which may begin and end in the midst of a day."""
    return not ((request.start and end_of(day) <= request.start) or (request.end and start_of(day) >= request.end))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A planned unit that can't be sent, and why: its row is too large by itself, or what it was to read is gone."""

    unit: PlannedUnit[Any]
    reason: str


@dataclass(frozen=True, slots=True)
class Split:
    """A planned unit that is too large for a record, and smaller ones that hold its rows."""

    unit: PlannedUnit[Any]
    reason: str
    parts: Sequence[PlannedUnit[Any]]


@dataclass(frozen=True, slots=True)
class Page(Generic[L]):
    """Some units of a plan, in order, and the NULLs per column among their rows."""

    units: Sequence[PlannedUnit[L]]
    nulls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Services:
    """What a source may read from: a connection and how to make more, Kafka as librdkafka clients take it.

    `prefix` is what the deployment's topics begin with. With `dry` a source changes no row of a table, its own neither.
    """

    connection: Connection
    connect: Callable[[], Connection] = field(repr=False)
    kafka: Mapping[str, str] = field(repr=False)
    prefix: str = ""
    dry: bool = False


class Source(ABC, Generic[L]):
    """A place that raw payloads are read from. `close` it in the end.

    `name` is what the domain that `open_source` has found it by calls it, `locator` the model, or union of models, of
    what its units need to be read.
    """

    name: str = TABLE
    locator: ClassVar[Any]

    def __init__(self, domain: Domain, services: Services) -> None:
        self.domain, self.services = domain, services
        self.connection = services.connection

    def head(self, request: Request) -> PlanHead:
        """What a plan of this request says before anything is found."""
        return PlanHead(
            domain=self.domain.name,
            source=self.name,
            mode=request.mode,
            derivation_version=self.domain.derivation_version,
            columns=request.columns,
            request=request.describe(),
            span=self.span(request),
        )

    def span(self, request: Request) -> str:
        """The range of a request, in words."""
        return request.span

    @abstractmethod
    def pages(self, request: Request) -> Iterator[Page[L]]:
        """Find what the request means now, in units, a page at a time. Failed for names that don't exist."""

    def notes(self, request: Request, found: int) -> tuple[str, ...]:  # noqa: ARG002
        """What a person should know of a plan that found so many rows."""
        return () if found else ("nothing to do",)

    def counted(self, unit: PlannedUnit[L]) -> int:
        """How many of what a plan counts, rows or records, a planned unit is."""
        return 1 if unit.rows is None else unit.rows

    def stale(self, plan: Plan[L]) -> str | None:  # noqa: ARG002
        """Why the plan no longer fits what is stored, or None."""
        return None

    @abstractmethod
    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[L]) -> Unit | Refusal | Split | None:
        """Read a planned unit's payloads (`record` makes a unit of them); None while they are on their way."""

    def record(
        self,
        capture_id: str,
        columns: tuple[str, ...],
        unit: PlannedUnit[L],
        value: bytes,
        *,
        kind: str = "",
        key: bytes | None = None,
        observed: str = "",
        partition: int | None = None,
    ) -> Unit | Refusal:
        """The record of a planned unit, refused when it is too large. Without a `kind` it is the domain's only one."""
        headers = RawHeaders(
            kind=kind or self.domain.name,
            capture=capture_id,
            unit=unit.unit,
            columns=columns,
            rows=unit.rows,
            key_range=unit.key_range,
            observed=observed,
        )
        too_large = oversize(value, key)
        return Refusal(unit, f"{unit.key_range}: {too_large}") if too_large else Unit(headers, key, value, partition)

    def delivered(self, connection: Connection, capture: Capture, delivered: Sequence[Delivered]) -> None:
        """Take note of units that now stand on their topic, in the caller's transaction."""

    def more(self, connection: Connection, capture: Capture) -> Iterator[Sequence[PlannedUnit[L]]]:  # noqa: ARG002
        """What the capture's applied units have made due; asked when all of them have an outcome, until it is nothing.

        The units' numbers are given when they are added.
        """
        return iter(())

    def holding(self, units: Sequence[Known], table: Table, key: Mapping[str, Any], observed: str) -> Sequence[Known]:  # noqa: ARG002
        """Of a capture's units those that may have given a row, by its table, its key and when it was observed.

        The likeliest come first. The key's values are as JSON has them, `observed` is ISO 8601 text in UTC, or empty.
        """
        return units

    def planned_again(self, connection: Connection, capture: Capture) -> Iterator[PlannedUnit[L]]:  # noqa: ARG002
        """The capture's dead units whose plan doesn't fit any more what they read, planned anew under their numbers.

        Asked when they are about to be tried again, in the caller's transaction; what isn't given stays as planned.
        """
        return iter(())

    def close(self) -> None:
        """Let go of what the source holds."""

    @classmethod
    def located(cls, stored: object) -> L:
        """A locator as it was stored. ValidationError when it is none of this source's."""
        located: L = _adapter(cls).validate_python(stored)
        return located


@cache
def _adapter(source: type[Source[Any]]) -> TypeAdapter[Any]:
    return TypeAdapter(source.locator)


def source_of(domain: Domain, name: str) -> type[Source[Any]]:
    """The class of a domain's source, by its name. UsageError when it has none of that name."""
    parts = {LOG: "producers.log:LogSource", **domain.sources}
    if name not in parts:
        raise UsageError(f"{domain.name} has no source {name}", mend=f"it has {', '.join(parts)}")
    source: type[Source[Any]] = load(parts[name])
    return source


def open_source(domain: Domain, name: str, services: Services) -> Source[Any]:
    """A source of the domain, by its name. UsageError when it has none of that name."""
    source = source_of(domain, name)(domain, services)
    # A plan says it, and is read again by it.
    source.name = name
    return source


class DraftOfPlan:
    """A plan that was made before, on its way into a capture."""

    def __init__(self, plan: Plan[Any]) -> None:
        self._plan = plan
        self.head = plan.head

    @property
    def digest(self) -> str:
        """The plan's own."""
        return self._plan.digest

    def __iter__(self) -> Iterator[Sequence[PlannedUnit[Any]]]:
        yield self._plan.units


class DraftOfSource:
    """A plan that is made by looking into a source now, a page at a time, however much there is."""

    def __init__(self, source: Source[Any], request: Request) -> None:
        self._source, self._request = source, request
        self._digest = Digest()
        self.head = source.head(request)

    @property
    def digest(self) -> str:
        """The digest of what has passed."""
        return self._digest.of(self.head)

    def __iter__(self) -> Iterator[Sequence[PlannedUnit[Any]]]:
        nulls: Counter[str] = Counter(dict.fromkeys(self.head.columns, 0))
        found = count = 0
        for page in self._source.pages(self._request):
            for number, unit in enumerate(page.units, count):
                if unit.unit != number:
                    raise Failed(
                        f"{self.head.domain} can't be replayed from {self.head.source}",
                        why=f"its source numbers unit {number} ({unit.key_range}) as {unit.unit}",
                        mend="mend the source: numbers of units count from 0, over all pages",
                    )
                self._digest.add(unit)
                found += self._source.counted(unit)
            count += len(page.units)
            nulls.update(page.nulls)
            yield page.units
        self.head = self.head.model_copy(
            update={
                "found": found,
                "unit_count": count,
                "nulls": dict(nulls) if self.head.source == TABLE else {},
                "notes": self._source.notes(self._request, found),
            }
        )


def make_plan(source: Source[L], request: Request, *others: Request) -> Plan[L]:
    """The whole plan at once, for printing; of several requests, which differ in ranges and keys only, one plan."""
    draft = DraftOfSource(source, request)
    units = tuple(unit for page in draft for unit in page)
    made = Plan(**draft.head.model_dump(), units=units).sealed()
    return _joined(source, [made, *(make_plan(source, other) for other in others)]) if others else made


def _joined(source: Source[L], plans: Sequence[Plan[L]]) -> Plan[L]:
    """Plans of one source as one. A unit that several have stands in it once."""
    units: list[PlannedUnit[L]] = []
    nulls: Counter[str] = Counter(dict.fromkeys(plans[0].nulls, 0))
    known: set[str] = set()
    for plan in plans:
        nulls.update(plan.nulls)
        for unit in plan.units:
            again = unit.model_copy(update={"unit": 0, "writes": ()}).model_dump_json()
            if again not in known:
                known.add(again)
                units.append(unit.model_copy(update={"unit": len(units)}))
    asked = [plan.request for plan in plans]
    starts, ends = [one["start"] for one in asked], [one["end"] for one in asked]
    notes = dict.fromkeys(note for plan in plans if plan.units for note in plan.notes)
    said = {
        "found": sum(map(source.counted, units)),
        "unit_count": len(units),
        "nulls": dict(nulls),
        "notes": tuple(notes) or plans[0].notes,
        "span": f"{plans[0].span} and {len(plans) - 1:,} more",
        "request": {
            **asked[0],
            "start": None if None in starts else min(starts, key=datetime.fromisoformat),
            "end": None if None in ends else max(ends, key=datetime.fromisoformat),
            "keys": list(dict.fromkeys(key for one in asked for key in one["keys"])),
        },
    }
    return Plan(**{**plans[0].head.model_dump(), **said}, units=tuple(units)).sealed()
