"""Racing tables, with history and baseline."""

from schemas.migrations import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make or adopt the tables."""
    run_sql(revision)
