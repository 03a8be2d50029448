"""Checks of Postgres: whether it is reached, its version, migrations, tables, indexes, permissions, size, clock."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from rederive.database import connect, place
from rederive.doctor.findings import Check, Finding, Verdict
from rederive.migrate import columns_gone, columns_of, tables_gone, tables_of
from schemas.domain import Domain
from schemas.migrations import revisions

_OLDEST = 150_000
_MIGRATE = "`rederive migrate`"
_START = "start one (`rederive local start`), or name one: set REDERIVE_DATABASE_URL"
_CLOCK_SECONDS = 2.0
_SHOWN = 5


def reach(url: str | None) -> Iterator[Finding]:
    """Whether a connection can be made, and the server's version. Failed as `connect`."""
    if url is None:
        yield Finding("postgres", "not there", Verdict.WRONG, "none is named and no embedded one runs", _START)
        return
    with connect(url, application="rederive doctor") as connection:
        (version, size) = _row(
            connection, "SELECT current_setting('server_version'), pg_database_size(current_database())"
        )
        value = f"{place(url)}: Postgres {version}, {size / 2**20:,.0f} MiB"
        if connection.info.server_version < _OLDEST:
            why = "versions before 15 lack what migrations need"
            yield Finding("postgres", value, Verdict.WRONG, why, "use Postgres 15 or newer")
        else:
            yield Finding("postgres", value)


def checks(url: str | None, meant: Sequence[Domain], away: str) -> Iterator[Check]:
    """Each with a connection of its own: one that waits holds no other back."""

    def connected(look: Callable[[Connection], Iterator[Finding]]) -> Callable[[], Iterator[Finding]]:
        def looked() -> Iterator[Finding]:
            with connect(url or "", application="rederive doctor") as connection:
                yield from look(connection)

        return looked

    yield Check("migrations", connected(_migrations), away)
    yield Check("tables", connected(lambda connection: _tables(connection, meant)), away)
    yield Check("indexes", connected(lambda connection: _indexes(connection, meant)), away)
    yield Check("permissions", connected(lambda connection: _permissions(connection, meant)), away)
    yield Check("clock", connected(_clock), away)


def _row(connection: Connection, query: str, parameters: Sequence[object] = ()) -> tuple[Any, ...]:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return tuple(row)


def _migrations(connection: Connection) -> Iterator[Finding]:
    newest = revisions()[-1]
    if _row(connection, "SELECT to_regclass('rederive.migrations')") == (None,):
        yield Finding("migrations", "none has been run", Verdict.WRONG, f"this program is at {newest}", _MIGRATE)
        return
    (at,) = _row(connection, "SELECT version_num FROM rederive.migrations")
    if at == newest:
        yield Finding("migrations", f"at {at}, the newest")
    else:
        yield Finding("migrations", f"at {at}", Verdict.WRONG, f"this program is at {newest}", _MIGRATE)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _tables(connection: Connection, meant: Sequence[Domain]) -> Iterator[Finding]:
    names = tables_of(meant)
    if gone := tables_gone(connection, meant):
        yield Finding("tables", f"{len(gone)} of {len(names)} are missing", Verdict.WRONG, _listed(gone), _MIGRATE)
    else:
        yield Finding("tables", f"all {len(names)} are there")
    wanted = columns_of(meant)
    if lacking := [f"{table}.{column.name}" for table, column in columns_gone(connection, meant)]:
        yield Finding(
            "columns", f"{len(lacking)} of {len(wanted)} are missing", Verdict.WRONG, _listed(lacking), _MIGRATE
        )
    else:
        yield Finding("columns", f"all {len(wanted)} are there")


def _indexes(connection: Connection, meant: Sequence[Domain]) -> Iterator[Finding]:
    """Whether each table that rows are written to has a unique index on its key, and no index is broken."""
    names = tables_of(meant)
    broken = [
        name
        for (name,) in connection.execute(
            """SELECT indexrelid::regclass::text FROM pg_index
               WHERE NOT (indisvalid AND indisready)
                 AND indrelid IN (SELECT to_regclass(t) FROM unnest(%s::text[]) t)""",
            [names],
        )
    ]
    if broken:
        mend = f"REINDEX INDEX CONCURRENTLY {broken[0]}; and so on"
        yield Finding("indexes", f"{len(broken)} can't be used", Verdict.WRONG, _listed(broken), mend)
    written = [table.written for domain in meant for table in domain.tables]
    without = [
        table.name
        for table in written
        if _row(
            connection,
            """SELECT to_regclass(%s) IS NOT NULL AND NOT EXISTS (
                   SELECT FROM pg_index i WHERE indrelid = to_regclass(%s) AND indisunique AND indisvalid
                     AND indpred IS NULL AND (
                         SELECT array_agg(attname::text ORDER BY attname::text) FROM pg_attribute
                         WHERE attrelid = i.indrelid AND attnum = ANY(i.indkey[0:i.indnkeyatts - 1])) <@ %s::text[])""",
            [table.name, table.name, sorted(column.name for column in table.key)],
        )
        == (True,)
    ]
    if without:
        why = f"rows of {_listed(without)} are looked up by their key"
        mend = "put the primary key back (schemas/migrations has it)"
        yield Finding("indexes", f"{len(without)} tables have none on their key", Verdict.WRONG, why, mend)
    if not broken and not without:
        yield Finding("indexes", f"each of {len(written)} tables has one on its key, all can be used")


def _permissions(connection: Connection, meant: Sequence[Domain]) -> Iterator[Finding]:
    (user,) = _row(connection, "SELECT current_user::text")
    inputs = {name for domain in meant for name in domain.inputs}
    names = tables_of(meant)
    lacking = [
        f"{right} on {name}"
        for name, right in connection.execute(
            """SELECT t, r FROM unnest(%s::text[]) t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) r
               JOIN LATERAL (SELECT relkind FROM pg_class WHERE oid = to_regclass(t)) k ON true
               WHERE (r = 'SELECT' OR (NOT t = ANY(%s) AND k.relkind IN ('r', 'p')))
                 AND has_schema_privilege((SELECT relnamespace FROM pg_class WHERE oid = to_regclass(t)), 'USAGE')
                 AND NOT has_table_privilege(to_regclass(t), r)
               UNION ALL
               SELECT nspname, 'USAGE' FROM pg_namespace
               WHERE nspname IN ('rederive', 'public') AND NOT has_schema_privilege(oid, 'USAGE')""",
            [names, sorted(inputs)],
        )
    ]
    if lacking:
        mend = f'GRANT {lacking[0]} TO "{user}"; and so on, as the tables\' owner'
        yield Finding("permissions", f"{user} lacks {len(lacking)}", Verdict.WRONG, _listed(lacking), mend)
    else:
        yield Finding("permissions", f"{user} may read and write what it needs")


def _clock(connection: Connection) -> Iterator[Finding]:
    """How far this machine's clock is from the server's, as far as the way there and back lets one see."""
    off, least = 0.0, float("inf")
    for _ in range(3):
        began, clock = time.time(), time.monotonic()
        (moment,) = _row(connection, "SELECT clock_timestamp()")
        took = time.monotonic() - clock
        if took < least:
            assert isinstance(moment, datetime)
            least, off = took, began + took / 2 - moment.timestamp()
    where = "ahead of" if off > 0 else "behind"
    value = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, {abs(off):.3f} s {where} the database's"
    if abs(off) > _CLOCK_SECONDS + least:
        why = "days of live captures and latencies are told by both clocks"
        yield Finding("clock", value, Verdict.WRONG, why, "let both machines follow the same time server")
    else:
        yield Finding("clock", value)
