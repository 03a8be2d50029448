"""Rows that have been committed to a table since a place, each found once: a cursor of two snapshots.

A row is visible to a snapshot when its transaction is. So what has been committed between two snapshots are the rows of
transactions that began after the first, or were open in it, and are seen by the second: found when they commit, however
late, in whatever order, and no long transaction holds anything back. What PgQ does, with the server's own functions.
"""

import logging
from dataclasses import dataclass, replace
from functools import cached_property

import psycopg
from psycopg import Connection, sql

from schemas.errors import Failed
from store.cursors import Position, server_of

log = logging.getLogger(__name__)

XID = "xid"
"""The column that holds a row's transaction: xid8, by default pg_current_xact_id()."""


@dataclass(frozen=True, slots=True)
class Found:
    """Keys of rows, in the order of their transactions, and the position when they have been delivered.

    With `more` there are others that the same snapshot sees.
    """

    keys: list[int]
    after: Position
    more: bool


@dataclass(frozen=True)
class Arrivals:
    """The rows of a table, by its whole-number key."""

    table: str
    key: str

    def now(self, connection: Connection) -> Position:
        """The position behind all that is committed now. Failed on a standby."""
        self._check_primary(connection)
        row = connection.execute("SELECT pg_current_snapshot()::text, statement_timestamp()").fetchone()
        assert row is not None
        return Position(server_of(connection), *row)

    def check(self, connection: Connection, position: Position) -> None:
        """Failed when the position means nothing here: on a standby, another server, or one set back in time."""
        self._check_primary(connection)
        mend = "begin anew with `--from-now`, then `rederive gaps` says what the time between lacks"
        if server_of(connection) != position.server:
            raise Failed(
                f"this is not the server on which {self.table} was followed",
                why="its system identifier is another one: its transactions have other numbers",
                mend=mend,
            )
        row = connection.execute(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8, pg_snapshot_xmax(%s::pg_snapshot)::text::int8",
            [position.upto or position.since],
        ).fetchone()
        assert row is not None
        if row[0] < row[1]:
            raise Failed(
                f"the server on which {self.table} was followed has been set back",
                why=f"its next transaction is {row[0]:,}, what was delivered goes to {row[1]:,}: it was restored",
                mend=mend,
            )

    def _check_primary(self, connection: Connection) -> None:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        assert row is not None
        if row[0]:
            raise Failed(
                "this server is a standby",
                why="what is committed is known on its primary only",
                mend="name the primary",
            )

    def ready(self, connection: Connection) -> None:
        """See that the table can be followed: its index is made, beside whoever writes. The session must autocommit."""
        name = f"rederive_{self.table}_arrivals"
        valid = connection.execute(
            """SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE i.indrelid = to_regclass(%s) AND c.relname = %s""",
            [self.table, name],
        ).fetchone()
        if valid is not None and valid[0]:
            return
        try:
            if valid is not None:
                connection.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(name)))
            log.info("the index %s is being made; what writes to %s goes on meanwhile", name, self.table)
            connection.execute(
                sql.SQL("CREATE INDEX CONCURRENTLY {} ON {} ({xid}, {}) WHERE {xid} IS NOT NULL").format(
                    sql.Identifier(name), sql.Identifier(self.table), sql.Identifier(self.key), xid=sql.Identifier(XID)
                )
            )
        except psycopg.errors.UndefinedColumn as error:
            raise Failed(
                f"{self.table} can't be followed", why="it has no column xid", mend="run `rederive migrate`"
            ) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise Failed(
                f"the index {name} can't be made",
                why=str(error).strip(),
                mend=f"have the owner of {self.table} make it",
            ) from error

    def after(self, connection: Connection, position: Position, limit: int) -> Found:
        """Up to so many rows that have been committed since the position."""
        _, xmax, open_ = position.since.split(":")
        last = (position.after_xid or 0, -1 if position.after_key is None else position.after_key)
        new = max(last, (int(xmax), -(2**63)))
        rows = connection.execute(
            self.statement,
            {
                "since": position.since,
                "upto": position.upto,
                "open": [xid for xid in open_.split(",") if xid],
                "xid": str(last[0]),
                "key": last[1] if position.after_xid is not None else -(2**63),
                "new_xid": str(new[0]),
                "new_key": new[1],
                "limit": limit,
            },
            prepare=True,
        ).fetchall()
        *_, upto, looked = rows[0]
        keys = [row[1] for row in rows if row[1] is not None]
        if len(keys) < limit:
            # The pages of a snapshot that was taken before say nothing of what has been committed since.
            reached = looked if position.upto is None else position.reached
            return Found(keys, Position(position.server, upto, reached), more=False)
        xid, key, *_ = rows[-1]
        return Found(keys, replace(position, upto=upto, after_xid=int(xid), after_key=key), more=True)

    def undelivered(self, row: str) -> str:
        """The condition that a row has not been delivered at a position, whose parameters `told` gives."""
        seen = f"pg_visible_in_snapshot({row}.{XID}, %(since)s::pg_snapshot)"
        page = f"""pg_visible_in_snapshot({row}.{XID}, %(upto)s::pg_snapshot)
            AND ({row}.{XID}, {row}.{self.key}) <= (%(xid)s::text::xid8, %(key)s::int8)"""
        return f"({row}.{XID} IS NOT NULL AND NOT {seen} AND NOT coalesce({page}, false))"

    @staticmethod
    def told(position: Position) -> dict[str, object]:
        """A position as the parameters of `undelivered`."""
        xid = None if position.after_xid is None else str(position.after_xid)
        return {"since": position.since, "upto": position.upto, "xid": xid, "key": position.after_key}

    @cached_property
    def statement(self) -> str:
        """One statement, whose own snapshot is the second unless the first page has fixed it.

        Each open transaction is looked up by itself: one condition with OR, or a join, and the planner may read the
        whole index.
        """
        table, key = self.table, self.key
        seen = f"""r.{XID} < pg_snapshot_xmax(s.upto) AND pg_visible_in_snapshot(r.{XID}, s.upto)
            AND NOT pg_visible_in_snapshot(r.{XID}, %(since)s::pg_snapshot)
            ORDER BY r.{XID}, r.{key} LIMIT %(limit)s"""
        return f"""
            WITH s AS MATERIALIZED (SELECT coalesce(%(upto)s::pg_snapshot, pg_current_snapshot()) AS upto)
            SELECT page.xid::text, page.key, s.upto::text, statement_timestamp() FROM s LEFT JOIN LATERAL (
                SELECT u.xid, u.key FROM (
                    (SELECT r.{XID} AS xid, r.{key} AS key FROM {table} r
                     WHERE r.{XID} >= %(new_xid)s::xid8
                       AND (r.{XID}, r.{key}) > (%(new_xid)s::xid8, %(new_key)s::int8) AND {seen})
                    UNION ALL
                    (SELECT l.xid, l.key FROM unnest(%(open)s::xid8[]) AS o(xid) CROSS JOIN LATERAL (
                        SELECT r.{XID} AS xid, r.{key} AS key FROM {table} r
                        WHERE r.{XID} = o.xid
                          AND (r.{XID}, r.{key}) > (%(xid)s::xid8, %(key)s::int8) AND {seen}) l
                     ORDER BY l.xid, l.key LIMIT %(limit)s)) u
                ORDER BY u.xid, u.key LIMIT %(limit)s) page ON true
            ORDER BY page.xid, page.key"""
