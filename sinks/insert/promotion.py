"""Rows in shadow come to stand among those that are served, whose key holds their capture (docs/merging.md)."""

from collections.abc import Iterator, Sequence

from psycopg import Connection

from schemas.table import CAPTURE, Table
from sinks.insert.companions import newest_captures
from sinks.policy import Promoted
from store.lineage import captures_of_run
from store.rows import value


def preview(connection: Connection, table: Table, run: str) -> Promoted:
    """How many rows a run has in shadow, and how many would be shown with another value than is shown now; reads only.

    A row of a partition of which a newer capture is shown changes nothing. Of a table without partitions, and of one
    that shows another one's rows, every row is new.
    """
    captures = captures_of_run(connection, run)
    rows = int(value(connection, f"SELECT count(*) FROM {table.shadow.name} WHERE {CAPTURE} = ANY(%s)", [captures]))
    if not rows or not table.partition or table.shows:
        return Promoted(entries=rows, rows=rows, changed=rows)
    changed, *columns = _changes(connection, table, captures)
    names = [column.name for column in table.own_values]
    return Promoted(rows, rows, changed, columns={name: n for name, n in zip(names, columns, strict=True) if n})


def promote(connection: Connection, table: Table, run: str) -> Iterator[Promoted]:
    """Move the rows that a run has in shadow, a capture a transaction; can be stopped and begun again at any of them.

    What counts captures, and what is shown of them, follows by itself.
    """
    served, shadow = table.written, table.shadow
    names = ", ".join(column.name for column in (*shadow.key, *shadow.columns))
    for capture in captures_of_run(connection, run):
        moved = connection.execute(
            f"""WITH gone AS (DELETE FROM {shadow.name} WHERE {CAPTURE} = %s RETURNING {names})
                INSERT INTO {served.name} ({names}) SELECT {names} FROM gone""",
            [capture],
        ).rowcount
        if moved:
            yield Promoted(entries=moved, rows=moved, changed=moved)


def _changes(connection: Connection, table: Table, captures: Sequence[str]) -> list[int]:
    """How many rows would be shown with another value, of any column and of each; a row that is shown no more is one.

    It has no values left: of no column a change is counted.
    """
    parts = ", ".join(table.partition)
    key = ", ".join(column.name for column in table.key if column.name != CAPTURE)
    names = [column.name for column in table.own_values]
    values = ", ".join(f"{{0}}.{name} AS {{0}}_{name}" for name in names)
    differ = [f"n_{name} IS DISTINCT FROM o_{name}" for name in names]
    counted = ", ".join(f"count(*) FILTER (WHERE is_new AND {one})" for one in differ)
    row = connection.execute(
        f"""WITH coming AS (
                SELECT DISTINCT ON ({parts}) {parts}, {table.observed}, {CAPTURE} FROM {table.shadow.name}
                WHERE {CAPTURE} = ANY(%(captures)s) ORDER BY {parts}, {table.observed} DESC, {CAPTURE} DESC),
            shown AS ({newest_captures(table)}),
            held AS (SELECT {parts}, max({table.observed}) AS at FROM {table.captures} JOIN shown
                     USING ({parts}, {CAPTURE}) GROUP BY {parts}),
            coming_on_top AS (
                SELECT c.* FROM coming c LEFT JOIN held USING ({parts}) LEFT JOIN shown s USING ({parts})
                WHERE held.at IS NULL OR (c.{table.observed}, c.{CAPTURE}) > (held.at, s.{CAPTURE})),
            n AS (SELECT r.* FROM {table.shadow.name} r JOIN coming_on_top USING ({parts}, {CAPTURE})
                  WHERE {table.latest or "true"}),
            o AS (SELECT r.* FROM {table.name}_latest r WHERE ({parts}) IN (SELECT {parts} FROM coming_on_top)),
            both_sides AS (
                SELECT n.{CAPTURE} IS NOT NULL AS is_new, o.{CAPTURE} IS NOT NULL AS is_old,
                       {values.format("n")}, {values.format("o")}
                FROM n FULL JOIN o USING ({key}))
            SELECT count(*) FILTER (WHERE NOT is_new OR NOT is_old OR {" OR ".join(differ)}), {counted}
            FROM both_sides""",
        {"captures": captures},
    ).fetchone()
    assert row is not None
    return list(row)
