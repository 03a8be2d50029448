"""Columns of tables that are made from their specs."""

from collections.abc import Iterable

from psycopg import Connection

from store.rows import values


def add_missing(connection: Connection, table: str, wanted: Iterable[str]) -> bool:
    """Add the columns, each as SQL declares it, that a table lacks; whether it lacked any."""
    known = values(
        connection,
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        [table],
    )
    lacking = [column for column in wanted if column.partition(" ")[0] not in known]
    if lacking:
        connection.execute(f"ALTER TABLE {table} {', '.join(f'ADD COLUMN {column}' for column in lacking)}")
    return bool(lacking)
