"""Two versions of a calculation side by side, on what is stored of both (finra spec, section 7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from rederive.finra.partitions import Partitions
from schemas.finra.row_equality import INPUT_PREFIX
from schemas.finra.tables import FINRA
from schemas.finra.versions import Calc
from schemas.table import Column

_EXAMPLES = 5
_NUMERIC = ("int4", "int8", "float8")
_EXACT = ("int4", "int8")


@dataclass(frozen=True, slots=True)
class Difference:
    """How a column differs between the rows that both versions have.

    `relative` is by the first version's value, of rows where that isn't 0. Both are None where no row can say it.
    """

    column: str
    rows: int
    absolute: float | None
    relative: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows of two versions, joined on business key and the capture that they were computed from.

    Counts are (in both, in the first only, in the second only): of rows, and of inputs, which are captures of
    partitions. `only_first` and `only_second` are the first keys of inputs that both versions have.
    """

    calc: str
    versions: tuple[str, str]
    rows: tuple[int, int, int]
    inputs: tuple[int, int, int]
    only_first: list[list[Any]]
    only_second: list[list[Any]]
    differences: list[Difference]


def compare(connection: Connection, calc: Calc, first: str, second: str, asked: Partitions) -> Comparison:
    """Compare what is stored of two versions of a calculation.

    Of several captures that computed a version of the same input the latest counts.
    """
    table = FINRA.table(calc.table)
    columns = [column for column in table.values if not column.name.startswith(INPUT_PREFIX)]
    with connection.transaction():
        for name, version in (("versions_first", first), ("versions_second", second)):
            _pick(connection, name, calc, [column.name for column in columns], version, asked)
        rows = _counts(connection, [*calc.business_keys, "input"])
        inputs = _counts(connection, ["week_ending", "tier", "input"])
        only_first = _only(connection, calc, "versions_first", "versions_second")
        only_second = _only(connection, calc, "versions_second", "versions_first")
        differences = _differences(connection, calc, columns)
        connection.execute("DROP TABLE versions_first, versions_second")
    return Comparison(calc.name, (first, second), rows, inputs, only_first, only_second, differences)


def _pick(
    connection: Connection, name: str, calc: Calc, columns: Sequence[str], version: str, asked: Partitions
) -> None:
    """The rows of a version, the latest of each key and input, as a temporary table."""
    keys = _names(calc.business_keys)
    connection.execute(
        sql.SQL(
            """CREATE TEMP TABLE {name} AS
               SELECT DISTINCT ON ({keys}, input) {keys}, coalesce(input_capture_id, capture_id) AS input, {columns}
               FROM {table} WHERE calc_version = {version} AND {where}
               ORDER BY {keys}, input, captured_at DESC, capture_id DESC"""
        ).format(
            name=sql.Identifier(name),
            keys=keys,
            columns=_names(columns),
            table=sql.Identifier(calc.table),
            version=sql.Literal(version),
            where=asked.of_rows(),
        )
    )
    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _counts(connection: Connection, keys: Sequence[str]) -> tuple[int, int, int]:
    row = connection.execute(
        sql.SQL(
            """SELECT count(*) FILTER (WHERE a.input IS NOT NULL AND b.input IS NOT NULL),
                      count(*) FILTER (WHERE b.input IS NULL), count(*) FILTER (WHERE a.input IS NULL)
               FROM (SELECT DISTINCT {keys} FROM versions_first) a
               FULL JOIN (SELECT DISTINCT {keys} FROM versions_second) b USING ({keys})"""
        ).format(keys=_names(keys))
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def _only(connection: Connection, calc: Calc, one: str, other: str) -> list[list[Any]]:
    """The first keys that one version has and the other hasn't, of inputs that both have."""
    rows = connection.execute(
        sql.SQL(
            """SELECT {keys}, input FROM {one} a WHERE input IN (SELECT input FROM {other})
               AND NOT EXISTS (SELECT FROM {other} b WHERE ({mine}) = ({theirs}))
               ORDER BY {keys}, input LIMIT {limit}"""
        ).format(
            keys=_names(calc.business_keys),
            one=sql.Identifier(one),
            other=sql.Identifier(other),
            mine=_of("a", (*calc.business_keys, "input")),
            theirs=_of("b", (*calc.business_keys, "input")),
            limit=_EXAMPLES,
        )
    )
    return [list(row) for row in rows]


def _of(alias: str, names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, name) for name in names)


def _differences(connection: Connection, calc: Calc, columns: Sequence[Column]) -> list[Difference]:
    """Each column, in one pass over the rows that both versions have."""
    parts: list[sql.Composable] = []
    for column in columns:
        a, b = sql.Identifier("a", column.name), sql.Identifier("b", column.name)
        parts.append(sql.SQL("count(*) FILTER (WHERE {} IS DISTINCT FROM {})").format(a, b))
        if column.type in _NUMERIC:
            # Whole numbers are taken as such: a double would round beyond 2^53.
            type_ = sql.SQL("numeric" if column.type in _EXACT else "float8")
            by = sql.SQL("abs({}::{t} - {}::{t})").format(a, b, t=type_)
            parts += [
                sql.SQL("max({})").format(by),
                sql.SQL("max({} / nullif(abs({}::{t}), 0))").format(by, a, t=type_),
            ]
        else:
            parts += [sql.SQL("NULL"), sql.SQL("NULL")]
    row = connection.execute(
        sql.SQL("SELECT {parts} FROM versions_first a JOIN versions_second b USING ({keys})").format(
            parts=sql.SQL(", ").join(parts), keys=_names([*calc.business_keys, "input"])
        )
    ).fetchone()
    assert row is not None
    return [
        Difference(column.name, row[3 * at], _number(row[3 * at + 1], column), _number(row[3 * at + 2]))
        for at, column in enumerate(columns)
    ]


def _number(value: Any, column: Column | None = None) -> float | None:  # noqa: ANN401 - as the database gives it
    if value is None:
        return None
    return int(value) if column is not None and column.type in _EXACT else float(value)
