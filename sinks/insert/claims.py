"""What has a say in one value of a row that holds its capture: the rows of other captures of its partition."""

from collections.abc import Mapping

from psycopg import Connection

from schemas.table import CAPTURE, SHOWN, Table
from sinks.policy import Claim, Claims
from store.rows import value


def claims(connection: Connection, table: Table, key: Mapping[str, str], column: str) -> Claims:
    """The stored value of a column, and those of the same business key, the newest capture first.

    Each row stays as its own capture wrote it: the newest is the one that views show.
    """
    has_time = table.observed in [one.name for one in (*table.key, *table.columns)]
    observed = table.observed if has_time else "NULL::timestamptz"
    changed_at = table.touched or "NULL::timestamptz"
    same = " AND ".join(
        f"s.{one.name} = %({one.name})s::{one.type}" for one in table.key if one.name != CAPTURE or not table.partition
    )
    places = {table.name: "false"} | ({} if table.shows else {table.shadow.name: "true"})
    everywhere = [
        f"""SELECT s.{CAPTURE}, to_jsonb(s.{column}), s.{column}::text, {observed}, {changed_at}, {kept}
            FROM {place} s WHERE {same}"""
        for place, kept in places.items()
    ]
    rows = connection.execute(f"{' UNION ALL '.join(everywhere)} ORDER BY 4 DESC, 1 DESC", dict(key)).fetchall()
    ranked = tuple(
        Claim("shadow" if kept else "insert", capture_id, stored, text, capture_id == key[CAPTURE], observed=seen)
        for capture_id, stored, text, seen, _, kept in rows
    )
    for capture_id, stored, text, _, changed, kept in rows:
        if capture_id == key[CAPTURE] and not kept:
            shown = _shown(connection, table, key)
            return Claims(True, stored, text, capture_id, changed_at=changed, ranked=ranked, shown=shown)
    return Claims(False, ranked=ranked)


def _shown(connection: Connection, table: Table, key: Mapping[str, str]) -> str | None:
    """The capture of another table whose rows it shows."""
    if table.shows is None:
        return None
    written = table.written
    same = " AND ".join(f"{one.name} = %({one.name})s::{one.type}" for one in written.key)
    found = value(connection, f"SELECT {SHOWN} FROM {written.name} WHERE {same}", dict(key))
    return None if found is None else str(found)
