"""Derived rows on their way into a stage: from JSON values to what binary COPY takes.

Postgres counts time in its binary format: days or microseconds since 2000. Sent as such, a value is read once however
often it occurs, and no object is made of it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

from schemas.outcome import TableRows
from schemas.table import Mode, Table

_DAY_ZERO = date(2000, 1, 1)
_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_KEPT_VALUES = 50_000

# Fields that are no columns; no column is called so.
_SOURCE, _SEEN, _UNIT = "/source", "/observed", "/unit"

_Row = tuple[Any, ...]

_COPIED_AS = {"timestamptz": "int8", "time": "int8", "date": "int4", "jsonb": "bytea"}


def copied_as(type_: str) -> str:
    """The type whose binary format a column's values are sent in; "varchar(50)" is "varchar" there."""
    plain = type_.partition("(")[0]
    return _COPIED_AS.get(plain, plain)


class Staged:
    """Rows of one table on their way into the stage, each with its unit's number in this batch."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._width = len(table.key)
        self._fields = [*(c.name for c in table.key), _SOURCE, _SEEN, *(c.name for c in table.columns), _UNIT]
        readers = [_READERS.get(column.type.partition("(")[0]) for column in (*table.key, *table.columns)]
        readers[self._width : self._width] = [None, _observation]
        self._readers = [(at, read) for at, read in enumerate(readers) if read]
        self._known = {table.observed, *self._fields} - {_SOURCE, _SEEN, _UNIT}
        self._values = {column.name for column in table.values}
        self._together = [[self._fields.index(name) for name in group] for group in table.groups]
        self._key = itemgetter(*range(self._width))
        self._rows: list[_Row] = []
        self._made: dict[Mode, list[list[Any]]] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, unit: int, block: TableRows) -> None:
        """Stage a block of derived rows.

        A row without any value says nothing and is left out, unless the table takes bare rows. ValueError when the
        block doesn't fit the table.
        """
        if unknown := set(block.columns) - self._known:
            raise ValueError(f"{self.table.name} has no column {', '.join(sorted(unknown))}")
        width = len(block.columns)
        if others := set(map(len, block.rows)) - {width}:
            raise ValueError(f"a row of {self.table.name} has {others.pop()} values for {width} columns")
        # A row is put together from its block by position; absent columns take the None appended to it.
        at = {name: index for index, name in enumerate(block.columns)}
        at |= {_SEEN: at[self.table.observed], _SOURCE: width + 1, _UNIT: width + 2}
        ordered = itemgetter(*(at.get(name, width) for name in self._fields))
        more = (None, block.source, unit)
        rows = block.rows
        if not self.table.bare:
            values = [at[name] for name in block.columns if name in self._values]
            rows = [row for row in rows if any(row[index] is not None for index in values)]
        self._rows += [ordered((*row, *more)) for row in rows]
        self._made.clear()

    def rows(self, mode: Mode) -> list[list[Any]]:
        """The rows that a merge needs, in key order, as COPY takes them; made once, however often they are asked for.

        Key, source, observed, columns, and whether the key is there more than once. ValueError, or TypeError where a
        value is of another kind, when a column can't hold its value.
        """
        if mode not in self._made:
            self._made[mode] = self._ordered(mode)
        return self._made[mode]

    def _ordered(self, mode: Mode) -> list[list[Any]]:
        needed = sorted(self._needed(mode), key=self._key)
        found: list[list[Any]] = []
        last: Any = None
        for row in needed:
            values = list(row)
            for at, read in self._readers:
                if values[at] is not None:
                    values[at] = read(values[at])
            key = self._key(row)
            values[-1] = key == last
            if key == last:
                found[-1][-1] = True
            last = key
            found.append(values)
        return found

    def units(self, keys: Iterable[tuple[Any, ...]] | None = None) -> Counter[int]:
        """To how many of the keys, as the database returns them, or of all keys each unit has brought a row."""
        changed = None if keys is None else list(keys)
        if changed == []:
            return Counter()
        unit = {row[: self._width]: row[-1] for row in self._rows}
        read = [(at, _RETURNED[c.type]) for at, c in enumerate(self.table.key) if c.type in _RETURNED]
        if changed is None:
            return Counter(unit.values())
        if read:
            unit = {_replaced(key, read): number for key, number in unit.items()}
        return Counter(unit[key] for key in changed)

    def _needed(self, mode: Mode) -> Iterable[_Row]:
        """Without repeats, of which the first stays; and without what can say nothing, where precedence decides.

        A row says nothing if, wherever it has a value, one of its key and source that was observed later has one, too.
        """
        seen = self._width + 1
        if mode is not Mode.SUPERSEDE:
            first: dict[tuple[Any, ...], _Row] = {}
            for row in self._rows:
                first.setdefault((*row[:seen], _observation(row[seen])), row)
            return first.values()
        latest = sorted(((_observation(row[seen]), row) for row in self._rows), key=itemgetter(0), reverse=True)
        kept: dict[tuple[Any, ...], list[_Kept]] = {}
        for observed, row in latest:
            of_key = kept.setdefault(row[:seen], [])
            for other in of_key:
                if other.observed == observed or other.covers(row, self._together):
                    break
            else:
                of_key.append(_Kept(observed, row))
        return [one.row for of_key in kept.values() for one in of_key]


class _Kept:
    """A row that is staged, beside later ones of its key and source."""

    __slots__ = ("_gaps", "observed", "row")

    def __init__(self, observed: int, row: _Row) -> None:
        self.observed, self.row = observed, row
        self._gaps: list[int] | None = None

    def covers(self, row: _Row, together: Sequence[Sequence[int]]) -> bool:
        """Whether this one has a value wherever `row` has one; `together` are the columns of each group."""
        if self._gaps is None:
            given = {at for group in together if any(self.row[at] is not None for at in group) for at in group}
            self._gaps = [at for at, value in enumerate(self.row) if value is None and at not in given]
        for at in self._gaps:  # noqa: SIM110 - a generator would take most of the time
            if row[at] is not None:
                return False
        return True


def _replaced(key: tuple[Any, ...], readers: Sequence[tuple[int, Callable[[Any], Any]]]) -> tuple[Any, ...]:
    values = list(key)
    for at, read in readers:
        values[at] = read(values[at])
    return tuple(values)


@lru_cache(_KEPT_VALUES)
def _timestamp(text: str) -> int:
    return (datetime.fromisoformat(text) - _ZERO) // _MICROSECOND


@lru_cache(_KEPT_VALUES)
def _observation(text: str) -> int:
    """A timestamp, or a date: its midnight in UTC."""
    seen = datetime.fromisoformat(text)
    return ((seen.replace(tzinfo=UTC) if len(text) == len("2000-01-01") else seen) - _ZERO) // _MICROSECOND


@lru_cache(_KEPT_VALUES)
def _date(text: str) -> int:
    return (date.fromisoformat(text) - _DAY_ZERO).days


@lru_cache(_KEPT_VALUES)
def _time(text: str) -> int:
    read = time.fromisoformat(text)
    if read.tzinfo:
        raise ValueError(f"{text} is no time of day without an offset")
    return (datetime.combine(_DAY_ZERO, read, UTC) - _ZERO) // _MICROSECOND


@lru_cache(_KEPT_VALUES, typed=True)
def _integer(value: int) -> int:
    # The driver would send the lower four bytes of a larger one.
    if type(value) is not int or not -(2**31) <= value < 2**31:
        raise ValueError(f"{value!r} is no integer of four bytes")
    return value


@lru_cache(_KEPT_VALUES, typed=True)
def _numeric(value: float) -> Decimal:
    """The decimal number of the shortest text that JSON has for it."""
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is no number")
    return Decimal(repr(value))


def _boolean(value: object) -> bool:
    if type(value) is not bool:
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _jsonb(value: object) -> bytes:
    # The binary format: a version, then the text.
    return b"\x01" + orjson.dumps(value)


# Where the database returns another value of a key than the outcome's.
_RETURNED: dict[str, Callable[[Any], Any]] = {"date": date.fromisoformat, "timestamptz": datetime.fromisoformat}

_READERS: dict[str, Callable[[Any], Any]] = {
    "timestamptz": _timestamp,
    "time": _time,
    "date": _date,
    "integer": _integer,
    "int4": _integer,
    "numeric": _numeric,
    "boolean": _boolean,
    "jsonb": _jsonb,
}
