"""The sides of a comparison of rows that hold their capture: those of captures, or those that are shown."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import takewhile

from psycopg import Connection

from schemas.table import CAPTURE, Column, Table
from sinks.comparing import Sides
from sinks.policy import Compares


def sides(table: Table, one: Compares, other: Compares | None) -> Sides:
    """Rows of the newest capture of each partition on either side; without another one, those that are shown of these.

    Rows are the same by their key without the capture.
    """
    key = tuple(column for column in table.key if column.name != CAPTURE)
    parameters = {"one": list(one.captures), "other": list(other.captures) if other else None}
    first = _of(table, one, "one")
    pieces = partial(_pieces, table=table, one=one, other=other)
    if other is not None:
        return Sides(key, first, _of(table, other, "other"), parameters, pieces)
    if not table.partition:
        return Sides(key, first, f"{first} LIMIT 0", parameters, pieces)
    within = ", ".join(table.partition)
    latest = f"""SELECT {_day(table)}, r.* FROM {table.name}_latest r
        WHERE {_within(table, "r")} AND ({within}) IN (SELECT {within} FROM ({first}) p)"""
    return Sides(key, first, latest, parameters, pieces)


def undone(table: Table, one: Compares) -> Sides:
    """Rows of captures, and of the newest others of their partitions: what would be shown without them."""
    key = tuple(column for column in table.key if column.name != CAPTURE)
    first, parameters = _of(table, one, "one"), {"one": list(one.captures)}
    pieces = partial(_pieces, table=table, one=one, other=None)
    if not table.partition:
        return Sides(key, first, f"{first} LIMIT 0", parameters, pieces)
    within = ", ".join(table.partition)
    before = f"""SELECT {_day(table)}, r.* FROM {table.name} r JOIN (
            SELECT DISTINCT ON ({within}) {within}, {CAPTURE} FROM {table.name} c
            WHERE {CAPTURE} <> ALL(%(one)s) AND {_within(table, "c")}
                AND ({within}) IN (SELECT {within} FROM ({first}) p)
            ORDER BY {within}, {table.observed} DESC, {CAPTURE} DESC) n USING ({within}, {CAPTURE})
        WHERE {_within(table, "r")}"""
    return Sides(key, first, before, parameters, pieces)


def _of(table: Table, side: Compares, parameter: str) -> str:
    rows = _rows(table, side)
    if not table.partition:
        return f"SELECT {_day(table)}, r.* FROM {rows} r WHERE r.{CAPTURE} = ANY(%({parameter})s)"
    within = ", ".join(table.partition)
    return f"""SELECT {_day(table)}, r.* FROM {rows} r JOIN (
            SELECT DISTINCT ON ({within}) {within}, {CAPTURE} FROM {rows} c
            WHERE {CAPTURE} = ANY(%({parameter})s) AND {_within(table, "c")}
            ORDER BY {within}, {table.observed} DESC, {CAPTURE} DESC) n USING ({within}, {CAPTURE})
        WHERE {_within(table, "r")}"""


def _rows(table: Table, side: Compares) -> str:
    return table.shadow.name if side.shadow else table.name


def _cut(table: Table) -> list[Column]:
    """The columns of which a piece is a value: the first of the key, as far as a partition has them."""
    return list(takewhile(lambda column: column.name in table.partition, table.key))


def _within(table: Table, alias: str) -> str:
    return " AND ".join(f"{alias}.{one.name} = %(r_{one.name})s::text::{one.type}" for one in _cut(table)) or "true"


def _pieces(
    connection: Connection, table: Table, one: Compares, other: Compares | None
) -> Iterator[Mapping[str, object]]:
    """The partitions that a side has rows of, in their order; where there are none, all at once."""
    cut = _cut(table)
    if not cut:
        yield {}
        return
    names = ", ".join(column.name for column in cut)
    sides = [side for side in (one, other) if side]
    held = " UNION ".join(
        f"SELECT DISTINCT {names} FROM {_rows(table, side)} WHERE {CAPTURE} = ANY(%s)" for side in sides
    )
    texts = ", ".join(f"{column.name}::text" for column in cut)
    found = connection.execute(
        f"SELECT {texts} FROM ({held}) h ORDER BY {', '.join(f'h.{column.name}' for column in cut)}",
        [list(side.captures) for side in sides],
    ).fetchall()
    for row in found:
        yield {f"r_{column.name}": part for column, part in zip(cut, row, strict=True)}


def _day(table: Table) -> str:
    names = {column.name for column in (*table.key, *table.columns)}
    return (
        f"(r.{table.observed} AT TIME ZONE 'UTC')::date AS r_day" if table.observed in names else "NULL::date AS r_day"
    )
