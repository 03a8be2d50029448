"""Alembic's entry: one transaction for all migrations, one migration at a time."""

from alembic import context
from sqlalchemy import Connection, text

from schemas.migrations import FOLDER

connection: Connection = context.config.attributes["connection"]
connection.execute(text("SET LOCAL lock_timeout = '10s'"))
connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('rederive.migrations'))"))
connection.execute(text("CREATE SCHEMA IF NOT EXISTS rederive"))
# Before any migration that names them.
connection.exec_driver_sql((FOLDER / "serving_schema.sql").read_text().replace("%", "%%"))
context.configure(connection=connection, version_table="migrations", version_table_schema="rederive")
context.run_migrations()
