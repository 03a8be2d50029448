"""Connections to Postgres, and the one place where a database error becomes a message for a person.

    with explained("the NULL audit"), connect(url, application="rederive report") as connection:
        ...

No message of this module holds a password: a connection string is shown as user, host, port and database only, and
libpq's text is left out where it quotes the string itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from schemas.errors import Failed
from schemas.migrations import revisions

if TYPE_CHECKING:
    from rederive.settings import Settings

CONNECT_SECONDS = 10
_SET_URL = "set REDERIVE_DATABASE_URL to postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_SCHEMA = "public"
_START = "start Postgres (`rederive local start`), or " + _SET_URL
_MIGRATE = "run `rederive migrate`: it makes what is missing, or says why it can't"

# Text that goes to and fro as the program writes and reads it, and locks that show what was committed meanwhile. Said
# by statements: libpq sends PGTZ and PGDATESTYLE after the options of an address.
_TERMS = """
    SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres';
    SET extra_float_digits = 1; SET array_nulls = on; SET bytea_output = 'hex'; SET standard_conforming_strings = on;
    SET default_transaction_isolation = 'read committed'"""

# Limits that a role or a database has for people's queries: a merge that they end comes again, and is ended again.
# Those of the address itself are meant for this program.
_UNLIMITED = """
    SELECT set_config(name, '0', false) FROM pg_settings WHERE source <> 'client' AND setting <> '0' AND name IN (
        'statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout',
        'idle_session_timeout')"""

# Of a process that was killed: a statement of it would go on, and hold its locks, until it has a row to send.
_LOOK_FOR_CLIENT = "SET client_connection_check_interval = '2s'"

_STAYS = "what was committed stays, the rest is undone"

# libpq gives no SQLSTATE for a connection that never came to be, only text.
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    ("password authentication failed", "the user or the password is wrong", "correct them: " + _SET_URL),
    ("no password supplied", "the server wants a password and none was given", _SET_URL),
    ("pg_hba.conf", "the server lets this user in from here under no rule", "add a line to the server's pg_hba.conf"),
    ("connection refused", "nothing answers there", _START),
    ("no such file or directory", "nothing answers there", _START),
    ("failed to resolve host", "no such host", _SET_URL),
    ("timeout expired", f"no answer within {CONNECT_SECONDS} s", _START),
    ("connection timeout", f"no answer within {CONNECT_SECONDS} s", _START),
    ("too many clients", "the server has no connection left", "stop what holds them, or raise max_connections"),
    ("starting up", "the server is still starting", "try again in a moment"),
    ("shutting down", "the server is shutting down", _START),
    ("recovery mode", "the server is recovering from a crash", "try again in a moment"),
    ("not yet accepting", "the server is recovering from a crash", "try again in a moment"),
)

_MEANINGS: dict[str, str] = {
    "57P01": "somebody has ended the connection (pg_terminate_backend), or the server is shutting down",
    "57P02": "a process of the server has crashed, and with it all connections",
}
"""By SQLSTATE, where the server's own message doesn't say it."""

# By SQLSTATE, or its class of two characters; the server's own message is the reason.
_MENDS: dict[str, str] = {
    "08": _START,
    "25006": "connect to the primary: this server takes no writes",
    "28": "correct the user and password: " + _SET_URL,
    "3D000": "create the database, or " + _SET_URL,
    "3F000": _MIGRATE,
    "42501": "connect as the owner of the tables, or GRANT this user what the message names",
    "42703": _MIGRATE,
    "42704": _MIGRATE,
    "42883": _MIGRATE,
    "42P01": _MIGRATE,
    "42P07": "rename it, or move it to another schema, when it isn't the one that is meant; then try again",
    "53100": "free disk space on the server",
    "53300": "stop what holds the connections, or raise max_connections",
    "55P03": "something else holds the lock: try again when it has ended",
    "57014": "raise the server's statement_timeout, or narrow the range",
    "57": f"start it again when the server is back: {_STAYS}",
    "57P01": f"start it again: {_STAYS}",
}


def connect(url: str, *, application: str, autocommit: bool = True) -> psycopg.Connection:
    """An open connection in UTC that names itself `application` in pg_stat_activity.

    With `autocommit` (the default) a transaction is what `connection.transaction()` encloses. Failed when no connection
    can be made: nothing answers, a wrong password, no such database, a string that is none. NewerError for a database
    of a newer version.
    """
    where = place(url)
    try:
        connection = session(url, application)
    except psycopg.Error as error:
        raise _refused(error, where) from error
    try:
        check_version(connection)
        connection.autocommit = autocommit
    except BaseException as error:
        connection.close()
        if isinstance(error, psycopg.Error):
            raise _refused(error, where) from error
        raise
    return connection


def session(url: str, application: str) -> psycopg.Connection:
    """A connection in autocommit on the program's terms: UTF-8, UTC, every digit of a float, reading what is committed.

    What a role, a database, an address or libpq's variables set otherwise doesn't matter: rows would be written in
    another encoding, and read rounded. Nor do limits of time, unless the address says them. Raises psycopg.Error.
    """
    connection = psycopg.connect(connection_string(url, application), autocommit=True)
    try:
        agree(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def session_beside(connection: psycopg.Connection) -> psycopg.Connection:
    """Another session like an open one's, for what is done beside it. Raises psycopg.Error."""
    info = connection.info
    given = make_conninfo("", **{**info.get_parameters(), "password": info.password or None})
    return session(given, info.get_parameters().get("application_name", "rederive"))


