"""What one side says of the rows of a table, and what another one says: counted by column and by day. Reads only.

A policy says what the rows of a side are (`Policy.sides`), and how their keys are cut into pieces. Piece after piece is
joined in Postgres, and what differs is read as CSV: memory and snapshots last no longer than a piece, whatever writes
beside it.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
from psycopg import Connection

from schemas.table import Column, Table
from sinks import planner
from sinks.distances import NUMBERS, Distances, Flags, Largest, Pairs, Tolerance


class Sides(NamedTuple):
    """The two sides as SQL queries: the key's columns, `r_day` (the UTC day of the observation) and the value columns.

    `key` are the columns by which rows are the same. `pieces` gives, piece by piece in the order of keys, what else the
    queries need to be about this piece only.
    """

    key: tuple[Column, ...]
    one: str
    other: str
    parameters: Mapping[str, object]
    pieces: Callable[[Connection], Iterator[Mapping[str, object]]]


@dataclass(slots=True)
class Differing:
    """How a column differs: rows in all, those where only the other side or only this one has a value.

    Of numbers also how far: `spread` counts rows by the sign of one less the other and the power of ten of its size,
    such as (-1, -3) for one that is lower by 0.001 to 0.01; None where that is no number. `absolute_quantiles` and
    `relative_quantiles` are, by names such as p50, those of the sizes, to within 1 %.
    """

    rows: int = 0
    appears: int = 0
    vanishes: int = 0
    absolute: Largest | None = None
    relative: Largest | None = None
    spread: list[tuple[int, int | None, int]] = field(default_factory=list)
    absolute_quantiles: dict[str, float] = field(default_factory=dict)
    relative_quantiles: dict[str, float] = field(default_factory=dict)


class Example(NamedTuple):
    """A row that differs: its key as text, and both values, as text, of each column that does."""

    key: tuple[str, ...]
    values: dict[str, tuple[str | None, str | None]]


@dataclass(slots=True)
class Compared:
    """Two sides of a table: rows of both, rows that differ among them, rows of one side alone.

    `days` are, by day of the observation, rows of either side and those that differ or that one side lacks.
    """

    table: str
    key: tuple[str, ...]
    both: int = 0
    differing: int = 0
    only_one: int = 0
    only_other: int = 0
    columns: dict[str, Differing] = field(default_factory=dict)
    days: list[tuple[str, int, int]] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether both sides have the same rows and the same values."""
        return not (self.differing or self.only_one or self.only_other)


def compare(
    connection: Connection,
    table: Table,
    sides: Sides,
    columns: Sequence[Column],
    examples: int,
    tolerance: Tolerance | None = None,
) -> Compared:
    """Hold the sides against each other in these value columns; NULL and NaN equal themselves, 0.0 equals -0.0.

    Numbers within the tolerance are equal, too.
    """
    planner.by_pieces(connection)
    counting = _Counting(table.name, sides.key, columns, examples, tolerance)
    query = _differing(sides, columns)
    for piece in sides.pieces(connection):
        with connection.cursor() as cursor, cursor.copy(query, {**sides.parameters, **piece}) as copied:
            data = b"".join(copied)
        if data:
            counting.add(data)
    return counting.found()


def _differing(sides: Sides, columns: Sequence[Column]) -> str:
    """SQL for a row per key of a piece: its day, which sides have it, the key, and both values where they differ."""
    keys = ", ".join(column.name for column in sides.key)
    first = sides.key[0].name
    pairs = []
    for column in columns:
        name, text = column.name, "" if column.type in NUMBERS else "::text"
        differ = f"o.{name} IS DISTINCT FROM t.{name}"
        pairs += [f"CASE WHEN {differ} THEN {side}.{name}{text} END" for side in "ot"]
    return f"""COPY (
        SELECT coalesce(o.r_day, t.r_day), o.{first} IS NOT NULL, t.{first} IS NOT NULL, {", ".join([keys, *pairs])}
        FROM ({sides.one}) o FULL JOIN ({sides.other}) t USING ({keys}) ORDER BY {keys}) TO STDOUT (FORMAT csv)"""


