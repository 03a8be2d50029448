"""Serve what a capture has kept in shadow: entries get their arrival and are merged as if they had come now.

A range of keys is a transaction, and what has no arrival yet is what is left to do: it goes on wherever it was stopped,
beside whatever else writes. The keys are locked as a merge locks them, and merged by its statements.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

import psycopg
from psycopg import Connection

from schemas.table import Table
from sinks import planner
from sinks.merge.companions import Companions
from sinks.merge.merging import draw_arrivals, folding, statements, write_staged
from sinks.merge.promised import promised
from sinks.merge.ranges import next_end, pieces, ranges
from sinks.policy import Promoted, Writer
from store import captures

BATCH_KEYS = 5_000

Key = Sequence[str | None]
"""A key as text, or where a range is open."""


def promote(
    connection: Connection, table: Table, capture: Writer, crew: Sequence[Connection] = ()
) -> Iterator[Promoted]:
    """Merge the capture's entries that haven't arrived, a batch a transaction, in the order of keys.

    With a crew each of its connections has a batch under way at a time: no key is in two of them.
    """
    for one in (connection, *crew):
        planner.by_index(one)
        one.execute(statements(table).make_temporary)
    if crew:
        yield from _together(connection, table, capture, crew)
    else:
        for after, upto in ranges(connection, table, [capture.capture_id], BATCH_KEYS):
            yield from _merge(connection, table, capture, after, upto)
    # What says nothing is left: a promotion that clears nothing doesn't stage it.
    connection.execute(statements(table).drop_silent, {"capture": capture.capture_id})


def _together(connection: Connection, table: Table, capture: Writer, crew: Sequence[Connection]) -> Iterator[Promoted]:
    idle: SimpleQueue[Connection] = SimpleQueue()
    for one in crew:
        idle.put(one)

    def work(after: Key, upto: Key) -> list[Promoted]:
        own = idle.get()
        try:
            return list(_merge(own, table, capture, after, upto))
        finally:
            idle.put(own)

    waiting: deque[Future[list[Promoted]]] = deque()
    with ThreadPoolExecutor(len(crew), "promotion") as pool:
        try:
            for after, upto in ranges(connection, table, [capture.capture_id], BATCH_KEYS):
                waiting.append(pool.submit(work, after, upto))
                if len(waiting) > len(crew):
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # One that waits for a lock would keep who has stopped this waiting.
            for one in crew:
                one.cancel_safe()
            raise


def _merge(connection: Connection, table: Table, capture: Writer, after: Key, upto: Key) -> Iterator[Promoted]:
    """Merge a range. A row whose parents are gone is dropped: it is found by cutting the range."""
    bare = table.bare or bool(capture.clear)
    limit = None
    while True:
        end = upto
        if limit is not None:
            end = next_end(connection, table, [capture.capture_id], after, limit, upto) or upto
        within = Companions.range(after, end)
        try:
            with connection.transaction():
                done = _batch(connection, table, capture, within, bare=bare)
        except psycopg.errors.ForeignKeyViolation:
            if limit != 1:
                limit = max(1, (limit or BATCH_KEYS) // 8)
                continue
            with connection.transaction():
                done = _drop(connection, table, capture, within, bare=bare)
        if done.rows:
            yield done
        if end == upto:
            return
        after = end
        limit = min(BATCH_KEYS, limit * 2) if limit else None


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
    newest = captures.is_newest(connection, capture.number)
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
