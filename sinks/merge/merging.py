"""Merge one capture's staged rows into one table, inside the caller's transaction (docs/merging.md).

The order is what makes it safe beside other writers: lock the keys in key order, draw the arrival, keep the history,
then write. The usual merge is one statement; keys that it can't judge are folded again from their history.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import Connection

from schemas.outcome import Key
from schemas.table import Mode, Table
from sinks import planner
from sinks.copying import copy
from sinks.merge.folding import Folding
from sinks.merge.statements import ARRIVALS, Statements
from sinks.policy import Writer

if TYPE_CHECKING:
    from sinks.merge.staging import Staged

_ROUNDS = 5


@lru_cache
def statements(table: Table) -> Statements:
    """The table's statements, built once."""
    return Statements(table)


@lru_cache
def folding(table: Table) -> Folding:
    """Those of folding."""
    return Folding(table)


@dataclass(frozen=True, slots=True)
class Arrived:
    """When something is merged: the arrival of what was written from outside before, and its own.

    `clears` says whether any capture clears.
    """

    before: int
    arrival: int
    clears: bool

    def of(self, writer: Writer) -> dict[str, Any]:
        """What statements need of it and of whoever writes."""
        return {
            "capture": writer.capture_id,
            "version": writer.derivation_version,
            "number": writer.number,
            "arrival": self.arrival,
        }


@dataclass(slots=True)
class Refolded:
    """Keys whose rows have changed, and how many rows were deleted."""

    changed: set[Key] = field(default_factory=set)
    deleted: int = 0


def prepare(connection: Connection, tables: tuple[Table, ...]) -> None:
    """Make the temporary tables that merging needs, once a connection and outside any transaction."""
    planner.by_index(connection)
    for table in tables:
        connection.execute(statements(table).make_temporary)


def merge(connection: Connection, staged: "Staged", writer: Writer) -> Counter[int]:
    """Merge the staged rows; return how many rows changed, per unit number.

    With a dry run nothing is written and the changes are counted by a SELECT.
    """
    if not staged:
        return Counter()
    sql = statements(staged.table)
    copy(connection, sql.stage, ", ".join(sql.staged), staged.copied)
    if writer.dry_run:
        mode = Mode.SUPERSEDE if writer.mode is Mode.SHADOW else writer.mode
        counting = sql.count_changes(mode, clears=bool(writer.clear))
        return staged.units(connection.execute(counting, {"clear": list(writer.clear)}).fetchall())
    if writer.mode is Mode.SHADOW:
        return staged.units(_keep_shadow(connection, sql, writer))
    return staged.units(_merge_staged(connection, staged, writer))


def lock(connection: Connection, sql: Statements, keys: str) -> int:
    """Lock the keys of the table `keys`; how many of them no capture had touched before."""
    return connection.execute(sql.lock(keys)).rowcount


def _merge_staged(connection: Connection, staged: "Staged", writer: Writer) -> set[Key]:
    """Merge what is copied into the stage; return the keys of rows that changed."""
    table, keys = staged.table, staged.keys
    sql = statements(table)
    if writer.mode is Mode.FILL:
        # Fills meet rows that no capture has touched, mostly.
        # Its plan lasts; there is but one way to look keys up one by one.
        made = connection.execute(sql.lock_and_keep, prepare=True).rowcount
    elif made := lock(connection, sql, sql.stage):
        connection.execute(sql.keep_baseline)
    arrived = draw_arrivals(connection)
    # Keys that no capture had touched have no history yet.
    untouched = made == keys
    covered = None
    if not untouched:
        _, covered = _row(connection, sql.unstage(writer.mode), arrived.of(writer), prepare=True)
    connection.execute(sql.insert_history, arrived.of(writer), prepare=True)
    changed = write_staged(connection, table, writer, arrived, keys=keys, untouched=untouched, shared=staged.shared)
    if covered:
        connection.execute(sql.drop_covered, {"places": covered})
    return changed


def _keep_shadow(connection: Connection, sql: Statements, writer: Writer) -> set[Key]:
    """Keep what is staged without an arrival: no row is touched, no key locked. The keys of entries that are new."""
    parameters = {"capture": writer.capture_id, "version": writer.derivation_version}
    connection.execute(sql.unstage(Mode.SUPERSEDE), parameters, prepare=True)
    kept = set(connection.execute(sql.keep_shadow, parameters, prepare=True).fetchall())
    connection.execute(sql.drop_shadows, parameters, prepare=True)
    return kept


