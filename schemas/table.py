"""Table specs: what a derived table looks like and how its rows are merged."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain

CAPTURE = "capture_id"
"""The key column of an inserted table that says whose row it is."""

SHOWN = "shown_capture_id"
"""The column of a capture's row that names the capture shown."""

_OWN = "rederive."
_CAPTURES = "_captures"
_SHADOW = "_shadow"
_LONGEST_NAME = 63


class Mode(StrEnum):
    """How a capture's rows meet what is stored (docs/merging.md).

    FILL keeps every stored value and fills only what is NULL; SUPERSEDE lets the row of the highest
    precedence (observed, derivation version, capture number) win column by column; INSERT writes rows whose key holds
    the capture, beside those of other captures, and the newest one's are read through a view. A SHADOW is computed and
    kept, and served to nobody until it is promoted: then it supersedes or inserts, as its domain's rows do.
    """

    FILL = "fill"
    SUPERSEDE = "supersede"
    INSERT = "insert"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name and Postgres type, and the indices of the sources that own it.

    The payloads of its owners come before those of all other sources, however old (docs/merging.md).
    """

    name: str
    type: str
    owners: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Shown:
    """Whose rows a table shows that has none of its own: those of one capture of another table, for each of its own.

    `columns` are the other's columns by the names that they are shown under; what isn't among them is said once a
    capture. What of the other's partition both have in their keys is the same.
    """

    table: "Table"
    columns: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Table:
    """A derived table.

    `key` identifies a row. `attributes` describe it (they are merged, but a NULL there is no reason to
    recompute). `values` are what the domain derives. `observed` names the column of derived rows that says when the
    payload was observed; it need not be a column of the table. `sources` are the kinds of payload that write rows. Of
    each of `groups`, all columns are taken from one payload together. With `bare` a row without any value is written
    too. `touched` names a column that holds when the row was last changed. The rows of an `audit` table stay when their
    capture is rolled back. `checks` are conditions on a row, in SQL. `day` names the column that says of which day a
    row is, where neither its key nor `observed` does.

    Of a table that is inserted into, `partition` names key columns: a later capture of the same values there takes the
    place of an earlier one, whole. Such a table has a table of its `captures` and a view `_latest` (docs/merging.md),
    which shows the rows that fit the condition `latest`. With `shows` it is a view itself: what is written is a row for
    each of its captures, which names the one that it shows (`written`).
    """

    name: str
    key: tuple[Column, ...]
    attributes: tuple[Column, ...]
    values: tuple[Column, ...]
    observed: str
    policy: Mode
    sources: tuple[str, ...] = ("",)
    groups: tuple[tuple[str, ...], ...] = ()
    bare: bool = False
    touched: str | None = None
    audit: bool = False
    checks: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()
    latest: str = ""
    shows: Shown | None = None
    day: str = ""

    def __hash__(self) -> int:
        # What is made of a table once is looked up by it, batch after batch; its columns would all be hashed.
        return hash(self.name)

    @property
    def captures(self) -> str:
        """The table that says which captures of which partitions it has rows of, and how many."""
        return _beside(self.name, _CAPTURES)

    @property
    def written(self) -> "Table":
        """The table that rows are written to: itself, or that of its captures where it shows another one's rows."""
        if self.shows is None:
            return self
        key = tuple(column for column in self.key if column.name not in self.shows.columns)
        return replace(
            self, name=self.captures, key=key, values=(Column(SHOWN, "text"),), checks=(), latest="", shows=None
        )

    @property
    def dated(self) -> Column | None:
        """The column that says of which UTC day a row is, a date or a time; None where no column does."""
        of_key = (column for column in self.key if column.type in ("date", "timestamptz"))
        said = (column for column in self.columns if column.name == (self.day or self.observed))
        return next(chain(of_key, said), None)

    @property
    def shadow(self) -> "Table":
        """Where rows that are inserted in shadow stand until they are promoted: not shown by any view, nor counted."""
        written = self.written
        return replace(written, name=_beside(written.name, _SHADOW), partition=(), latest="")

    @property
    def everywhere(self) -> str:
        """SQL for FROM: its inserted rows, those in shadow among them.

        For who reads the rows of captures that a plan names: a run in shadow reads its own by this, and no other does,
        for no other plan names them.
        """
        names = ", ".join(column.name for column in (*self.key, *self.columns))
        return f"(SELECT {names} FROM {self.name} UNION ALL SELECT {names} FROM {self.shadow.name})"

    @property
    def own_values(self) -> tuple[Column, ...]:
        """The values but those that say which captures a row was made of: no two captures agree on these."""
        return tuple(column for column in self.values if not column.name.endswith((CAPTURE, self.observed)))

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every merged column: attributes, then values."""
        return self.attributes + self.values


def _beside(name: str, what: str) -> str:
    """The name of a table of the engine's own beside a table."""
    return f"{_OWN}{name.removeprefix(_OWN)[: _LONGEST_NAME - len(what)]}{what}"


@dataclass(frozen=True, slots=True)
class Step:
    """SQL that needs whole tables, run when all units of a capture have an outcome, and after a rollback.

    It may be run at any time and as often as one likes: it changes only what isn't right yet.
    """

    name: str
    sql: str