def agree(connection: psycopg.Connection) -> None:
    """Put an open connection on the terms of `session`. Raises psycopg.Error."""
    connection.execute(_TERMS)
    connection.execute(_UNLIMITED)
    # A server on a system that can't tell refuses it.
    with suppress(psycopg.errors.InvalidParameterValue):
        connection.execute(_LOOK_FOR_CLIENT)


class NewerError(Failed):
    """A newer version of the program has made the database's tables: this one would misread them."""


_READABLE = """
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'rederive' AND c.relname = 'migrations'
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"""


def check_version(connection: psycopg.Connection) -> None:
    """NewerError when the database is at a migration that this program doesn't have."""
    if connection.execute(_READABLE).fetchone() is None:
        return
    row = connection.execute("SELECT version_num FROM rederive.migrations").fetchone()
    own = revisions()
    if row is not None and row[0] not in own:
        raise NewerError(
            "a newer version of rederive has made the tables of this database: nothing is done",
            why=f"it is at migration {row[0]}, this version knows them up to {own[-1]}",
            mend=f"use that version, or another database: {_SET_URL}",
        )


def connection_string(url: str, application: str) -> str:
    """`url` as every connection of the program uses it (`session`): named, patient for 10 s, with tables in `public`.

    What a user or a database has as its search path doesn't matter: one user's tables must be every user's. A
    `search_path` in the options of the URL itself does count.
    """
    given = conninfo_to_dict(url)
    return make_conninfo(
        url,
        application_name=application,
        connect_timeout=given.get("connect_timeout") or CONNECT_SECONDS,
        options=f"-c search_path={_SCHEMA} {given.get('options') or ''}",
    )


@contextmanager
def opened(doing: str, settings: "Settings | None" = None) -> Iterator[psycopg.Connection]:
    """A connection to the database of the settings, the environment's unless given; errors explained.

    Where none is named it is the embedded one, started when it doesn't run.
    `doing` is a noun phrase: "the NULL audit". Kafka is not touched. Failed where there is no database yet: nothing
    could be found in a new one.
    """
    from rederive import local
    from rederive.endpoints import resolve_database
    from rederive.settings import Settings

    settings = settings or Settings()
    if settings.database_url is None and not local.has_database(settings):
        raise Failed(
            f"there is no database for {doing}",
            why=f"none is named, and {settings.home} never had an embedded one",
            mend="`rederive migrate` makes an embedded one with its tables; or " + _SET_URL,
        )
    url = resolve_database(settings)
    with explained(doing), connect(url, application=f"rederive: {doing}") as connection:
        yield connection


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn any psycopg error inside into Failed; `doing` is a noun phrase that says what was being done.

    A missing table or column names `rederive migrate`. Failed and everything that isn't a database error pass through.
    """
    try:
        yield
    except psycopg.Error as error:
        raise failure(error, doing) from error


def failure(error: psycopg.Error, doing: str) -> Failed:
    """The message for a database error that came while `doing`."""
    state = error.sqlstate
    if isinstance(error, psycopg.DataError) and state is None:
        # Not the server's: psycopg could not make a Python value of a stored one.
        return Failed(
            f"{doing} failed: a stored value can't be read",
            why=first_line(error),
            mend="correct the row, or delete it: times are of the years 1 to 9999",
        )
    if state is None:
        mend = f"{_START}; then start it again: {_STAYS}"
        return Failed(f"{doing} failed: the connection to the database is gone", why=first_line(error), mend=mend)
    why = error.diag.message_primary or first_line(error)
    if error.diag.message_detail and not state.startswith("22"):
        why += f" ({error.diag.message_detail})"
    if meaning := _MEANINGS.get(state):
        why = f"{meaning}: {why}"
    return Failed(f"{doing} failed in the database", why=f"{why} [{state}]", mend=_mend(state))


def _refused(error: psycopg.Error, place: str) -> Failed:
    what = f"no connection to the database {place}"
    text = str(error)
    lowered = text.lower()
    for sign, why, mend in _REFUSALS:
        if sign in lowered:
            return Failed(what, why=why, mend=mend)
    if "does not exist" in lowered:
        return Failed(what, why=_last_clause(text), mend="create it, or " + _SET_URL)
    return Failed(what, why=_last_clause(text), mend=_mend(error.sqlstate) if error.sqlstate else _START)


def place(url: str) -> str:
    """The address without its password: "rederive@localhost:5432/betfair"; Failed when `url` can't be one."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        # The original message quotes the string, password and all.
        raise Failed(
            "the database URL can't be read", why="it is no Postgres connection string", mend=_SET_URL
        ) from None
    user, host, port, name = (str(parts.get(key) or "") for key in ("user", "host", "port", "dbname"))
    # libpq cuts at the first @ and /, so the rest of a password that holds one lands in these.
    torn = "://" in url and "@" in host.lstrip("@") + name
    if torn or not all(part.isdigit() for part in port.split(",") if part):
        raise Failed(
            "the database URL can't be read",
            why="host, port and database don't come apart: a password with @, / or : must be percent-encoded",
            mend=_SET_URL,
        )
    address = (host or "localhost") + (f":{port}" if port else "")
    return f"{user}@{address}/{name}" if user else f"{address}/{name}"


def _mend(state: str) -> str:
    return _MENDS.get(state) or _MENDS.get(state[:2], "")


def first_line(error: psycopg.Error) -> str:
    """What an error says, without what libpq adds for people who look at one connection."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _last_clause(text: str) -> str:
    """Of libpq's text what the server said: all after FATAL or ERROR, else its first line."""
    line = next((line for line in text.splitlines() if "FATAL:" in line or "ERROR:" in line), text.splitlines()[0])
    for sign in ("FATAL:", "ERROR:"):
        line = line.rpartition(sign)[2]
    return line.strip()
