"""Captures, units, problems, notes."""

from schemas.migrations import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    run_sql(revision)
