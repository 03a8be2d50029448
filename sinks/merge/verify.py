"""Hold served rows against the folds of their baselines, histories and outside writes. Reads only (docs/merging.md).

A batch is some thousands of keys in their order: one statement finds them, another one folds them and compares what is
served in the same snapshot. So it may run beside whatever writes, holds no lock and keeps nothing from being vacuumed.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from psycopg import Connection

from schemas.table import Table
from sinks import planner
from sinks.merge.folding import Folding
from sinks.policy import Fault, Scope, Verified

BATCH_KEYS = 2_000
_SCANNED_KEYS = 50_000

Key = tuple[str, ...]

_UNSUPPORTED = "it is served as a merge has left it, and nothing that is kept supports it"
_NO_BASELINE = "it has a history and no baseline"
_UNNAMED = "the capture that it names has no entry in its history"


def verify(connection: Connection, table: Table, scope: Scope | None, after: Key) -> Iterator[Verified]:
    """By batches: rows of ours that aren't their fold, and what was written or deleted outside."""
    planner.by_index(connection)
    sql = _verifying(table)
    if scope is not None and scope.run is None:
        noted = [tuple(map(str, key)) for keys in scope.noted(table).values() for key in keys]
        yield _batch(connection, sql, sorted(noted))
        return
    run = scope.run if scope is not None else None
    place: Key | None = after
    while place is not None:
        keys, place = _next(connection, sql, run, place)
        done = _batch(connection, sql, keys)
        done.place = place
        yield done


@lru_cache
def _verifying(table: Table) -> "_Verifying":
    return _Verifying(table)


def _next(connection: Connection, sql: "_Verifying", run: str | None, after: Key) -> tuple[list[Key], Key | None]:
    """The next keys to look at, and the last key up to which these are all; None when none follows."""
    parameters = {"run": run, **{f"after{n}": part for n, part in enumerate(after)}}
    keys: list[Key] = []
    end: Key | None = None
    for *key, is_end in connection.execute(sql.next_keys(of_run=run is not None, begun=bool(after)), parameters):
        if is_end:
            end = tuple(key)
        else:
            keys.append(tuple(key))
    return keys, end


def _batch(connection: Connection, sql: "_Verifying", keys: Sequence[Key]) -> Verified:
    found = Verified(rows=len(keys))
    if not keys:
        return found
    size = len(sql.key)
    columns: Mapping[str, Any] = {f"key{n}": list(part) for n, part in enumerate(zip(*keys, strict=True))}
    for row in connection.execute(sql.unequal, columns):
        key, (is_there, ours, supported, founded, named, differs) = tuple(row[:size]), row[size:]
        if not founded:
            found.blame(Fault(sql.serving, key, why=_NO_BASELINE))
        if not is_there:
            found.deleted_outside += supported
            found.deleted += [key] * supported
        elif not ours:
            found.written_outside += 1
            found.outside.append(key)
        elif not supported:
            found.blame(Fault(sql.serving, key, why=_UNSUPPORTED))
        else:
            found.blame(*(Fault(sql.serving, key, name, served, folded) for name, served, folded in differs or ()))
            if not named:
                found.blame(Fault(sql.serving, key, "capture_id", why=_UNNAMED))
    found.blame(
        *(Fault(sql.serving, tuple(key), why=_UNSUPPORTED) for key in connection.execute(sql.unfounded, columns))
    )
    return found


