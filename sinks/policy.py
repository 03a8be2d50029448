"""The write policy: how rows of a table are written, previewed, taken out again and checked. Two packages implement it.

Nobody outside asks which of them a table has: `sinks.policies.policy_of` gives it.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from psycopg import Connection

from schemas.domain import Domain, load
from schemas.outcome import Key, TableRows
from schemas.table import Mode, Table
from store.lineage import Written

if TYPE_CHECKING:
    from sinks.comparing import Sides

Blocks = Sequence[tuple[int, TableRows]]
"""Blocks of one table, each with its unit's number in the batch."""

S = TypeVar("S")
"""Blocks of one table as a policy has staged them."""


@dataclass(frozen=True, slots=True)
class Writer:
    """The capture on whose behalf rows are written; in the columns `clear` a NULL counts as said."""

    capture_id: str
    number: int
    mode: Mode
    derivation_version: int
    dry_run: bool = False
    clear: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compares:
    """A capture as a side of a comparison: a run, the captures that its inserted rows may hold, whether in shadow."""

    run: str
    captures: tuple[str, ...]
    shadow: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """What a rollback does to a table: entries taken out, rows changed and rows deleted."""

    entries: int = 0
    changed: int = 0
    deleted: int = 0

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(self.entries + other.entries, self.changed + other.changed, self.deleted + other.deleted)

    def counts(self) -> dict[str, int]:
        """For people."""
        return {"entries": self.entries, "changed": self.changed, "deleted": self.deleted}


@dataclass(frozen=True, slots=True)
class Promoted:
    """What a promotion does to a table: entries that come to have a say, the rows that they are of, rows that change.

    In a preview a row changes when a value does. `gone` are rows whose parents aren't there any more: they are
    dropped. `cleared` are the values that go without another in their place, and `columns` the rows that change by
    column: both are counted by a preview only.
    """

    entries: int = 0
    rows: int = 0
    changed: int = 0
    gone: int = 0
    cleared: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Promoted") -> "Promoted":
        return Promoted(
            self.entries + other.entries,
            self.rows + other.rows,
            self.changed + other.changed,
            self.gone + other.gone,
            self.cleared + other.cleared,
            dict(Counter(self.columns) + Counter(other.columns)),
        )


class Outdated(NamedTuple):
    """How many rows of a UTC day, where they have one, and of a part, are of older formulas, in which columns.

    No columns mean all.
    """

    day: date | None
    part: str
    rows: int
    columns: tuple[str, ...] = ()


class Fault(NamedTuple):
    """What of a table isn't as what is kept of its making says: a row by its key as text, and a column of it.

    No column means the row as a whole; `served` and `wanted` are values as text, `why` says what they don't.
    """

    table: str
    key: tuple[str, ...]
    column: str = ""
    served: str | None = None
    wanted: str | None = None
    why: str = ""


LISTED = 20
"""How many faults, or rows of others, are listed; all are counted."""


@dataclass(slots=True)
class Verified:
    """What has been looked at of a table: how many rows, what is wrong, and what somebody outside has done since.

    `faults`, `outside` (rows written) and `deleted` hold the first of each, `wrong` and the two other counts all.
    `place` is the last key looked at, None at the end.
    """

    rows: int = 0
    wrong: int = 0
    faults: list[Fault] = field(default_factory=list)
    written_outside: int = 0
    outside: list[tuple[str, ...]] = field(default_factory=list)
    deleted_outside: int = 0
    deleted: list[tuple[str, ...]] = field(default_factory=list)
    place: tuple[str, ...] | None = None

    def blame(self, *faults: Fault) -> None:
        """Take faults in."""
        self.wrong += len(faults)
        self.faults += faults[: max(0, LISTED - len(self.faults))]

    def __add__(self, other: "Verified") -> "Verified":
        return Verified().__iadd__(self).__iadd__(other)

    def __iadd__(self, other: "Verified") -> "Verified":
        self.rows += other.rows
        self.wrong += other.wrong
        self.written_outside += other.written_outside
        self.deleted_outside += other.deleted_outside
        self.faults = [*self.faults, *other.faults][:LISTED]
        self.outside = [*self.outside, *other.outside][:LISTED]
        self.deleted = [*self.deleted, *other.deleted][:LISTED]
        self.place = other.place
        return self


