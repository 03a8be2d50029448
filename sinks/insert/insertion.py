"""Insert derived rows whose key holds their capture, inside the caller's transaction (docs/merging.md).

Such rows belong to one capture alone: they meet no others, need no history, and are copied straight into their table.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import psycopg
from psycopg import Connection

from schemas.table import Column, Table
from sinks.copying import copy

if TYPE_CHECKING:
    from sinks.insert.staging import Inserted


def insert(connection: Connection, table: Table, staged: "Inserted") -> Counter[int]:
    """Insert the rows; return how many rows changed, per unit number.

    A row that is there already stays, what it lacks is filled: NULL never erases.
    """
    if not staged.rows:
        return Counter()
    try:
        with connection.transaction():
            for rows in staged.together:
                copy(connection, table.name, rows.names, rows.encoding)
    except psycopg.errors.UniqueViolation:
        return _upsert(connection, table, staged)
    return Counter(staged.rows)


def would_insert(connection: Connection, table: Table, staged: "Inserted") -> Counter[int]:
    """How many rows `insert` would change, per unit number, by a SELECT."""
    changed: Counter[int] = Counter()
    for unit, query in _queries(connection, table, staged):
        row = connection.execute(
            f"""SELECT count(*) FROM ({query}) AS x LEFT JOIN {table.name} AS s USING ({_names(table.key)})
                WHERE s.{table.key[0].name} IS NULL OR {_differs(table, "x")}"""
        ).fetchone()
        assert row is not None
        changed[unit] += row[0]
    return changed


def _upsert(connection: Connection, table: Table, staged: "Inserted") -> Counter[int]:
    names, keys = _names((*table.key, *table.columns)), _names(table.key)
    sets = ", ".join(f"{c.name} = {_filled(c, 'excluded')}" for c in table.columns)
    changed: Counter[int] = Counter()
    for unit, query in _queries(connection, table, staged):
        changed[unit] += connection.execute(
            f"""INSERT INTO {table.name} AS s ({names}) {query}
                ON CONFLICT ({keys}) DO UPDATE SET {sets} WHERE {_differs(table, "excluded")}"""
        ).rowcount
    return changed


def _queries(connection: Connection, table: Table, staged: "Inserted") -> Iterator[tuple[int, str]]:
    """Each block's unit and, until the next is taken, a query of its rows: one of each key, in key order."""
    if not staged.rows:
        return
    columns = (*table.key, *table.columns)
    stage = f"inserted_{table.name.rpartition('.')[2]}"
    connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {stage} ({', '.join(f'{c.name} {c.type}' for c in columns)}) "
        "ON COMMIT DELETE ROWS"
    )
    keys = _names(table.key)
    for unit, rows in staged.alone():
        connection.execute(f"DELETE FROM {stage}")
        copy(connection, stage, rows.names, rows.encoding)
        yield unit, f"SELECT DISTINCT ON ({keys}) {_names(columns)} FROM {stage} ORDER BY {keys}"


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(column.name for column in columns)


def _filled(column: Column, new: str) -> str:
    """The value after an insert: what the stored row `s` lacks is filled."""
    return f"coalesce(s.{column.name}, {new}.{column.name})"


def _differs(table: Table, new: str) -> str:
    return " OR ".join(f"s.{c.name} IS DISTINCT FROM {_filled(c, new)}" for c in table.columns)
