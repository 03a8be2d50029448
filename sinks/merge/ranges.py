"""Captures' entries in ranges of keys: pieces of any size are gone through in constant memory, from any place on."""

from collections.abc import Iterator, Mapping, Sequence

from psycopg import Connection

from schemas.table import Table
from sinks.merge.companions import Companions

PIECE = 20_000
"""Entries of a capture in a piece that is only read."""


def pieces(
    connection: Connection, table: Table, runs: Sequence[str], entries: int = PIECE
) -> Iterator[Mapping[str, object]]:
    """As `ranges`, as parameters of `within`."""
    return (Companions.range(after, upto) for after, upto in ranges(connection, table, runs, entries))


def ranges(
    connection: Connection, table: Table, runs: Sequence[str], entries: int
) -> Iterator[tuple[Sequence[str | None], Sequence[str | None]]]:
    """The ranges of keys in their order, of so many entries of a run at most: behind a key, up to another one."""
    after = none = open_end(table)
    while (upto := next_end(connection, table, runs, after, entries)) is not None:
        yield after, upto
        after = upto
    yield after, none


def open_end(table: Table) -> Sequence[str | None]:
    """Where a range ends that has no end."""
    return [None] * len(table.key)


def next_end(
    connection: Connection,
    table: Table,
    runs: Sequence[str],
    after: Sequence[str | None],
    entries: int,
    upto: Sequence[str | None] | None = None,
) -> Sequence[str] | None:
    """The key, as text, up to which a run has so many entries behind a key, and no other more; None where none has.

    With `upto` it is looked for up to there.
    """
    sql = Companions(table)
    ends = " UNION ALL ".join(
        f"""(SELECT {sql.keys} FROM {sql.history} h WHERE capture_id = %(run{n})s AND {sql.within("h")}
             ORDER BY {sql.keys} OFFSET {entries - 1} LIMIT 1)"""
        for n in range(len(runs))
    )
    texts = ", ".join(f"{name}::text" for name in sql.key)
    named = {f"run{n}": run for n, run in enumerate(runs)}
    return connection.execute(
        f"SELECT {texts} FROM ({ends}) e ORDER BY {sql.of('e', sql.key)} LIMIT 1",
        {**named, **sql.range(after, upto or open_end(table))},
    ).fetchone()