@dataclass(frozen=True, slots=True)
class Claim:
    """What one capture, or something else, says of one value: a rival for it, by its rank among all of them.

    `kind` is "supersede" or "fill" for an entry of such a capture, "shadow" for one that isn't promoted (yet),
    "outside" for what was written from outside, "baseline" for what was there before any capture, "insert" for a row
    that holds its capture. `capture_id` is empty where no capture wrote it. `source` is an index into the table's
    sources. `value` is as JSON has it, `text` as Postgres writes it, both None for NULL. `counts` is True for the one
    that the value is taken from.
    """

    kind: str
    capture_id: str
    value: Any
    text: str | None
    counts: bool = False
    source: int = 0
    observed: datetime | None = None
    derivation_version: int | None = None
    arrival: int | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """A stored value, and what there is to say of it, the highest rank first.

    `there` says whether the row is. `outside` is True when it was written from outside since a merge last wrote it.
    `value` and `text` are as a Claim's. `shown` is the capture whose rows of another table it shows, if it does.
    """

    there: bool
    value: Any = None
    text: str | None = None
    capture_id: str | None = None
    derivation_version: int | None = None
    changed_at: datetime | None = None
    outside: bool = False
    ranked: tuple[Claim, ...] = ()
    shown: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What is taken back, or looked at: units of a domain, and with a `run` all that this run has written."""

    domain: Domain
    units: frozenset[Written]
    run: str | None = None

    def captures(self, table: Table) -> list[str]:
        """The captures whose rows go from a table that is keyed by them."""
        return sorted({capture for unit in self.units if self._writes(unit, table) for capture in _keyed_by(unit)})

    def _writes(self, unit: Written, table: Table) -> bool:
        return unit.stage not in self.domain.stages or table.name in self.domain.stages[unit.stage]

    def noted(self, table: Table) -> dict[str, set[Key]]:
        """By run, the keys of a table whose rows its units have written, where the domain can say so."""
        found: dict[str, set[Key]] = {}
        if self.domain.notes:
            for unit in self.units:
                found.setdefault(unit.run, set()).update(load(self.domain.notes)(table, unit.stage, unit.writes))
        return {run: keys for run, keys in found.items() if keys}


def _keyed_by(unit: Written) -> frozenset[str]:
    return unit.writes or frozenset({unit.run})


NEWEST = 2**62
"""A number above those of all captures, for one that has none of its own yet."""


class Policy(ABC, Generic[S]):
    """One way to write rows of tables. Every method but `make` and `prepare` works on one table."""

    @abstractmethod
    def make(self, connection: Connection, table: Table) -> None:
        """Make the table and what it needs beside it from its spec, where they are missing."""

    @abstractmethod
    def prepare(self, connection: Connection, table: Table) -> None:
        """Make what a connection needs to write to the table, outside any transaction."""

    @abstractmethod
    def stage(self, table: Table, blocks: Blocks, mode: Mode, *, clears: bool = False) -> S:
        """Make blocks ready to be written in a mode; pure, so that a batch is staged while another one is written.

        With `clears` a row without any value says something, too.
        ValueError, KeyError, TypeError or OverflowError when a block doesn't fit the table.
        """

    @abstractmethod
    def write(self, connection: Connection, table: Table, staged: S, writer: Writer) -> Counter[int]:
        """Write what is staged for the writer's mode, in the caller's transaction, as often as it is tried.

        How many rows changed, per unit number; a dry run only counts. Errors as of `stage`.
        """

    @abstractmethod
    def concerns(self, table: Table, scope: Scope) -> bool:
        """Whether taking the scope out may change the table at all."""

    @abstractmethod
    def preview(self, connection: Connection, table: Table, scope: Scope) -> Taken:
        """What taking the scope out would do; reads only."""

    @abstractmethod
    def take_out_units(self, connection: Connection, table: Table, scope: Scope) -> Taken:
        """Take out what is known by the units that wrote it, in the caller's transaction, which is no savepoint."""

    @abstractmethod
    def take_out_run(self, connection: Connection, table: Table, run: str) -> Iterator[Taken]:
        """Take out what else a run has written, a batch a transaction; may be stopped and begun again."""

    @abstractmethod
    def remaining(self, connection: Connection, table: Table, run: str) -> int:
        """How many entries `take_out_run` has still to take out; reads only."""

    @abstractmethod
    def promotion(self, connection: Connection, table: Table, capture: Writer) -> Promoted:
        """What promoting a shadow would do, the capture as it would be then; reads only."""

    @abstractmethod
    def promote(
        self, connection: Connection, table: Table, capture: Writer, crew: Sequence[Connection] = ()
    ) -> Iterator[Promoted]:
        """Serve what a capture has kept in shadow, a batch a transaction; may be stopped and begun again.

        The capture is on its way: with its new number and mode, and nothing writes for it any more. Batches may be
        done beside each other, on the connections of a crew.
        """

    @abstractmethod
    def sides(self, connection: Connection, table: Table, one: Compares, other: Compares | None) -> "Sides":
        """The rows of one capture and of another, for a comparison; without another one, what is served, and will be.

        Of one in shadow that is what would be served once it is promoted.
        """

    @abstractmethod
    def as_found(self, table: Table) -> str | None:
        """SQL for FROM: the rows as they were before any capture; None where all rows are of captures."""

    @abstractmethod
    def undone(self, connection: Connection, table: Table, one: Compares) -> "Sides":
        """The rows of a capture as they are served, and as they would be without it."""

    @abstractmethod
    def verify(
        self, connection: Connection, table: Table, scope: Scope | None = None, after: tuple[str, ...] = ()
    ) -> Iterator[Verified]:
        """Hold rows against what is kept of their making: those that the scope has touched, or without one all.

        Reads only, by batches in the order of keys, from `after` on: each a statement or two, so that nothing waits
        for it. The last batch has no place.
        """

    @abstractmethod
    def held(self, connection: Connection, table: Table, captures: Sequence[str]) -> dict[str, int]:
        """How many rows the table holds that units have counted as written under each of these captures."""

    @abstractmethod
    def outdated(self, connection: Connection, domain: Domain, table: Table) -> list[Outdated]:
        """What is of an older derivation version than the domain's, by day; reads only."""

    @abstractmethod
    def claims(self, connection: Connection, table: Table, key: Mapping[str, str], column: str) -> Claims:
        """A stored value and its rivals, by the row's whole key as text; reads only."""