class _Counting:
    """Pieces that have been read, counted."""

    def __init__(
        self, table: str, key: Sequence[Column], columns: Sequence[Column], examples: int, tolerance: Tolerance | None
    ) -> None:
        self._found = Compared(table, tuple(column.name for column in key))
        self._columns, self._examples, self._tolerance = columns, examples, tolerance
        self._differing = {column.name: Differing() for column in columns}
        self._distances = {column.name: Distances() for column in columns if column.type in NUMBERS}
        self._days: tuple[Counter[str], Counter[str]] = Counter(), Counter()
        self._keys = range(3, 3 + len(key))

    def add(self, data: bytes) -> None:
        """Take in a piece."""
        rows = _read(data, self._keys.stop + 2 * len(self._columns))
        here, there = (_flags(rows.column(place), "t") for place in (1, 2))
        both, differ = here & there, np.zeros(len(here), np.bool_)
        for place, column in enumerate(self._columns):
            pair = (rows.column(self._keys.stop + 2 * place + side) for side in (0, 1))
            differ |= self._add_column(rows, column, both, *pair)
        found = self._found
        found.both += int(both.sum())
        found.differing += int(differ.sum())
        found.only_one += int((here & ~there).sum())
        found.only_other += int((there & ~here).sum())
        apart = differ | ~both
        days = rows.column(0).fill_null("")
        for counted, of in zip(self._days, (days, days.filter(pa.array(apart))), strict=True):
            counted.update({one["values"]: one["counts"] for one in of.value_counts().to_pylist()})
        for at in np.flatnonzero(apart)[: self._examples - len(found.examples)]:
            found.examples.append(self._example(rows, int(at)))

    def _add_column(self, rows: pa.RecordBatch, column: Column, both: Flags, one: pa.Array, other: pa.Array) -> Flags:
        """Take in a column of a piece; the rows of both sides in which it differs."""
        has_one, has_other = (np.asarray(side.is_valid().to_numpy(zero_copy_only=False)) for side in (one, other))
        differ: Flags = (has_one | has_other) & both
        if not differ.any():
            return differ
        numbers = np.flatnonzero(has_one & has_other & both)
        if column.name in self._distances and len(numbers):
            pairs = Pairs(*(side.take(pa.array(numbers)) for side in (one, other)))
            if self._tolerance is not None:
                far = ~pairs.within(self._tolerance)
                differ[numbers[~far]] = False
                numbers = numbers[far]
                pairs = Pairs(*(side.take(pa.array(numbers)) for side in (one, other)))
            if len(numbers):
                self._distances[column.name].add(pairs, lambda at: self._key(rows, int(numbers[at])))
        of_column = self._differing[column.name]
        of_column.rows += int(differ.sum())
        of_column.appears += int((differ & ~has_other).sum())
        of_column.vanishes += int((differ & ~has_one).sum())
        return differ

    def _key(self, rows: pa.RecordBatch, at: int) -> tuple[str, ...]:
        return tuple(rows.column(place)[at].as_py() for place in self._keys)

    def _example(self, rows: pa.RecordBatch, at: int) -> Example:
        values = {}
        for place, column in enumerate(self._columns):
            one, other = (rows.column(self._keys.stop + 2 * place + side)[at].as_py() for side in (0, 1))
            if one is not None or other is not None:
                values[column.name] = one, other
        return Example(self._key(rows, at), values)

    def found(self) -> Compared:
        """All that was counted."""
        found = self._found
        found.columns = {name: one for name, one in self._differing.items() if one.rows}
        for name, one in found.columns.items():
            if name in self._distances:
                distances = self._distances[name]
                one.absolute, one.relative = distances.largest("absolute"), distances.largest("relative")
                ordered = sorted(
                    distances.spread.items(), key=lambda item: (item[0][0], item[0][1] is None, item[0][1])
                )
                one.spread = [(sign, power, rows) for (sign, power), rows in ordered]
                one.absolute_quantiles = distances.sizes.quantiles()
                one.relative_quantiles = distances.shares.quantiles()
        every, apart = self._days
        found.days = [(day, rows, apart[day]) for day, rows in sorted(every.items())]
        return found


def _read(data: bytes, width: int) -> pa.RecordBatch:
    """Rows as texts; what is empty and not quoted is NULL."""
    names = [str(place) for place in range(width)]
    table = csv.read_csv(
        io.BytesIO(data),
        read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return table.combine_chunks().to_batches()[0]


def _flags(column: pa.Array, true: str) -> Flags:
    return np.asarray(column.to_numpy(zero_copy_only=False) == true)