class _Verifying(Folding):
    """The statements of one table; they only read. Keys are texts."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        arrays = ", ".join(f"%(key{n})s::text[]::{column.type}[]" for n, column in enumerate(table.key))
        self._asked = f"unnest({arrays}) AS asked({self.keys})"
        differs = " OR ".join(f"s.{name} IS DISTINCT FROM f.{name}" for name in self.columns)
        pairs = ", ".join(
            f"('{name}', s.{name}::text, f.{name}::text, s.{name} IS DISTINCT FROM f.{name})" for name in self.columns
        )
        supported = "(f.entries > 0 OR f.present)"
        baseline = f"EXISTS (SELECT FROM {self.baseline} b WHERE {self.on('b', 'f')} OFFSET 0)"
        entry = f"SELECT FROM {self.history} h WHERE {self.on('h', 's')} AND h.capture_id = s.capture_id OFFSET 0"
        named = f"(s.capture_id IS NULL OR EXISTS ({entry}))"
        is_there = f"s.{self.key[0]} IS NOT NULL"
        self.unequal = f"""
            SELECT {self._texts("f")}, {is_there}, {self.ours("s", "row_xmin")}, {supported}, {baseline}, {named},
                   (SELECT array_agg(ARRAY[v.name, v.served, v.folded])
                    FROM (VALUES {pairs}) AS v(name, served, folded, differs) WHERE v.differs)
            FROM ({self.fold(self._asked)}) f
            LEFT JOIN {self.lookup(self.serving, "s", "f", "s.xmin AS row_xmin, s.*")} ON true
            WHERE NOT {baseline} OR CASE WHEN {is_there} THEN
                NOT {supported} OR {differs} OR (NOT {named} AND {self.ours("s", "row_xmin")})
                ELSE {supported} END
            ORDER BY {self.of("f", self.key)}"""
        """Keys that have a history or a baseline and aren't served so: whether there is a row and whether it is ours,
        whether the fold has one, whether there is a baseline, whether the capture that the row names has an entry, and
        (column, served, folded) where these differ. keys."""
        self.unfounded = f"""
            SELECT {self._texts("s")}
            FROM {self._distinct(self._asked)}, {self.lookup(self.serving, "s", "q", "s.xmin AS row_xmin, s.*")}
            WHERE coalesce(s.row_xmin = s.merge_xid, false)
              AND NOT EXISTS (SELECT FROM {self.history} h WHERE {self.on("h", "s")} AND h.arrival IS NOT NULL OFFSET 0)
              AND NOT EXISTS (SELECT FROM {self.baseline} b WHERE {self.on("b", "s")} OFFSET 0)
            ORDER BY {self.of("s", self.key)}"""
        """Keys whose row a merge has written, and of which nothing is kept. keys."""

    def _texts(self, alias: str) -> str:
        return ", ".join(f"{alias}.{name}::text" for name in self.key)

    def next_keys(self, *, of_run: bool, begun: bool) -> str:
        """The next keys in their order, as text, with false; where others follow, their end, with true.

        run, where only what it has touched is asked for; after, part by part, where `begun`.

        A page of each of what may know a key; keys up to the first end of a page that is full are known to all. Rows
        that a merge has written are looked for, too: one whose history is gone is known by nothing else.
        """
        after = ", ".join(f"%(after{n})s::text::{column.type}" for n, column in enumerate(self.table.key))
        where = f"({self.keys}) > ({after})" if begun else "true"
        of_capture = "capture_id = %(run)s" if of_run else "true"
        arrived = "arrival IS NOT NULL"
        pages = {
            "entries": (
                f"SELECT DISTINCT {self.keys} FROM {self.history} WHERE {where} AND {of_capture} AND {arrived}",
                BATCH_KEYS,
            ),
            "rows": (f"SELECT {self.keys}, capture_id FROM {self.serving} WHERE {where}", _SCANNED_KEYS),
        }
        if not of_run:
            pages["bases"] = (f"SELECT {self.keys} FROM {self.baseline} WHERE {where}", BATCH_KEYS)
        ctes = ", ".join(
            f"{name} AS MATERIALIZED ({page} ORDER BY {self.keys} LIMIT {limit})"
            for name, (page, limit) in pages.items()
        )
        full = " UNION ALL ".join(
            f"(SELECT {self.keys} FROM {name} ORDER BY {self.keys} OFFSET {limit - 1} LIMIT 1)"
            for name, (_, limit) in pages.items()
        )
        of_row = {"rows": f"WHERE {of_capture if of_run else 'capture_id IS NOT NULL'}"}
        known = " UNION ".join(f"SELECT {self.keys} FROM {name} {of_row.get(name, '')}" for name in pages)
        last = f"SELECT {self.keys} FROM last_key"
        return f"""
            WITH {ctes}, last_key AS (SELECT {self.keys} FROM ({full}) e ORDER BY {self.keys} LIMIT 1)
            (SELECT {self._texts("k")}, false FROM ({known}) k
             WHERE NOT EXISTS ({last}) OR ({self.of("k", self.key)}) <= ({last}) ORDER BY {self.of("k", self.key)})
            UNION ALL SELECT {self._texts("l")}, true FROM last_key l"""
