"""Bring a database to the newest tables: alembic over the numbered SQL of schemas/migrations."""

import logging
from collections.abc import Sequence
from pathlib import Path

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

import schemas.migrations
from rederive import domains
from rederive.database import CONNECT_SECONDS, connect, explained
from schemas.domain import Domain
from schemas.errors import Failed
from schemas.table import Column, Mode
from schemas.words import counted, verb
from sinks.policies import make
from store.rows import values

NEWEST = "head"
"""The last revision, by alembic's name."""

log = logging.getLogger(__name__)

_ENGINE = ("captures", "units", "problems", "origins")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(schemas.migrations.__file__).parent))
    return config


def migrate(database_url: str, revision: str = NEWEST) -> tuple[str | None, str | None]:
    """Run every missing migration up to `revision` in one transaction; return the revision (before, after).

    With the newest the tables of domains from elsewhere are then made from their specs. Existing tables are adopted:
    missing columns are added, NOT NULL is dropped where the formulas may give NULL, no value is touched. Failed with
    the mend when the database refuses, when tables that were to be adopted are in a schema that only this user's search
    path names, and, of the newest revision, when a table that a migration made is gone.
    """
    _check_place(database_url)
    with connect(database_url, application="rederive migrate", autocommit=False) as raw, explained("the migration"):
        failed: list[Failed] = []
        engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: raw, poolclass=sqlalchemy.StaticPool)
        try:
            with engine.begin() as connection:
                before = _revision(connection)
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
                after = _revision(connection)
                if revision == NEWEST:
                    _check_complete(raw, after)
                    failed = _make_others(raw)
        except sqlalchemy.exc.DBAPIError as error:
            raise error.orig if isinstance(error.orig, psycopg.Error) else error from None
    if failed:
        raise failed[0]
    return before, after


def _make_others(connection: psycopg.Connection) -> list[Failed]:
    """Make the tables of domains from elsewhere, each domain's whole or not at all; what is in the way of any."""
    shipped = [domain.name for domain in domains.shipped()]
    failed = []
    for name in domains.names():
        if name in shipped:
            continue
        try:
            domain = domains.find(name)
            with connection.transaction():
                make(connection, domain)
        except psycopg.Error as error:
            failed.append(domains.broken(name, "migrated", str(error).partition("\n")[0]))
        except Failed as error:
            failed.append(error)
    for one in failed[1:]:
        log.error("%s", one)
    return failed


def _check_place(database_url: str) -> None:
    """Failed when the user's search path leads to tables of a domain that the program's doesn't lead to."""
    shown = """SELECT c.relname, n.nspname FROM unnest(%s::text[]) t, pg_class c, pg_namespace n
                WHERE c.oid = to_regclass(t) AND n.oid = c.relnamespace AND n.nspname <> 'rederive'"""
    names = [name for domain in domains.shipped() for name in (*domain.inputs, *(one.name for one in domain.tables))]
    with connect(database_url, application="rederive migrate") as connection, explained("the migration"):
        own: dict[str, str] = dict(connection.execute(shown, [names]).fetchall())
        path = connection.execute("SHOW search_path").fetchone()
    with psycopg.connect(database_url, autocommit=True, connect_timeout=CONNECT_SECONDS) as users:
        there: dict[str, str] = dict(users.execute(shown, [names]).fetchall())
    astray = {name: schema for name, schema in there.items() if name not in own}
    if astray:
        assert path is not None
        name, schema = next(iter(astray.items()))
        raise Failed(
            f"{counted(len(astray), 'table')} {verb(len(astray), 'is', 'are')} in schema {schema}, {name} for one",
            why=f"this user's search path leads there; the program looks in {path[0]}, whoever the user is",
            mend=f"ALTER TABLE {schema}.{name} SET SCHEMA public, and so on; "
            f"or end REDERIVE_DATABASE_URL with ?options=-csearch_path%3D{schema}",
        )


def tables_of(meant: Sequence[Domain]) -> list[str]:
    """The engine's tables, and those of domains: what they read, their own, and what stands beside these."""
    names = [f"rederive.{name}" for name in _ENGINE]
    names += [name for domain in meant for name in domain.inputs]
    for table in (table for domain in meant for table in domain.tables):
        names.append(table.name)
        if table.policy is Mode.INSERT:
            names.append(table.shadow.name)
        else:
            names += [f"rederive.{table.name}_history", f"rederive.{table.name}_baseline"]
        if table.partition:
            names += [table.captures, f"{table.name}_latest"]
    return names


def tables_gone(connection: psycopg.Connection, meant: Sequence[Domain]) -> list[str]:
    """Which of `tables_of` aren't there."""
    return values(connection, "SELECT t FROM unnest(%s::text[]) t WHERE to_regclass(t) IS NULL", [tables_of(meant)])


def columns_of(meant: Sequence[Domain]) -> list[tuple[str, Column]]:
    """The columns of domains' own tables, by the tables' names."""
    tables = (table for domain in meant for table in domain.tables)
    return [(table.name, column) for table in tables for column in (*table.key, *table.columns)]


def columns_gone(connection: psycopg.Connection, meant: Sequence[Domain]) -> list[tuple[str, Column]]:
    """Which of `columns_of` aren't in their tables; of tables that aren't there none is."""
    wanted = columns_of(meant)
    numbers = values(
        connection,
        """SELECT n FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS w(t, c, n)
           WHERE to_regclass(t) IS NOT NULL AND NOT EXISTS (
               SELECT FROM pg_attribute WHERE attrelid = to_regclass(t) AND attname = c AND NOT attisdropped)""",
        [[table for table, _ in wanted], [column.name for _, column in wanted]],
    )
    return [wanted[number - 1] for number in numbers]


def _check_complete(connection: psycopg.Connection, revision: str | None) -> None:
    """Failed with the tables, or columns of domains' tables, that migrations have made and that are no longer there."""
    shipped = domains.shipped()
    if gone := tables_gone(connection, shipped):
        raise Failed(
            f"the database is at {revision}, but lacks {_first(gone)}",
            why="dropped, renamed or moved to another schema since a migration made it",
            mend="put it back: rename or move it, or restore it from a backup; or begin with an empty database",
        )
    if lacking := columns_gone(connection, shipped):
        (table, column), *_ = lacking
        raise Failed(
            f"the database is at {revision}, but lacks {_first([f'{name}.{one.name}' for name, one in lacking])}",
            why="dropped or renamed since a migration made it",
            mend=f"rename it back, or ALTER TABLE {table} ADD COLUMN {column.name} {column.type}, and so on; then "
            "replay to fill it",
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _revision(connection: sqlalchemy.Connection) -> str | None:
    context = MigrationContext.configure(
        connection, opts={"version_table": "migrations", "version_table_schema": "rederive"}
    )
    return context.get_current_revision()
