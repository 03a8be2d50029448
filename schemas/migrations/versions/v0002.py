"""Betfair tables, with history and baseline."""

from schemas.migrations import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make or adopt the tables."""
    run_sql(revision)
