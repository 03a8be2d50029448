"""Which sessions of the server are at work on captures: who runs one, who takes one back or promotes it."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection

from store.rows import value

_ROLLBACK = "hashtext('rederive.rollback'), hashtext(%s)"


@contextmanager
def rollback_alone(connection: Connection, capture_id: str) -> Iterator[None]:
    """For as long as the block runs no other session rolls the capture back or promotes it: one is awaited."""
    connection.execute(f"SELECT pg_advisory_lock({_ROLLBACK})", [capture_id])
    try:
        yield
    finally:
        # With its session the lock is gone.
        if not connection.closed:
            connection.execute(f"SELECT pg_advisory_unlock({_ROLLBACK})", [capture_id])


def is_rolled_back_now(connection: Connection, capture_id: str) -> bool:
    """Whether a session is at it."""
    return bool(
        value(
            connection,
            """SELECT EXISTS (
                   SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
                   WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                     AND l.classid::int8 = hashtext('rederive.rollback') & x'ffffffff'::int8
                     AND l.objid::int8 = hashtext(%s) & x'ffffffff'::int8)""",
            [capture_id],
        )
    )


def running_by(connection: Connection, prefix: str, until: str, *, anywhere: bool = False) -> dict[str, str]:
    """The captures that sessions of this database, or of the whole server, run now: those so named.

    By id, each with since when and from where, as the server sees it. A name goes on with `until`, and seconds since
    1970, for as long as it pauses: then until when.
    """
    found = connection.execute(
        """SELECT split_part(substr(application_name, length(%(run)s) + 1), %(until)s, 1),
                  concat_ws(', ', to_char(min(backend_start) AT TIME ZONE 'UTC', '"since "YYYY-MM-DD HH24:MI:SS" UTC"'),
                            'from ' || host(min(client_addr)),
                            to_char(to_timestamp(min(nullif(split_part(application_name, %(until)s, 2), ''))::int8)
                                    AT TIME ZONE 'UTC', '"pauses until "YYYY-MM-DD HH24:MI:SS" UTC"'))
           FROM pg_stat_activity
           WHERE starts_with(application_name, %(run)s) AND (%(anywhere)s OR datname = current_database())
           GROUP BY 1 ORDER BY 1""",
        {"run": prefix, "until": until, "anywhere": anywhere},
    )
    return dict(found.fetchall())


def name_run(connection: Connection, name: str) -> None:
    """Give this session another name, by which `running_by` finds it."""
    connection.execute("SELECT set_config('application_name', %s, false)", [name])


def lock_run(connection: Connection, number: int) -> bool:
    """Take the right to run the capture of that number, for this session; False when another one has it."""
    return bool(value(connection, "SELECT pg_try_advisory_lock(hashtext('rederive.run'), %s)", [number]))
