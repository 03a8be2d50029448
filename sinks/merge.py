"""Merge one capture's staged rows into one table, inside the caller's transaction (docs/merging.md).

The order is what makes it safe beside other writers: lock the keys in key order, draw the arrival, keep the history,
then write. The usual merge is one statement; keys that it can't judge are folded again from their history.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import Connection

from schemas.outcome import TableRows
from schemas.table import Mode, Table
from sinks.statements import Statements

# Joins of a small stage with big tables must go by index; the planner guesses otherwise while the tables are young.
_PLANNER = """
    SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off;
    SET LOCAL jit = off
"""
_ROUNDS = 5


@lru_cache
def statements(table: Table) -> Statements:
    """The table's statements, built once."""
    return Statements(table)


@dataclass(frozen=True, slots=True)
class Writer:
    """The capture on whose behalf rows are written."""

    capture_id: str
    number: int
    mode: Mode
    derivation_version: int
    dry_run: bool = False


class Staged:
    """Rows of one table on their way into the stage, each with its unit's number in this batch."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows: list[tuple[Any, ...]] = []
        self._names = [column.name for column in (*table.key, *table.columns)]
        self._values = {column.name for column in table.values}
        self._times = {c.name for c in (*table.key, *table.columns) if c.type == "timestamptz"}

    def add(self, unit: int, block: TableRows) -> None:
        """Stage a block of derived rows; a row without any value says nothing and is left out.

        ValueError when the block has unknown columns, or rows of another length.
        """
        if unknown := set(block.columns) - set(self._names):
            raise ValueError(f"{self.table.name} has no column {', '.join(sorted(unknown))}")
        at = {name: index for index, name in enumerate(block.columns)}
        width = len(block.columns)
        values = [at[name] for name in block.columns if name in self._values]
        times = [at[name] for name in block.columns if name in self._times]
        observed = at[self.table.observed]
        key = [at[column.name] for column in self.table.key]
        # A row is put together from its block by position; absent columns take the None appended to it.
        order = [at.get(column.name, width) for column in self.table.columns]
        for given in block.rows:
            if len(given) != width:
                raise ValueError(f"a row of {self.table.name} has {len(given)} values for {width} columns")
            if all(given[index] is None for index in values):
                continue
            # A copy: the same block is staged again when a batch is tried again.
            row = [*given, None]
            for index in times:
                if row[index] is not None:
                    row[index] = datetime.fromisoformat(row[index])
            self.rows.append((*[row[i] for i in key], block.source, row[observed], *[row[i] for i in order], unit))


def prepare(connection: Connection, tables: tuple[Table, ...]) -> None:
    """Make the temporary tables that merging needs, once a connection and outside any transaction."""
    # A plan kept from when the tables were empty would be used for ever.
    connection.prepare_threshold = None
    for table in tables:
        connection.execute(statements(table).make_temporary)


def merge(connection: Connection, staged: Staged, writer: Writer) -> Counter[int]:
    """Merge the staged rows; return how many rows changed, per unit number.

    With a dry run nothing is written and the changes are counted by a SELECT.
    """
    sql = statements(staged.table)
    if not staged.rows:
        return Counter()
    connection.execute(_PLANNER)
    with connection.cursor() as cursor:
        with cursor.copy(sql.copy) as copy:
            copy.set_types(sql.staged_types)
            for row in staged.rows:
                copy.write_row(row)
        cursor.execute(sql.analyse)
        if writer.dry_run:
            return Counter(dict(cursor.execute(sql.count_changes(writer.mode)).fetchall()))
        return _merge_staged(connection, sql, writer, len(staged.rows))


def lock(connection: Connection, sql: Statements, keys: str, rows: int = 0) -> bool:
    """Lock the keys of the table `keys`; whether all of its `rows` are keys that no capture has touched before."""
    if connection.execute(sql.insert_baseline(keys)).rowcount == rows > 0:
        # Their baselines are ours alone until we commit.
        return True
    connection.execute(sql.lock_baseline(keys))
    return False


def _merge_staged(connection: Connection, sql: Statements, writer: Writer, rows: int) -> Counter[int]:
    untouched = lock(connection, sql, sql.stage, rows)
    before, arrival = draw_arrival(connection), draw_arrival(connection)
    parameters = {
        "capture": writer.capture_id,
        "version": writer.derivation_version,
        "number": writer.number,
        "arrival": arrival,
    }
    if connection.execute(sql.insert_history, parameters).rowcount < rows:
        connection.execute(sql.unstage_repeats, parameters)
    # Untouched keys have no history that could outrank the rows; a row that goes meanwhile is found as foreign.
    slow = 0 if untouched else connection.execute(sql.mark_slow(writer.mode), parameters).rowcount
    changed: Counter[int] = Counter(dict(connection.execute(sql.upsert(writer.mode), parameters).fetchall()))
    slow += connection.execute(sql.mark_foreign).rowcount
    if slow:
        written = refold(connection, sql, sql.slow, before, writer)
        unit = {row[:-1]: row[-1] for row in connection.execute(f"SELECT {sql.keys}, unit FROM {sql.stage}")}
        changed.update(unit[key] for key in written)
    return changed


def note_outside(connection: Connection, sql: Statements, keys: str, before: int) -> None:
    """Lock the rows of the locked keys, and make entries of what was written to them from outside."""
    connection.execute(f"DELETE FROM {sql.locked}")
    connection.execute(sql.lock_serving(keys))
    connection.execute(sql.note_outside(keys), {"before": before})


def refold(
    connection: Connection, sql: Statements, keys: str, before: int | None, writer: Writer | None
) -> set[tuple[Any, ...]]:
    """Fold the locked keys of the table `keys` again and write what differs; return the keys that changed.

    `before` is the arrival of what was written from outside; None when that has been noted already. Without a writer a
    changed row names the last capture among those left.
    """
    parameters = {
        "capture": writer.capture_id if writer else None,
        "version": writer.derivation_version if writer else None,
    }
    written: set[tuple[Any, ...]] = set()
    for _ in range(_ROUNDS):
        if before is not None:
            note_outside(connection, sql, keys, before)
        connection.execute(f"DELETE FROM {sql.folded}")
        connection.execute(sql.refold(keys))
        connection.execute(sql.delete_folded)
        written.update(connection.execute(sql.write_folded, parameters).fetchall())
        connection.execute(sql.adopt_folded)
        if connection.execute(sql.foreign(keys)).fetchone() == (0,):
            return written
        # A row was inserted from outside where there was none to lock: it gets its entry and is folded in.
        before = draw_arrival(connection)
    raise psycopg.errors.SerializationFailure(f"rows of {sql.serving} are inserted from outside faster than merged")


def draw_arrival(connection: Connection) -> int:
    """The next arrival; drawn only when the keys are locked."""
    row = connection.execute("SELECT nextval('rederive.arrival')").fetchone()
    assert row is not None
    return int(row[0])
