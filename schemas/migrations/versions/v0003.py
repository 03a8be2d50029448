"""Lanes of units, rate limits, the index over the racing logs."""

from schemas.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add them."""
    run_sql(revision)
