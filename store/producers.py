"""The table of live producers: which one of a domain works, and that it still does."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from store.rows import row, rows, value

STALE_SECONDS = 6.0
"""A producer that hasn't said a word for so long is gone, or its machine is: another one takes over."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who produces for a domain: its machine, the process there, the server's process that serves it.

    `silent` are the seconds since its last word, `still` those since it got on. `standing` are those since it was
    connected, None when its session is gone or another user's.
    """

    domain: str
    machine: str
    pid: int
    backend: int
    silent: float
    still: float
    standing: float | None = None


def are_there(connection: Connection) -> bool:
    """Whether a migration has made the table."""
    return value(connection, "SELECT to_regclass('rederive.producers')") is not None


def hold(connection: Connection, domain: str) -> bool:
    """Take the right to produce for a domain, for as long as the session lives; False when another one has it."""
    return bool(value(connection, "SELECT pg_try_advisory_lock(hashtext('rederive.live'), hashtext(%s))", [domain]))


def now(connection: Connection) -> datetime:
    """The moment by the server's clock."""
    found: datetime = value(connection, "SELECT now()")
    return found


def begin(connection: Connection, domain: str, machine: str, pid: int) -> None:
    """Say who produces now, over the session that holds the right."""
    connection.execute(
        """INSERT INTO rederive.producers (domain, machine, pid, backend, spoke_at, moved_at)
           VALUES (%s, %s, %s, pg_backend_pid(), now(), now())
           ON CONFLICT (domain) DO UPDATE SET machine = excluded.machine, pid = excluded.pid,
               backend = excluded.backend, spoke_at = excluded.spoke_at, moved_at = excluded.moved_at""",
        [domain, machine, pid],
    )


def speak(connection: Connection, domain: str, pid: int, still: float) -> None:
    """Say that a producer lives, and for how many seconds it hasn't got on."""
    connection.execute(
        """UPDATE rederive.producers SET spoke_at = now(), moved_at = now() - %s * interval '1 s'
           WHERE (domain, pid) = (%s, %s)""",
        [still, domain, pid],
    )


def end(connection: Connection, domain: str, pid: int) -> None:
    """Forget a producer that has stopped in order."""
    connection.execute("DELETE FROM rederive.producers WHERE (domain, pid) = (%s, %s)", [domain, pid])


def holder(connection: Connection, domain: str) -> Holder | None:
    """Who produces for a domain."""
    return row(connection, Holder, f"{_SELECT} WHERE domain = %s", [domain])


def holders(connection: Connection) -> list[Holder]:
    """Who produces, by domain."""
    return rows(connection, Holder, f"{_SELECT} ORDER BY domain")


_SELECT = """SELECT domain, machine, pid, backend, extract(epoch FROM now() - spoke_at)::float8 AS silent,
    extract(epoch FROM now() - moved_at)::float8 AS still,
    (SELECT extract(epoch FROM now() - a.backend_start)::float8 FROM pg_stat_activity a
     WHERE a.pid = backend AND a.application_name = left('rederive producer ' || domain, 63)) AS standing
    FROM rederive.producers"""


def depose(connection: Connection, domain: str) -> bool:
    """End the session of a domain's producer that is silent; whether there was one.

    Its right goes with it. A process that was only asleep finds its connection gone and stands by.
    """
    return bool(
        value(
            connection,
            """SELECT pg_terminate_backend(a.pid)
               FROM rederive.producers p JOIN pg_stat_activity a ON a.pid = p.backend
               WHERE p.domain = %s AND p.spoke_at < now() - %s * interval '1 s'
                 AND a.application_name = left('rederive producer ' || p.domain, 63)""",
            [domain, STALE_SECONDS],
        )
    )


def alone(connection: Connection, machine: str, domain: str) -> bool:
    """Take the place of a machine's supervisor of a domain, while the session lives; False when it is taken."""
    return bool(
        value(
            connection,
            "SELECT pg_try_advisory_lock(hashtext('rederive.machine'), hashtext(%s))",
            [f"{machine} {domain}"],
        )
    )


def where(connection: Connection, machine: str) -> str:
    """Since when and from where a machine's supervisors are connected, in words; this session aside."""
    found = value(
        connection,
        """SELECT concat_ws(', ', to_char(min(backend_start) AT TIME ZONE 'UTC', '"since "YYYY-MM-DD HH24:MI:SS" UTC"'),
                            'from ' || host(min(client_addr)))
           FROM pg_stat_activity WHERE application_name = %s AND pid <> pg_backend_pid()""",
        [f"rederive live {machine}"],
    )
    return str(found or "")
