"""What has a say in one merged value: entries, baseline and writes from outside, by their rank in the fold."""

from collections.abc import Mapping

from psycopg import Connection

from schemas.table import Mode
from sinks.merge.companions import OUTSIDE_SOURCE
from sinks.merge.folding import Folding
from sinks.policy import Claim, Claims
from store import captures


def claims(connection: Connection, sql: Folding, key: Mapping[str, str], column: str) -> Claims:
    """The stored value of a column and what the fold of its row is made of, the highest rank first."""
    changed_at = sql.table.touched or "NULL::timestamptz"
    same = " AND ".join(f"s.{one.name} = %({one.name})s::{one.type}" for one in sql.table.key)
    stored = connection.execute(
        f"""SELECT to_jsonb(s.{column}), s.{column}::text, s.capture_id, s.derivation_version, {changed_at},
                   NOT {sql.ours("s")}
            FROM {sql.serving} s WHERE {same}""",
        dict(key),
    ).fetchone()
    ranked = _ranked(connection, sql, key, column)
    if stored is None:
        return Claims(False, ranked=ranked)
    value, text, capture_id, version, changed, outside = stored
    return Claims(True, value, text, capture_id, version, changed, outside, ranked)


def _ranked(connection: Connection, sql: Folding, key: Mapping[str, str], column: str) -> tuple[Claim, ...]:
    parts = {name: part for part in sql.parts for name in part}
    part = parts[column]
    wanted = ", ".join(f"%({one.name})s::{one.type} AS {one.name}" for one in sql.table.key)
    found = connection.execute(
        f"""SELECT e.base, e.capture_id, to_jsonb(e.{column}), e.{column}::text, {sql.says("e", part, "e.clears")},
                   e.source, e.observed, e.version, e.arrival
            FROM ({sql.ranked(f"(SELECT {wanted}) wanted")}) e
            ORDER BY e.rank{sql.owners.index(sql.parts[part])} DESC""",
        dict(key),
    ).fetchall()
    ranked: list[Claim] = []
    taken = False
    for base, capture_id, value, text, says, source, observed, version, arrival in found:
        counts, taken = says and not taken, taken or says
        if base or source == OUTSIDE_SOURCE:
            kind = "baseline" if base else "outside"
            ranked.append(Claim(kind, "", value, text, counts, arrival=None if base else arrival))
            continue
        capture = captures.find(connection, capture_id)
        mode = capture.mode.value if capture else ""
        ranked.append(Claim(mode, capture_id, value, text, counts, source, observed, version, arrival))
    return (*ranked, *_in_shadow(connection, sql, key, column))


def _in_shadow(connection: Connection, sql: Folding, key: Mapping[str, str], column: str) -> list[Claim]:
    """What captures say that aren't promoted (yet), the newest first: none of it counts."""
    same = " AND ".join(f"h.{one.name} = %({one.name})s::{one.type}" for one in sql.table.key)
    found = connection.execute(
        f"""SELECT h.capture_id, to_jsonb(h.{column}), h.{column}::text, h.source, h.observed, h.derivation_version
            FROM {sql.history} h
            WHERE {same} AND h.arrival IS NULL ORDER BY h.observed DESC, h.source DESC""",
        dict(key),
    ).fetchall()
    numbers = {id_: capture.number for id_ in {row[0] for row in found} if (capture := captures.find(connection, id_))}
    return [
        Claim(Mode.SHADOW.value, capture_id, value, text, False, source, observed, version)
        for capture_id, value, text, source, observed, version in sorted(
            found, key=lambda row: numbers.get(row[0], 0), reverse=True
        )
    ]
