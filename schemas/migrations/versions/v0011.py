"""When The Racing API last said again what is kept of it."""

from schemas.migrations import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column."""
    run_sql(revision)
