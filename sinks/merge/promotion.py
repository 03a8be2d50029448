"""Serve what a capture has kept in shadow: entries get their arrival and are merged as if they had come now.

A batch of keys is a transaction, and what has no arrival yet is what is left to do: it goes on wherever it was stopped,
beside whatever else writes. The keys are locked as a merge locks them, and merged by its statements.
"""

from collections.abc import Iterator, Mapping

import psycopg
from psycopg import Connection

from schemas.table import Table
from sinks import planner
from sinks.merge.merging import draw_arrivals, folding, statements, write_staged
from sinks.merge.promised import promised
from sinks.merge.ranges import next_end, open_end, pieces
from sinks.policy import Promoted, Writer
from store.rows import value

BATCH_KEYS = 5_000


def promote(connection: Connection, table: Table, capture: Writer) -> Iterator[Promoted]:
    """Merge the capture's entries that haven't arrived, by batches in the order of keys.

    A row whose parents are gone is dropped: it is found by cutting its batch.
    """
    planner.by_index(connection)
    sql = statements(table)
    connection.execute(sql.make_temporary)
    bare = table.bare or bool(capture.clear)
    after = open_end(table)
    limit = BATCH_KEYS
    while True:
        upto = next_end(connection, table, [capture.capture_id], after, limit)
        within = sql.range(after, upto or open_end(table))
        try:
            with connection.transaction():
                done = _batch(connection, table, capture, within, bare=bare)
        except psycopg.errors.ForeignKeyViolation:
            if limit > 1:
                limit = max(1, limit // 8)
                continue
            with connection.transaction():
                done = _drop(connection, table, capture, within, bare=bare)
        if done.rows:
            yield done
        if upto is None:
            break
        after = upto
        limit = min(BATCH_KEYS, limit * 2)
    # What says nothing is left: a promotion that clears nothing doesn't stage it.
    connection.execute(sql.drop_silent, {"capture": capture.capture_id})


def _batch(
    connection: Connection, table: Table, capture: Writer, within: Mapping[str, str | None], *, bare: bool
) -> Promoted:
    """Merge the keys of a range."""
    sql = statements(table)
    of = {"capture": capture.capture_id, **within}
    made = connection.execute(sql.lock_shadow(bare=bare), of).rowcount
    arrived = draw_arrivals(connection)
    entries = connection.execute(sql.arrive(bare=bare), {**arrived.of(capture), **of}).rowcount
    if not entries:
        return Promoted()
    keys, shared = connection.execute(sql.count_staged).fetchone() or (0, False)
    if made:
        connection.execute(sql.keep_baseline)
    newest = not value(connection, "SELECT EXISTS (SELECT FROM rederive.captures WHERE number > %s)", [capture.number])
    changed = write_staged(
        connection, table, capture, arrived, keys=keys, untouched=made == keys, shared=shared, newest=newest
    )
    return Promoted(entries=entries, rows=keys, changed=len(changed))


def _drop(
    connection: Connection, table: Table, capture: Writer, within: Mapping[str, str | None], *, bare: bool
) -> Promoted:
    """Drop what the capture says of the one key of a range."""
    dropping = statements(table).drop_shadow(bare=bare)
    entries = connection.execute(dropping, {"capture": capture.capture_id, **within}).rowcount
    return Promoted(entries=entries, rows=min(1, entries), gone=min(1, entries))


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
