"""Merge one capture's staged rows into one table, inside the caller's transaction (docs/merging.md).

The order is what makes it safe beside other writers: lock the keys in key order, draw the arrival, keep the history,
then write. The usual merge is one statement; keys that it can't judge are folded again from their history.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import Connection

from schemas.table import Mode, Table
from sinks.staging import Staged
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
            copy.set_types(sql.copied_types)
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
        deleted = _delete_unsupported(connection, sql)
        written.update(connection.execute(sql.write_folded, parameters).fetchall())
        connection.execute(sql.adopt_folded)
        if deleted and connection.execute(sql.foreign(keys)).fetchone() == (0,):
            return written
        # A row was inserted from outside where there was none to lock, or others refer to a row that nothing else
        # supports: it gets its entry and is folded in.
        before = draw_arrival(connection)
    raise psycopg.errors.SerializationFailure(f"rows of {sql.serving} are inserted from outside faster than merged")


def _delete_unsupported(connection: Connection, sql: Statements) -> bool:
    """Delete folded rows that nothing supports; False when rows of other tables refer to some of them, which stay."""
    try:
        with connection.transaction():
            connection.execute(sql.delete_folded)
    except psycopg.errors.ForeignKeyViolation:
        for key in connection.execute(sql.unsupported).fetchall():
            with suppress(psycopg.errors.ForeignKeyViolation), connection.transaction():
                connection.execute(sql.delete_key, key)
        return False
    return True


def draw_arrival(connection: Connection) -> int:
    """The next arrival; drawn only when the keys are locked."""
    row = connection.execute("SELECT nextval('rederive.arrival')").fetchone()
    assert row is not None
    return int(row[0])
