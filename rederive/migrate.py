"""Bring a database to the newest tables: alembic over the numbered SQL of schemas/migrations."""

from pathlib import Path

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

import schemas.migrations
from rederive.database import connect, explained


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(schemas.migrations.__file__).parent))
    return config


def migrate(database_url: str) -> tuple[str | None, str | None]:
    """Run every missing migration in one transaction; return the revision (before, after).

    Existing Betfair tables are adopted: missing columns are added, NOT NULL is dropped where the formulas may give
    NULL, no value is touched. Failed with the mend when the database refuses.
    """
    with connect(database_url, application="rederive migrate", autocommit=False) as raw, explained("the migration"):
        engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: raw, poolclass=sqlalchemy.StaticPool)
        try:
            with engine.begin() as connection:
                before = _revision(connection)
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                return before, _revision(connection)
        except sqlalchemy.exc.DBAPIError as error:
            raise error.orig if isinstance(error.orig, psycopg.Error) else error from None


def _revision(connection: sqlalchemy.Connection) -> str | None:
    context = MigrationContext.configure(
        connection, opts={"version_table": "migrations", "version_table_schema": "rederive"}
    )
    return context.get_current_revision()
