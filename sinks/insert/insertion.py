"""Insert derived rows whose key holds their capture, inside the caller's transaction (docs/merging.md).

Such rows belong to one capture alone: they meet no others, need no history, and are copied straight into their table.
Text COPY takes the values as an outcome has them; Postgres itself refuses what a column can't hold.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from psycopg import Connection

from schemas.outcome import TableRows
from schemas.table import Column, Table

_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Encoded:
    """A block of one unit's rows as text COPY takes them: the columns that it names, how many rows, their lines."""

    unit: int
    names: Sequence[str]
    rows: int
    lines: bytes


def insert(connection: Connection, table: Table, blocks: Sequence[Encoded]) -> Counter[int]:
    """Insert the rows; return how many rows changed, per unit number.

    A row that is there already stays, what it lacks is filled: NULL never erases.
    """
    if not blocks:
        return Counter()
    try:
        with connection.transaction():
            for block in blocks:
                _copy(connection, table.name, block)
    except psycopg.errors.UniqueViolation:
        return _upsert(connection, table, blocks)
    changed: Counter[int] = Counter()
    for block in blocks:
        changed[block.unit] += block.rows
    return changed


def would_insert(connection: Connection, table: Table, blocks: Sequence[Encoded]) -> Counter[int]:
    """How many rows `insert` would change, per unit number, by a SELECT."""
    changed: Counter[int] = Counter()
    for unit, staged in _staged(connection, table, blocks):
        row = connection.execute(
            f"""SELECT count(*) FROM ({staged}) AS x LEFT JOIN {table.name} AS s USING ({_names(table.key)})
                WHERE s.{table.key[0].name} IS NULL OR {_differs(table, "x")}"""
        ).fetchone()
        assert row is not None
        changed[unit] += row[0]
    return changed


def _upsert(connection: Connection, table: Table, blocks: Sequence[Encoded]) -> Counter[int]:
    names, keys = _names((*table.key, *table.columns)), _names(table.key)
    sets = ", ".join(f"{c.name} = {_filled(c, 'excluded')}" for c in table.columns)
    changed: Counter[int] = Counter()
    for unit, staged in _staged(connection, table, blocks):
        changed[unit] += connection.execute(
            f"""INSERT INTO {table.name} AS s ({names}) {staged}
                ON CONFLICT ({keys}) DO UPDATE SET {sets} WHERE {_differs(table, "excluded")}"""
        ).rowcount
    return changed


def _staged(connection: Connection, table: Table, blocks: Sequence[Encoded]) -> Iterator[tuple[int, str]]:
    """Each block's unit and, until the next is taken, a query of its rows: one of each key, in key order."""
    if not blocks:
        return
    columns = (*table.key, *table.columns)
    stage = f"inserted_{table.name}"
    connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {stage} ({', '.join(f'{c.name} {c.type}' for c in columns)}) "
        "ON COMMIT DELETE ROWS"
    )
    keys = _names(table.key)
    for block in blocks:
        connection.execute(f"DELETE FROM {stage}")
        _copy(connection, stage, block)
        yield block.unit, f"SELECT DISTINCT ON ({keys}) {_names(columns)} FROM {stage} ORDER BY {keys}"


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(column.name for column in columns)


def _filled(column: Column, new: str) -> str:
    """The value after an insert: what the stored row `s` lacks is filled."""
    return f"coalesce(s.{column.name}, {new}.{column.name})"


def _differs(table: Table, new: str) -> str:
    return " OR ".join(f"s.{c.name} IS DISTINCT FROM {_filled(c, new)}" for c in table.columns)


def encode(table: Table, unit: int, block: TableRows) -> Encoded:
    """A unit's block; the observation that isn't a column of the table is left out.

    ValueError when it doesn't fit the table.
    """
    types = {column.name: column.type for column in (*table.key, *table.columns)}
    wanted = [at for at, name in enumerate(block.columns) if name in types]
    shared = {name: value for name, value in block.shared.items() if name in types}
    names = [*shared, *(block.columns[at] for at in wanted)]
    if unknown := {*block.columns, *block.shared} - types.keys() - {table.observed}:
        raise ValueError(f"{table.name} has no column {', '.join(sorted(unknown))}")
    if others := set(map(len, block.rows)) - {len(block.columns)}:
        raise ValueError(f"a row of {table.name} has {others.pop()} values for {len(block.columns)} columns")
    head = "".join(f"{_writer(types[name])(value)}\t" for name, value in shared.items())
    writers = [(at, _writer(types[block.columns[at]])) for at in wanted]
    lines = [head + "\t".join([write(row[at]) for at, write in writers]) for row in block.rows]
    return Encoded(unit, names, len(lines), "".join(f"{line}\n" for line in lines).encode())


def _copy(connection: Connection, target: str, block: Encoded) -> None:
    if block.rows:
        with connection.cursor().copy(f"COPY {target} ({', '.join(block.names)}) FROM STDIN") as copy:
            copy.write(block.lines)


def _text(value: object) -> str:
    if value is None:
        return _NULL
    if type(value) is not str:
        raise ValueError(f"{value!r} is no text")
    return value if value.isalnum() else value.translate(_ESCAPES)


def _plain(value: object) -> str:
    """A number as JSON has it, exactly; a day or time as text."""
    return _NULL if value is None else value if type(value) is str else repr(value)


def _json(value: object) -> str:
    return _NULL if value is None else orjson.dumps(value).decode().translate(_ESCAPES)


def _writer(type_: str) -> Callable[[Any], str]:
    """How values of a column's type are written."""
    return {"text": _text, "jsonb": _json}.get(type_, _plain)
