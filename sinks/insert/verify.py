"""Hold rows that are keyed by their capture against what is counted of them, and against what is shown. Reads only.

Rows are looked at by the values of their key's first column, a statement or two each, where captures are counted by it
too: a week at a time, for instance.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from psycopg import Connection

from schemas.table import CAPTURE, Table
from sinks import planner
from sinks.policy import Fault, Scope, Verified
from store.lineage import unwritten
from store.rows import values

Key = tuple[str, ...]

_UNCOUNTED = "rows of a capture are counted wrong"
_SHOWN = "rows of a partition's newest capture aren't what is shown of it"
_UNWRITTEN = "no unit that counts has written this capture"


def verify(connection: Connection, table: Table, scope: Scope | None, after: Key) -> Iterator[Verified]:
    """By batches: captures that are miscounted, that aren't shown though they are the newest, or that nobody wrote."""
    planner.as_shipped(connection)
    if table.audit:
        yield Verified()
        return
    sql = _verifying(table)
    captures = None if scope is None else scope.captures(table)
    for part, following in _parts(connection, sql, captures, after):
        done = _batch(connection, sql, captures, part)
        done.place = part if following else None
        yield done


def held(connection: Connection, table: Table, captures: Sequence[str]) -> dict[str, int]:
    """How many rows are of each of these captures, served or in shadow; of a view, how many rows say what it shows."""
    if table.audit:
        return {}
    count = "sum(rows)::int8" if table.partition and not table.shows else "count(*)"
    counted = table.captures if table.partition else table.name
    found: Counter[str] = Counter()
    for each, of in ((count, counted), ("count(*)", table.shadow.name)):
        rows = connection.execute(
            f"SELECT {CAPTURE}, {each} FROM {of} WHERE {CAPTURE} = ANY(%s) GROUP BY {CAPTURE}", [list(captures)]
        )
        found.update(dict(rows.fetchall()))
    return found


@lru_cache
def _verifying(table: Table) -> "_Verifying":
    return _Verifying(table)


def _parts(
    connection: Connection, sql: "_Verifying", captures: Sequence[str] | None, after: Key
) -> Iterator[tuple[Key, bool]]:
    """The parts to look at, one after the other, each with whether others follow: () is all there is."""
    if sql.by is None:
        yield (), False
        return
    parameters = {"captures": captures, "after": after[0] if after else None}
    part = values(connection, sql.next_part, parameters)
    if not part:
        yield (), False
    while part:
        following = values(connection, sql.next_part, {**parameters, "after": part[0]})
        yield (part[0],), bool(following)
        part = following


def _batch(connection: Connection, sql: "_Verifying", captures: Sequence[str] | None, part: Key) -> Verified:
    table, parameters = sql.table, {"captures": captures, "part": part[0] if part else None}
    found, seen = Verified(), set[str]()
    for *key, capture, rows, counted in connection.execute(sql.counted, parameters):
        found.rows += rows
        seen.add(capture)
        if rows != counted:
            found.blame(Fault(table.name, (*key, capture), "rows", str(rows), str(counted), _UNCOUNTED))
    for capture in sorted(unwritten(connection, sorted(seen))):
        found.blame(Fault(table.name, (capture,), why=_UNWRITTEN))
    if table.partition:
        for *key, capture, wanted, shown in connection.execute(sql.shown, parameters):
            found.blame(Fault(f"{table.name}_latest", (*key, capture), "rows", str(shown), str(wanted), _SHOWN))
    return found


class _Verifying:
    """The statements of one table. captures: those asked for, or NULL for all; part: of the column `by`, or NULL."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.by = self._split()
        partition = list(table.partition)
        chosen = self._chosen()
        self.counted = self._counts(chosen)
        """Partition, time and capture with how many rows there are and how many are counted."""
        self.shown = ""
        """Where these differ: partition, newest capture, how many rows are to be shown, how many are."""
        if partition:
            names, same = ", ".join(partition), f"USING ({', '.join((*partition, CAPTURE))})"
            newest = f"{names}, {CAPTURE}"
            touched = f"""WHERE %(captures)s::text[] IS NULL OR ({names}) IN (
                SELECT {names} FROM rows_of WHERE {CAPTURE} = ANY(%(captures)s))"""
            self.shown = f"""
                WITH rows_of AS (
                    SELECT {names}, {table.observed}, {CAPTURE} FROM {table.name} r WHERE {self._within()}),
                newest AS (SELECT DISTINCT ON ({names}) {newest} FROM rows_of {touched}
                           ORDER BY {names}, {table.observed} DESC, {CAPTURE} DESC),
                wanted AS (SELECT {newest}, count(*) AS n FROM {table.name} r JOIN newest {same}
                           WHERE {table.latest or "true"} AND {self._within()} GROUP BY {newest}),
                shown AS (SELECT {newest}, count(*) AS n FROM {table.name}_latest r
                          WHERE {self._within()} AND ({names}) IN (SELECT {names} FROM newest) GROUP BY {newest})
                SELECT {", ".join(f"{name}::text" for name in partition)}, {CAPTURE},
                       coalesce(wanted.n, 0), coalesce(shown.n, 0)
                FROM wanted FULL JOIN shown {same} WHERE wanted.n IS DISTINCT FROM shown.n ORDER BY {newest}"""
        self.next_part = ""
        """The next value of the column, as text. after."""
        if self.by is not None:
            type_ = next(column.type for column in table.key if column.name == self.by)
            sources = [table.name] + ([table.captures] if table.partition else [])
            pages = " UNION ALL ".join(
                f"""(SELECT {self.by} FROM {one} WHERE {chosen}
                     AND (%(after)s::text IS NULL OR {self.by} > %(after)s::text::{type_})
                     ORDER BY {self.by} LIMIT 1)"""
                for one in sources
            )
            self.next_part = f"SELECT min({self.by})::text FROM ({pages}) p HAVING min({self.by}) IS NOT NULL"

    def _split(self) -> str | None:
        """The column by whose values the work is split: the key's first, where captures are told apart by it."""
        first = self.table.key[0].name
        return first if first in self.table.partition else None

    def _chosen(self) -> str:
        return f"(%(captures)s::text[] IS NULL OR {CAPTURE} = ANY(%(captures)s))"

    def _within(self) -> str:
        if self.by is None:
            return "(%(part)s::text IS NULL)"
        type_ = next(column.type for column in self.table.key if column.name == self.by)
        return f"(%(part)s::text IS NULL OR r.{self.by} = %(part)s::text::{type_})"

    def _counts(self, chosen: str) -> str:
        table = self.table
        if not table.partition or table.shows is not None:
            # Nobody counts them; the rows that a view shows are counted where they stand.
            return f"""SELECT {CAPTURE}, count(*) AS rows, count(*) AS counted FROM {table.name} r
                       WHERE {chosen} AND {self._within()} GROUP BY {CAPTURE} ORDER BY {CAPTURE}"""
        names = ", ".join((*table.partition, table.observed, CAPTURE))
        texts = ", ".join(f"{name}::text" for name in (*table.partition, table.observed))
        return f"""
            WITH stored AS (SELECT {names}, count(*) AS n FROM {table.name} r
                            WHERE {chosen} AND {self._within()} GROUP BY {names}),
            noted AS (SELECT {names}, rows AS n FROM {table.captures} r WHERE {chosen} AND {self._within()})
            SELECT {texts}, {CAPTURE}, coalesce(stored.n, 0) AS rows, coalesce(noted.n, 0) AS counted
            FROM stored FULL JOIN noted USING ({names}) ORDER BY {names}"""
