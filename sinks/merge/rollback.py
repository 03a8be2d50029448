"""Take captures out of history and fold the keys that they touched."""

from collections.abc import Iterable, Iterator, Mapping

from psycopg import Connection

from schemas.outcome import Key
from schemas.table import Table
from sinks import planner
from sinks.merge.companions import Companions
from sinks.merge.merging import draw_arrival, folding, lock, name_remaining, note_outside, refold, statements
from sinks.merge.ranges import pieces
from sinks.policy import Taken
from store.rows import Parameters

BATCH_KEYS = 5_000


def preview(connection: Connection, table: Table, capture_id: str) -> Taken:
    """What a rollback would do to `table`: entries, rows changed and rows deleted. Reads only, piece by piece."""
    planner.by_pieces(connection)
    sql = folding(table)
    said = f"{sql.history} h WHERE capture_id = %(without)s AND {sql.within('h')}"
    touched = f"(SELECT {sql.keys} FROM {said} AND arrival IS NOT NULL) touched"
    differs = " OR ".join(f"s.{name} IS DISTINCT FROM f.{name}" for name in sql.columns)
    query = f"""SELECT (SELECT count(*) FROM {said}),
                   count(*) FILTER (WHERE (f.entries > 0 OR f.present) AND ({differs})),
                   count(*) FILTER (WHERE f.entries = 0 AND NOT f.present)
            FROM ({sql.fold(touched, without_capture=True)}) f, {sql.lookup(sql.serving, "s", "f")}"""
    found = Taken()
    for piece in pieces(connection, table, [capture_id]):
        row = connection.execute(query, {"without": capture_id, **piece}).fetchone()
        assert row is not None
        found += Taken(entries=row[0], changed=row[1], deleted=row[2])
    return found


def roll_back(connection: Connection, table: Table, capture_id: str) -> Iterator[Taken]:
    """Remove the capture's entries from `table`, a range of keys a transaction; yields what each of them has done.

    The capture's state must say so before, or a sink would add new entries meanwhile. Can be stopped and started
    again at any batch. A row that was deleted from outside stays deleted. What is in shadow has changed no row: it
    just goes.
    """
    sql = statements(table)
    keys = _prepare(connection, sql)
    own = f"h.capture_id = %(capture)s AND {sql.within('h')}"
    for within in pieces(connection, table, [capture_id], BATCH_KEYS):
        parameters = {"capture": capture_id, **within}
        with connection.transaction():
            gone = connection.execute(
                f"DELETE FROM {sql.history} h WHERE {own} AND h.arrival IS NULL", parameters
            ).rowcount
            taken = Taken(entries=gone)
            picking = f"INSERT INTO {keys} SELECT DISTINCT {sql.keys} FROM {sql.history} h WHERE {own}"
            if connection.execute(picking, parameters).rowcount:
                said = f"{keys} q WHERE {sql.on('h', 'q')} AND h.capture_id = %(capture)s"
                taken += _take_out(connection, table, keys, said, parameters)
        if taken.entries:
            yield taken


def roll_back_keys(connection: Connection, table: Table, said: Mapping[str, Iterable[Key]]) -> Taken:
    """Remove from `table` what captures have said of keys, all at once and in the caller's transaction.

    That must not be a savepoint: rows would be marked with another transaction's id than they have.
    """
    pairs = sorted({(*key, capture_id) for capture_id, keys in said.items() for key in keys})
    if not pairs:
        return Taken()
    sql = statements(table)
    keys = _prepare(connection, sql)
    types = [*(column.type for column in table.key), "text"]
    pair = f"unnest({', '.join(f'%s::{type_}[]' for type_ in types)}) q({sql.keys}, capture_id)"
    columns = [list(column) for column in zip(*pairs, strict=True)]
    named = f"{pair} WHERE {sql.on('h', 'q')} AND h.capture_id = q.capture_id"
    shadows = connection.execute(f"DELETE FROM {sql.history} h USING {named} AND h.arrival IS NULL", columns).rowcount
    connection.execute(f"DELETE FROM {keys}")
    arrived = f"EXISTS (SELECT FROM {sql.history} h WHERE {sql.on('h', 'q')} AND h.capture_id = q.capture_id)"
    connection.execute(f"INSERT INTO {keys} SELECT DISTINCT {sql.keys} FROM {pair} WHERE {arrived}", columns)
    return Taken(entries=shadows) + _take_out(connection, table, keys, named, columns)


def _prepare(connection: Connection, sql: Companions) -> str:
    """Make the temporary tables; the name of the one that holds keys."""
    keys = f"rollback_{sql.serving}"
    columns = ", ".join(f"{column.name} {column.type}" for column in sql.table.key)
    connection.execute(statements(sql.table).make_temporary)
    connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {keys} ({columns}, PRIMARY KEY ({sql.keys})) ON COMMIT DELETE ROWS"
    )
    return keys


def _take_out(connection: Connection, table: Table, keys: str, said: str, parameters: Parameters) -> Taken:
    """Delete the entries h that are `said`, and fold the keys of the table `keys` without them."""
    sql = statements(table)
    lock(connection, sql, keys)
    note_outside(connection, table, keys, draw_arrival(connection))
    entries = connection.execute(f"DELETE FROM {sql.history} h USING {said}", parameters).rowcount
    connection.execute(f"DELETE FROM {keys} q WHERE NOT EXISTS (SELECT FROM {sql.serving} s WHERE {sql.on('s', 'q')})")
    folded = refold(connection, table, keys, before=None, writer=None)
    name_remaining(connection, table)
    return Taken(entries, len(folded.changed), folded.deleted)
