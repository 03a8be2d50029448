"""Derived rows on their way into a stage: from JSON values to what binary COPY takes.

Postgres counts time in its binary format: days or microseconds since 2000. Sent as such, a value is read once however
often it occurs, and no object is made of it.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

from schemas.outcome import TableRows
from schemas.table import Table

_DAY_ZERO = date(2000, 1, 1)
_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_KEPT_VALUES = 50_000

_COPIED_AS = {"timestamptz": "int8", "time": "int8", "date": "int4", "jsonb": "bytea"}


def copied_as(type_: str) -> str:
    """The type whose binary format a column's values are sent in; "varchar(50)" is "varchar" there."""
    plain = type_.partition("(")[0]
    return _COPIED_AS.get(plain, plain)


class Staged:
    """Rows of one table on their way into the stage, each with its unit's number in this batch."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows: list[tuple[Any, ...]] = []
        columns = (*table.key, *table.columns)
        self._known = {table.observed, *(column.name for column in columns)}
        self._values = {column.name for column in table.values}
        readers = {column.name: _READERS.get(column.type.partition("(")[0]) for column in columns}
        self._readers = {name: read for name, read in readers.items() if read} | {table.observed: _observation}

    def add(self, unit: int, block: TableRows) -> None:
        """Stage a block of derived rows.

        A row without any value says nothing and is left out, unless the table takes bare rows. ValueError, or TypeError
        where a value is of another kind, when the block doesn't fit the table.
        """
        if unknown := set(block.columns) - self._known:
            raise ValueError(f"{self.table.name} has no column {', '.join(sorted(unknown))}")
        width = len(block.columns)
        if others := set(map(len, block.rows)) - {width}:
            raise ValueError(f"a row of {self.table.name} has {others.pop()} values for {width} columns")
        at = {name: index for index, name in enumerate(block.columns)}
        values = [at[name] for name in block.columns if name in self._values]
        readers = [(at[name], self._readers[name]) for name in block.columns if name in self._readers]
        # A row is put together from its block by position; absent columns take the None appended to it.
        order = [at[column.name] for column in self.table.key]
        order += [width + 1, at[self.table.observed]]
        order += [at.get(column.name, width) for column in self.table.columns]
        ordered = itemgetter(*order, width + 2)
        for given in block.rows:
            if not self.table.bare and all(given[index] is None for index in values):
                continue
            # A copy: the same block is staged again when a batch is tried again.
            row = [*given, None, block.source, unit]
            for index, read in readers:
                if row[index] is not None:
                    row[index] = read(row[index])
            self.rows.append(ordered(row))


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
