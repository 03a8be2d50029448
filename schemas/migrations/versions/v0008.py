"""Locators and provenance of units in columns of their own."""

from schemas.migrations import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Move them."""
    run_sql(revision)
