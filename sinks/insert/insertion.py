"""Insert derived rows whose key holds their capture, inside the caller's transaction (docs/merging.md).

Such rows belong to one capture alone: they meet no others, need no history, and are copied straight into their table.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
import pyarrow as pa
from psycopg import Connection

from schemas import arrow
from schemas.outcome import TableRows
from schemas.table import Column, Table
from sinks.copying import copy, encoded


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as binary COPY takes them, `names` are their columns."""

    names: str
    encoding: bytes


@dataclass(frozen=True, slots=True)
class Inserted:
    """Blocks of one table, each with its unit's number; `together` are all their rows, by the columns they have."""

    blocks: Sequence[tuple[int, pa.RecordBatch]]
    together: Sequence[Encoded]


def stage(table: Table, blocks: Sequence[tuple[int, TableRows]]) -> Inserted:
    """Make blocks ready; an observation that is no column of the table is left out. ValueError when one doesn't fit."""
    own = {column.name for column in (*table.key, *table.columns)}
    fitted = []
    by_columns = defaultdict(list)
    for unit, block in blocks:
        rows = arrow.fitted(table, block.batch)
        rows = rows.select([name for name in rows.schema.names if name in own])
        if rows.num_rows:
            fitted.append((unit, rows))
            by_columns[tuple(rows.schema.names)].append(rows)
    return Inserted(fitted, [_encoded(pa.concat_batches(batches)) for batches in by_columns.values()])


def insert(connection: Connection, table: Table, staged: Inserted) -> Counter[int]:
    """Insert the rows; return how many rows changed, per unit number.

    A row that is there already stays, what it lacks is filled: NULL never erases.
    """
    if not staged.blocks:
        return Counter()
    try:
        with connection.transaction():
            for rows in staged.together:
                copy(connection, table.name, rows.names, rows.encoding)
    except psycopg.errors.UniqueViolation:
        return _upsert(connection, table, staged)
    changed: Counter[int] = Counter()
    for unit, block in staged.blocks:
        changed[unit] += block.num_rows
    return changed


def would_insert(connection: Connection, table: Table, staged: Inserted) -> Counter[int]:
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


def _upsert(connection: Connection, table: Table, staged: Inserted) -> Counter[int]:
    names, keys = _names((*table.key, *table.columns)), _names(table.key)
    sets = ", ".join(f"{c.name} = {_filled(c, 'excluded')}" for c in table.columns)
    changed: Counter[int] = Counter()
    for unit, query in _queries(connection, table, staged):
        changed[unit] += connection.execute(
            f"""INSERT INTO {table.name} AS s ({names}) {query}
                ON CONFLICT ({keys}) DO UPDATE SET {sets} WHERE {_differs(table, "excluded")}"""
        ).rowcount
    return changed


def _queries(connection: Connection, table: Table, staged: Inserted) -> Iterator[tuple[int, str]]:
    """Each block's unit and, until the next is taken, a query of its rows: one of each key, in key order."""
    if not staged.blocks:
        return
    columns = (*table.key, *table.columns)
    stage = f"inserted_{table.name}"
    connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {stage} ({', '.join(f'{c.name} {c.type}' for c in columns)}) "
        "ON COMMIT DELETE ROWS"
    )
    keys = _names(table.key)
    for unit, block in staged.blocks:
        connection.execute(f"DELETE FROM {stage}")
        rows = _encoded(block)
        copy(connection, stage, rows.names, rows.encoding)
        yield unit, f"SELECT DISTINCT ON ({keys}) {_names(columns)} FROM {stage} ORDER BY {keys}"


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(column.name for column in columns)


def _filled(column: Column, new: str) -> str:
    """The value after an insert: what the stored row `s` lacks is filled."""
    return f"coalesce(s.{column.name}, {new}.{column.name})"


def _differs(table: Table, new: str) -> str:
    return " OR ".join(f"s.{c.name} IS DISTINCT FROM {_filled(c, new)}" for c in table.columns)


def _encoded(rows: pa.RecordBatch) -> Encoded:
    return Encoded(", ".join(rows.schema.names), encoded(rows))
