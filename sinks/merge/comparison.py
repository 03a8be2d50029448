"""The sides of a comparison of a merged table: what a capture says by itself, what is served, what would be served."""

from functools import partial

from psycopg import Connection

from schemas.table import Table
from sinks.comparing import Sides
from sinks.merge.merging import folding
from sinks.merge.promised import promised
from sinks.merge.ranges import pieces
from sinks.policy import NEWEST, Compares
from store.rows import value


def sides(connection: Connection, table: Table, one: Compares, other: Compares | None) -> Sides:
    """Of one capture and of another; or of one in shadow and of what is served, as if it had been promoted now.

    A capture that is served already stands against what is served by what it says itself.
    """
    sql = folding(table)
    within = sql.within("h")
    parameters: dict[str, object] = {"capture": one.run, "other": other.run if other else None}
    by_pieces = partial(pieces, table=table, runs=[side.run for side in (one, other) if side])
    if other is not None:
        return Sides(
            table.key,
            _alone(connection, table, one.run, "capture", within),
            _alone(connection, table, other.run, "other", within),
            parameters,
            by_pieces,
        )
    # What a shadow says nothing of is not promoted.
    own = f"h.capture_id = %(capture)s AND {within}"
    if one.shadow:
        own += f" AND h.arrival IS NULL AND {sql.arriving(clears=False)}"
    said = f"(SELECT DISTINCT {sql.keys} FROM {sql.history} h WHERE {own})"
    names = ", ".join(f"s.{name}" for name in (*sql.key, *sql.columns))
    served = f"""SELECT NULL::date AS r_day, {names} FROM {said} q, {sql.lookup(sql.serving, "s", "q")}"""
    if not one.shadow:
        alone = _alone(connection, table, one.run, "capture", within)
        return Sides(table.key, alone, served, parameters, by_pieces)
    coming = f"""SELECT (f.r_observed AT TIME ZONE 'UTC')::date AS r_day, {sql.of("f", [*sql.key, *sql.columns])}
        FROM ({promised(sql, clears=False)}) f"""
    return Sides(table.key, coming, served, {**parameters, "number": NEWEST, "clear": None}, by_pieces)


def as_found(table: Table) -> str:
    """The rows that were there before any capture: baselines, and what is served without one."""
    sql = folding(table)
    names = ", ".join((*sql.key, *sql.columns))
    return f"""(SELECT {names} FROM {sql.baseline} WHERE present UNION ALL
                SELECT {names} FROM {sql.serving} s
                WHERE NOT EXISTS (SELECT FROM {sql.baseline} b WHERE {sql.on("b", "s")})) f"""


def undone(table: Table, one: Compares) -> Sides:
    """What is served of the keys that a capture has merged, and what would be if its entries were taken out."""
    sql = folding(table)
    page = f"""SELECT {sql.keys}, max(observed) AS observed FROM {sql.history} h
        WHERE capture_id = %(without)s AND arrival IS NOT NULL AND {sql.within("h")} GROUP BY {sql.keys}"""
    names = ", ".join(f"s.{name}" for name in (*sql.key, *sql.columns))
    day = "(q.observed AT TIME ZONE 'UTC')::date AS r_day"
    served = f"SELECT {day}, {names} FROM ({page}) q, {sql.lookup(sql.serving, 's', 'q')}"
    folded = ", ".join(f"f.{name}" for name in (*sql.key, *sql.columns))
    without = f"""SELECT NULL::date AS r_day, {folded}
        FROM ({sql.fold(f"({page}) touched", without_capture=True)}) f JOIN {sql.serving} s ON {sql.on("s", "f")}
        WHERE f.entries > 0 OR f.present"""
    return Sides(table.key, served, without, {"without": one.run}, partial(pieces, table=table, runs=[one.run]))


def _alone(connection: Connection, table: Table, run: str, parameter: str, within: str) -> str:
    """What a capture says of each key by itself: the first value of its own entries, by precedence."""
    sql = folding(table)
    repeated = value(
        connection,
        f"""SELECT EXISTS (SELECT FROM {sql.history} WHERE capture_id = %s
                           GROUP BY {sql.keys} HAVING count(*) > 1)""",
        [run],
    )
    return sql.alone(parameter, within, repeated=bool(repeated))
