"""Table specs: what a derived table looks like and how its rows are merged."""

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """How a capture's rows meet what is stored (docs/merging.md).

    FILL keeps every stored value and fills only what is NULL; SUPERSEDE lets the row of the highest
    precedence (observed, derivation version, capture number) win column by column; INSERT writes rows whose key holds
    the capture, beside those of other captures, and the newest one's are read through a view.
    """

    FILL = "fill"
    SUPERSEDE = "supersede"
    INSERT = "insert"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name and Postgres type, and the indices of the sources that own it.

    The payloads of its owners come before those of all other sources, however old (docs/merging.md).
    """

    name: str
    type: str
    owners: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Table:
    """A derived table.

    `key` identifies a row. `attributes` describe it (they are merged, but a NULL there is no reason to
    recompute). `values` are what the domain derives. `observed` names the column of derived rows that says when the
    payload was observed; it need not be a column of the table. `sources` are the kinds of payload that write rows. Of
    each of `groups`, all columns are taken from one payload together. With `bare` a row without any value is written
    too. `touched` names a column that holds when the row was last changed. The rows of an `audit` table stay when their
    capture is rolled back. `checks` are conditions on a row, in SQL.
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

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every merged column: attributes, then values."""
        return self.attributes + self.values


@dataclass(frozen=True, slots=True)
class Step:
    """SQL that needs whole tables, run when all units of a capture have an outcome, and after a rollback.

    It may be run at any time and as often as one likes: it changes only what isn't right yet.
    """

    name: str
    sql: str
