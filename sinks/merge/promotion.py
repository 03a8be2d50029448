"""Serve what a capture has kept in shadow: entries get their arrival and are merged as if they had come now.

A batch of keys is a transaction, and what has no arrival yet is what is left to do: it goes on wherever it was stopped,
beside whatever else writes. The keys are locked as a merge locks them, and merged by its statements.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import Connection

from schemas.table import Table
from sinks import planner
from sinks.merge.comparison import pieces
from sinks.merge.merging import draw_arrivals, folding, lock, statements, write_staged
from sinks.merge.promised import promised
from sinks.policy import Promoted, Writer

BATCH_KEYS = 5_000


def promote(connection: Connection, table: Table, capture: Writer) -> Iterator[Promoted]:
    """Merge the capture's entries that haven't arrived, by batches in the order of keys.

    A row whose parents are gone is dropped: it is found by halving its batch.
    """
    planner.by_index(connection)
    sql = statements(table)
    connection.execute(sql.make_temporary)
    after: Sequence[str] = ()
    limit = BATCH_KEYS
    while True:
        try:
            with connection.transaction():
                done, after = _batch(connection, table, capture, after, limit)
        except psycopg.errors.ForeignKeyViolation:
            if limit > 1:
                limit = max(1, limit // 8)
                continue
            with connection.transaction():
                done, after = _drop(connection, table, capture, after)
        if not done.rows:
            # What says nothing is left: a promotion that clears nothing doesn't stage it.
            connection.execute(sql.drop_silent, {"capture": capture.capture_id})
            return
        yield done
        limit = min(BATCH_KEYS, limit * 2)


def _batch(
    connection: Connection, table: Table, capture: Writer, after: Sequence[str], limit: int
) -> tuple[Promoted, Sequence[str]]:
    """Merge the next keys; what was done, and the last key as text."""
    sql = statements(table)
    entries, keys, shared, last = _stage(connection, table, capture, after, limit)
    if not keys:
        return Promoted(), after
    made = lock(connection, sql, sql.stage)
    if made:
        connection.execute(sql.keep_baseline)
    arrived = draw_arrivals(connection)
    connection.execute(sql.arrive, arrived.of(capture))
    changed = write_staged(connection, table, capture, arrived, keys=keys, untouched=made == keys, shared=shared)
    return Promoted(entries=entries, rows=keys, changed=len(changed)), last


def _drop(
    connection: Connection, table: Table, capture: Writer, after: Sequence[str]
) -> tuple[Promoted, Sequence[str]]:
    """Drop what the capture says of the next key."""
    sql = statements(table)
    entries, keys, _, last = _stage(connection, table, capture, after, 1)
    dropping = f"""DELETE FROM {sql.history} h USING {sql.stage} x
        WHERE {sql.on("h", "x")} AND h.capture_id = %(capture)s AND h.arrival IS NULL"""
    connection.execute(dropping, {"capture": capture.capture_id})
    return Promoted(entries=entries, rows=keys, gone=keys), last


def _stage(
    connection: Connection, table: Table, capture: Writer, after: Sequence[str], limit: int
) -> tuple[int, int, bool, Sequence[str]]:
    sql = statements(table)
    statement = sql.stage_shadow(begun=bool(after), bare=table.bare or bool(capture.clear))
    parameters = {"capture": capture.capture_id, "limit": limit, **_named(after)}
    entries = connection.execute(statement, parameters).rowcount
    keys, shared, last = connection.execute(sql.count_staged).fetchone() or (0, False, None)
    return entries, keys, bool(shared), last or after


def preview(connection: Connection, table: Table, capture: Writer) -> Promoted:
    """What a promotion would change of the values that are served now; attributes, which describe a row, don't count.

    Reads only, by pieces, each with a snapshot of its own.
    """
    planner.by_pieces(connection)
    sql = folding(table)
    columns = [column.name for column in table.values]
    differs = {name: f"s.{name} IS DISTINCT FROM f.{name}" for name in columns}
    cleared = [f"(s.{name} IS NOT NULL AND f.{name} IS NULL)::int" for name in columns if name in capture.clear]
    query = f"""SELECT coalesce(sum(f.entries), 0)::int8, count(*),
                       count(*) FILTER (WHERE s.{sql.key[0]} IS NULL OR {" OR ".join(differs.values())}),
                       coalesce(sum({" + ".join(cleared) or "0"}), 0)::int8,
                       {", ".join(f"count(*) FILTER (WHERE {one})" for one in differs.values())}
                FROM ({promised(sql, clears=bool(capture.clear))}) f
                LEFT JOIN {sql.lookup(sql.serving, "s", "f")} ON true"""
    parameters = {"capture": capture.capture_id, "number": capture.number, "clear": list(capture.clear) or None}
    done = Promoted()
    for piece in pieces(connection, table, [capture.capture_id]):
        row = connection.execute(query, {**parameters, **piece}).fetchone()
        assert row is not None
        entries, keys, changed, gone, *of_columns = row
        counts = {name: count for name, count in zip(columns, of_columns, strict=True) if count}
        done += Promoted(entries=entries, rows=keys, changed=changed, cleared=gone, columns=counts)
    return done


def _named(after: Sequence[str]) -> dict[str, Any]:
    return {f"after{n}": part for n, part in enumerate(after)}