def write_staged(
    connection: Connection,
    table: Table,
    writer: Writer,
    arrived: Arrived,
    *,
    keys: int,
    untouched: bool,
    shared: bool,
    newest: bool = False,
) -> set[Key]:
    """Write the rows that staged entries change, once these are in history; the keys of rows that changed.

    So many `keys` are staged, with `shared` one of them more than once; with `untouched` no capture had touched any,
    with `newest` no other capture has a greater number.
    """
    sql = statements(table)
    parameters = arrived.of(writer)
    if not set(writer.clear).isdisjoint(sql.columns):
        pending = slow = connection.execute(sql.mark_all).rowcount
    elif untouched:
        slow = connection.execute(sql.mark_shared).rowcount if shared else 0
        pending = keys
    else:
        marking = sql.mark_pending(writer.mode, clears=arrived.clears, newest=newest)
        pending, slow = _row(connection, marking, parameters, prepare=True)
    changed: set[Key] = set()
    if pending > slow:
        upsert = sql.upsert(writer.mode, untouched=untouched)
        upserted = connection.execute(upsert, parameters, prepare=True).fetchall()
        changed.update(upserted)
        if len(upserted) < pending - slow:
            # What didn't change is as it should be, or was written from outside meanwhile.
            slow += connection.execute(sql.mark_foreign).rowcount
    if slow:
        slow_keys = f"(SELECT {sql.keys} FROM {sql.pending} WHERE slow) w"
        changed |= refold(connection, table, slow_keys, arrived.before, writer).changed
    return changed


def note_outside(connection: Connection, table: Table, keys: str, before: int) -> None:
    """Lock the rows of the locked keys, and make entries of what was written to them from outside."""
    sql = folding(table)
    connection.execute(f"DELETE FROM {sql.locked}")
    connection.execute(sql.lock_serving(keys))
    _, foreign = _row(connection, sql.count_locked)
    if foreign:
        connection.execute(sql.note_outside, {"before": before})


def refold(connection: Connection, table: Table, keys: str, before: int | None, writer: Writer | None) -> Refolded:
    """Fold the locked keys of the table `keys` again and write what differs.

    `before` is the arrival of what was written from outside; None when that has been noted already. Without a writer a
    changed row names the last capture among those left.
    """
    sql = folding(table)
    parameters = {
        "capture": writer.capture_id if writer else None,
        "version": writer.derivation_version if writer else None,
    }
    done = Refolded()
    for _ in range(_ROUNDS):
        if before is not None:
            note_outside(connection, table, keys, before)
        connection.execute(f"DELETE FROM {sql.folded}")
        folded = connection.execute(sql.refold(keys)).rowcount
        if _row(connection, sql.has_odd) == (True,):
            connection.execute(sql.refold_odd)
            connection.execute(sql.drop_odd)
        deleted, kept = _delete_unsupported(connection, sql)
        done.deleted += deleted
        done.changed.update(connection.execute(sql.write_folded, parameters).fetchall())
        locked, foreign = _row(connection, sql.count_locked)
        if foreign:
            connection.execute(sql.adopt_folded)
        if not kept and (locked == folded or _row(connection, sql.foreign(keys)) == (0,)):
            return done
        # A row was inserted from outside where there was none to lock, or others refer to a row that nothing else
        # supports: it gets its entry and is folded in.
        before = draw_arrival(connection)
    raise psycopg.errors.SerializationFailure(f"rows of {sql.serving} are inserted from outside faster than merged")


def name_remaining(connection: Connection, table: Table) -> None:
    """Of the keys folded last, rows that name a capture without an entry of theirs name the last one that has one."""
    connection.execute(folding(table).name_remaining)


def _delete_unsupported(connection: Connection, sql: Folding) -> tuple[int, bool]:
    """Delete folded rows that nothing supports; how many, and whether rows of other tables keep some of them."""
    try:
        with connection.transaction():
            return connection.execute(sql.delete_folded).rowcount, False
    except psycopg.errors.ForeignKeyViolation:
        deleted = 0
        for key in connection.execute(sql.unsupported).fetchall():
            with suppress(psycopg.errors.ForeignKeyViolation), connection.transaction():
                deleted += connection.execute(sql.delete_key, key).rowcount
        connection.execute(sql.disown)
        return deleted, True


def draw_arrivals(connection: Connection) -> Arrived:
    """The next two; drawn only when the keys are locked."""
    return Arrived(*_row(connection, ARRIVALS))


def draw_arrival(connection: Connection) -> int:
    """The next arrival; drawn only when the keys are locked."""
    (arrival,) = _row(connection, "SELECT nextval('rederive.arrival')")
    return int(arrival)


def _row(
    connection: Connection, query: str, parameters: Mapping[str, Any] | None = None, *, prepare: bool | None = None
) -> tuple[Any, ...]:
    row = connection.execute(query, parameters, prepare=prepare).fetchone()
    assert row is not None
    return tuple(row)
