"""What one side says of the rows of a table, and what another one says: counted by column and by day. Reads only.

A policy says what the rows of a side are (`Policy.sides`). They are joined once, and the rows that differ are kept in a
temporary table, of which everything else is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from psycopg import Connection

from schemas.table import Column, Table

_NUMBERS = ("float4", "float8", "numeric", "int2", "int4", "int8")
_KEPT = "pg_temp.compared"
_MEMORY = "128MB"


class Sides(NamedTuple):
    """The two sides as SQL queries: the key's columns, `r_day` (the UTC day of the observation) and the value columns.

    `key` are the columns by which rows are the same.
    """

    key: tuple[Column, ...]
    one: str
    other: str
    parameters: Mapping[str, object]


class Largest(NamedTuple):
    """The largest difference of a column, and the row that has it, its key as text."""

    difference: float
    key: tuple[str, ...]


@dataclass(slots=True)
class Differing:
    """How a column differs: rows in all, those where only the other side or only this one has a value.

    Of numbers also how far: `spread` counts rows by the sign of one less the other and the power of ten of its size,
    such as (-1, -3) for one that is lower by 0.001 to 0.01; None where that is no number.
    """

    rows: int
    appears: int
    vanishes: int
    absolute: Largest | None = None
    relative: Largest | None = None
    spread: list[tuple[int, int | None, int]] = field(default_factory=list)


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


def compare(connection: Connection, table: Table, sides: Sides, columns: Sequence[Column], examples: int) -> Compared:
    """Hold the sides against each other in these value columns; NULL and NaN equal themselves, 0.0 equals -0.0."""
    key = [column.name for column in sides.key]
    found = Compared(table.name, tuple(key))
    with connection.transaction():
        connection.execute(f"SET LOCAL work_mem = '{_MEMORY}'")
        connection.execute(f"DROP TABLE IF EXISTS {_KEPT}")
        connection.execute(_keep(sides, key, columns), sides.parameters)
        rows = connection.execute(
            f"SELECT coalesce(r_day::text, ''), r_rows FROM {_KEPT} WHERE r_equal ORDER BY 1"
        ).fetchall()
        found.days = [(day, count, 0) for day, count in rows]
        found.both = sum(count for _, count in rows)
        _count(connection, found, columns)
        for column in columns:
            if column.name in found.columns and column.type in _NUMBERS:
                _measure(connection, found.columns[column.name], column.name, key)
        found.examples = _examples(connection, key, columns, examples) if examples else []
        connection.execute(f"DROP TABLE {_KEPT}")
    return found


def _keep(sides: Sides, key: Sequence[str], columns: Sequence[Column]) -> str:
    """SQL for the rows that differ, and of those that are equal how many there are by day."""
    names = [column.name for column in columns]
    differ = " OR ".join(f"o.{name} IS DISTINCT FROM t.{name}" for name in names) or "false"
    values = "".join(f", o.{name} AS o_{name}, t.{name} AS t_{name}" for name in names)
    none = "".join(f", NULL::{column.type}, NULL::{column.type}" for column in columns)
    keys = "".join(f", {name}" for name in key)
    no_key = "".join(f", NULL::{column.type}" for column in sides.key)
    joined = f"""SELECT coalesce(o.r_day, t.r_day) AS r_day, o.r_here IS NOT NULL AS r_one,
                   t.r_here IS NOT NULL AS r_other, {differ} AS r_differ{keys}{values}
            FROM (SELECT true AS r_here, * FROM ({sides.one}) o) o
            FULL JOIN (SELECT true AS r_here, * FROM ({sides.other}) t) t USING ({", ".join(key)})"""
    kept = "".join(f", o_{name}, t_{name}" for name in names)
    return f"""
        CREATE TEMP TABLE compared ON COMMIT DROP AS
        WITH joined AS ({joined}),
        counted AS (
            SELECT r_day, count(*) AS r_rows FROM joined WHERE r_one AND r_other AND NOT r_differ GROUP BY r_day)
        SELECT false AS r_equal, r_day, 1::int8 AS r_rows, r_one, r_other{keys}{kept}
        FROM joined WHERE r_differ OR NOT r_one OR NOT r_other
        UNION ALL SELECT true, r_day, r_rows, true, true{no_key}{none} FROM counted"""


def _count(connection: Connection, found: Compared, columns: Sequence[Column]) -> None:
    counts = []
    for name in (column.name for column in columns):
        both = "r_one AND r_other"
        counts += [
            f"count(*) FILTER (WHERE {both} AND o_{name} IS DISTINCT FROM t_{name})",
            f"count(*) FILTER (WHERE {both} AND o_{name} IS NOT NULL AND t_{name} IS NULL)",
            f"count(*) FILTER (WHERE {both} AND o_{name} IS NULL AND t_{name} IS NOT NULL)",
        ]
    row = connection.execute(
        f"""SELECT {
            ", ".join(
                [
                    "count(*) FILTER (WHERE r_one AND r_other)",
                    "count(*) FILTER (WHERE NOT r_other)",
                    "count(*) FILTER (WHERE NOT r_one)",
                    *counts,
                ]
            )
        }
            FROM {_KEPT} WHERE NOT r_equal"""
    ).fetchone()
    assert row is not None
    found.differing, found.only_one, found.only_other, *rest = row
    found.both += found.differing
    for place, column in enumerate(columns):
        rows, appears, vanishes = rest[3 * place : 3 * place + 3]
        if rows:
            found.columns[column.name] = Differing(rows, appears, vanishes)
    days = {day: [rows, 0] for day, rows, _ in found.days}
    for day, rows in connection.execute(
        f"SELECT coalesce(r_day::text, ''), count(*) FROM {_KEPT} WHERE NOT r_equal GROUP BY 1"
    ):
        of_day = days.setdefault(day, [0, 0])
        of_day[0] += rows
        of_day[1] += rows
    found.days = [(day, whole, differing) for day, (whole, differing) in sorted(days.items())]


def _measure(connection: Connection, column: Differing, name: str, key: Sequence[str]) -> None:
    """How far the numbers of a column are apart. As decimals: a difference of doubles may overflow."""
    one, other = (f"{side}_{name}::text::numeric" for side in ("o", "t"))
    apart = f"""SELECT {", ".join(f"{part}::text AS k_{part}" for part in key)}, {one} - {other} AS apart,
                       greatest(abs({one}), abs({other})) AS size
                FROM {_KEPT} WHERE r_one AND r_other AND o_{name} IS DISTINCT FROM t_{name}
                  AND o_{name} IS NOT NULL AND t_{name} IS NOT NULL"""
    keys = ", ".join(f"k_{part}" for part in key)
    spread = connection.execute(
        f"""SELECT sign(apart)::int, CASE WHEN abs(apart) <> 'Infinity' AND apart <> 0
                                          THEN floor(log(abs(apart)))::int END AS power, count(*)
            FROM ({apart}) a WHERE apart <> 'NaN' GROUP BY 1, 2
            UNION ALL SELECT 0, NULL, count(*) FROM ({apart}) a WHERE apart = 'NaN' HAVING count(*) > 0 ORDER BY 1, 2"""
    )
    column.spread = [(sign, power, rows) for sign, power, rows in spread]

    def largest(size: str) -> Largest | None:
        row = connection.execute(
            f"""SELECT {size}, ARRAY[{keys}] FROM ({apart}) a WHERE apart <> 'NaN' AND {size} IS NOT NULL
                ORDER BY 1 DESC, {keys} LIMIT 1"""
        ).fetchone()
        return None if row is None else Largest(float(row[0]), tuple(row[1]))

    column.absolute = largest("abs(apart)")
    column.relative = largest("CASE WHEN size NOT IN (0, 'Infinity') THEN abs(apart) / size END")


def _examples(connection: Connection, key: Sequence[str], columns: Sequence[Column], limit: int) -> list[Example]:
    keys = ", ".join(f"{name}::text" for name in key)
    pairs = ", ".join(
        f"CASE WHEN o_{c.name} IS DISTINCT FROM t_{c.name} THEN ARRAY[o_{c.name}::text, t_{c.name}::text] END"
        for c in columns
    )
    rows: list[tuple[Any, ...]] = connection.execute(
        f"""SELECT ARRAY[{keys}], ARRAY(SELECT 1 WHERE false){"," if pairs else ""} {pairs} FROM {_KEPT}
            WHERE NOT r_equal ORDER BY {", ".join(key)} LIMIT %s""",
        [limit],
    ).fetchall()
    return [
        Example(
            tuple(place), {c.name: tuple(pair) for c, pair in zip(columns, pairs_, strict=True) if pair is not None}
        )
        for place, _, *pairs_ in rows
    ]
