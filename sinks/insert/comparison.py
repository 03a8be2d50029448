"""The sides of a comparison of rows that hold their capture: those of captures, or those that are shown."""

from schemas.table import CAPTURE, Table
from sinks.comparing import Sides
from sinks.policy import Compares


def sides(table: Table, one: Compares, other: Compares | None) -> Sides:
    """Rows of the newest capture of each partition on either side; without another one, those that are shown of these.

    Rows are the same by their key without the capture.
    """
    key = tuple(column for column in table.key if column.name != CAPTURE)
    parameters = {"one": list(one.captures), "other": list(other.captures) if other else None}
    first = _of(table, one, "one")
    if other is not None:
        return Sides(key, first, _of(table, other, "other"), parameters)
    if not table.partition:
        return Sides(key, first, f"{first} LIMIT 0", parameters)
    within = ", ".join(table.partition)
    latest = (
        f"SELECT {_day(table)}, r.* FROM {table.name}_latest r WHERE ({within}) IN (SELECT {within} FROM ({first}) p)"
    )
    return Sides(key, first, latest, parameters)


def undone(table: Table, one: Compares) -> Sides:
    """Rows of captures, and of the newest others of their partitions: what would be shown without them."""
    key = tuple(column for column in table.key if column.name != CAPTURE)
    first = _of(table, one, "one")
    if not table.partition:
        return Sides(key, first, f"{first} LIMIT 0", {"one": list(one.captures)})
    within = ", ".join(table.partition)
    before = f"""SELECT {_day(table)}, r.* FROM {table.name} r JOIN (
            SELECT DISTINCT ON ({within}) {within}, {CAPTURE} FROM {table.name}
            WHERE {CAPTURE} <> ALL(%(one)s) AND ({within}) IN (SELECT {within} FROM ({first}) p)
            ORDER BY {within}, {table.observed} DESC, {CAPTURE} DESC) n USING ({within}, {CAPTURE})"""
    return Sides(key, first, before, {"one": list(one.captures)})


def _of(table: Table, side: Compares, parameter: str) -> str:
    rows = table.shadow.name if side.shadow else table.name
    if not table.partition:
        return f"SELECT {_day(table)}, r.* FROM {rows} r WHERE r.{CAPTURE} = ANY(%({parameter})s)"
    within = ", ".join(table.partition)
    return f"""SELECT {_day(table)}, r.* FROM {rows} r JOIN (
            SELECT DISTINCT ON ({within}) {within}, {CAPTURE} FROM {rows} WHERE {CAPTURE} = ANY(%({parameter})s)
            ORDER BY {within}, {table.observed} DESC, {CAPTURE} DESC) n USING ({within}, {CAPTURE})"""


def _day(table: Table) -> str:
    names = {column.name for column in (*table.key, *table.columns)}
    return (
        f"(r.{table.observed} AT TIME ZONE 'UTC')::date AS r_day" if table.observed in names else "NULL::date AS r_day"
    )
