"""Take a capture out of history and fold the keys that it touched, batch by batch."""

from collections.abc import Iterator, Sequence

from psycopg import Connection

from schemas.table import Table
from sinks.merge import draw_arrival, folding, lock, note_outside, refold, statements

BATCH_KEYS = 5_000


def preview(connection: Connection, table: Table, capture_id: str) -> dict[str, int]:
    """What a rollback would do to `table`: entries, rows changed and rows deleted. Reads only."""
    sql = folding(table)
    touched = f"(SELECT {sql.keys} FROM {sql.history} WHERE capture_id = %(without)s) touched"
    differs = " OR ".join(f"s.{name} IS DISTINCT FROM f.{name}" for name in sql.columns)
    on = " AND ".join(f"s.{name} = f.{name}" for name in sql.key)
    row = connection.execute(
        f"""SELECT (SELECT count(*) FROM {sql.history} WHERE capture_id = %(without)s),
                   count(*) FILTER (WHERE (f.entries > 0 OR f.present) AND ({differs})),
                   count(*) FILTER (WHERE f.entries = 0 AND NOT f.present)
            FROM ({sql.fold(touched, without_capture=True)}) f JOIN {sql.serving} s ON {on}""",
        {"without": capture_id},
    ).fetchone()
    assert row is not None
    return {"entries": row[0], "changed": row[1], "deleted": row[2]}


def roll_back(
    connection: Connection, table: Table, capture_id: str, only: Sequence[tuple[str, ...]] | None = None
) -> Iterator[int]:
    """Remove the capture's entries from `table`, a batch of keys a transaction; yields the keys done per batch.

    The capture's state must say so before, or a sink would add new entries meanwhile. Can be stopped and started
    again at any batch. A row that was deleted from outside stays deleted. With `only` just these keys.
    """
    if only is not None and not only:
        return
    sql = statements(table)
    keys = f"rollback_{table.name}"
    parts = [list(part) for part in zip(*only, strict=True)] if only else []
    arrays = ", ".join(f"%s::{column.type}[]" for column in table.key)
    named = f" AND ({sql.keys}) IN (SELECT * FROM unnest({arrays}))" if only else ""
    columns = ", ".join(f"{column.name} {column.type}" for column in table.key)
    connection.execute(sql.make_temporary)
    connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {keys} ({columns}, PRIMARY KEY ({sql.keys})) ON COMMIT DELETE ROWS"
    )
    while True:
        with connection.transaction():
            picked = connection.execute(
                f"""INSERT INTO {keys} SELECT DISTINCT {sql.keys}
                    FROM (SELECT {sql.keys} FROM {sql.history} WHERE capture_id = %s{named} LIMIT {BATCH_KEYS}) h""",
                [capture_id, *parts],
            ).rowcount
            if not picked:
                return
            lock(connection, sql, keys)
            before = draw_arrival(connection)
            note_outside(connection, table, keys, before)
            on = " AND ".join(f"h.{name} = q.{name}" for name in sql.key)
            connection.execute(
                f"DELETE FROM {sql.history} h USING {keys} q WHERE {on} AND h.capture_id = %s", [capture_id]
            )
            on = on.replace("h.", "s.")
            connection.execute(f"DELETE FROM {keys} q WHERE NOT EXISTS (SELECT FROM {sql.serving} s WHERE {on})")
            refold(connection, table, keys, before=None, writer=None)
        yield picked
