"""The table of cursors: where a live producer stands among the transactions of its server."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from store.rows import row, rows, value


@dataclass(frozen=True, slots=True)
class Position:
    """A place among transactions: what snapshot `since` saw has been delivered.

    While what `upto` sees is read in pages, it is set, and the last row delivered is the one after which (xid, key)
    order goes on. Snapshots are pg_snapshot's texts, `server` is the server's system identifier. What was committed
    before the moment `reached`, by the server's clock, has been delivered.
    """

    server: int
    since: str
    reached: datetime
    upto: str | None = None
    after_xid: int | None = None
    after_key: int | None = None


_POSITION = "server, since::text, reached, upto::text, after_xid::text::int8, after_key"


def server_of(connection: Connection) -> int:
    """The server's own identifier: a restored copy has it too, another server hasn't."""
    return int(value(connection, "SELECT system_identifier FROM pg_control_system()"))


def load(connection: Connection, name: str) -> Position | None:
    """The position of that name, or None."""
    return row(
        connection,
        Position,
        f"SELECT {_POSITION} FROM rederive.cursors WHERE name = %s",
        [name],
    )


@dataclass(frozen=True, slots=True)
class Reached:
    """A cursor's moment, `age` seconds ago by the server's clock: what was committed before has been delivered."""

    domain: str
    name: str
    moment: datetime
    age: float


def reached(connection: Connection, domain: str | None = None) -> list[Reached]:
    """How far what arrives has been found, of a domain or of all; a cursor's name begins with its domain's and a dot.

    It is kept every few seconds while nothing arrives.
    """
    return rows(
        connection,
        Reached,
        """SELECT split_part(name, '.', 1) AS domain, name, reached AS moment,
                  extract(epoch FROM now() - reached)::float8 AS age
           FROM rederive.cursors WHERE %(domain)s::text IS NULL OR split_part(name, '.', 1) = %(domain)s
           ORDER BY name""",
        {"domain": domain},
    )


def save(connection: Connection, name: str, position: Position) -> None:
    """Keep a position."""
    connection.execute(
        """INSERT INTO rederive.cursors (name, server, since, reached, upto, after_xid, after_key)
           VALUES (%s, %s, %s, %s, %s, %s::text::xid8, %s)
           ON CONFLICT (name) DO UPDATE SET server = excluded.server, since = excluded.since, upto = excluded.upto,
               after_xid = excluded.after_xid, after_key = excluded.after_key, reached = excluded.reached""",
        [
            name, position.server, position.since, position.reached, position.upto,
            None if position.after_xid is None else str(position.after_xid), position.after_key,
        ],
    )  # fmt: skip


def of_domain(connection: Connection, domain: str) -> dict[str, Position]:
    """The positions of a domain's cursors, by their names."""
    found = connection.execute(
        f"SELECT name, {_POSITION} FROM rederive.cursors WHERE starts_with(name, %s)", [f"{domain}."]
    )
    return {name: Position(*position) for name, *position in found}
