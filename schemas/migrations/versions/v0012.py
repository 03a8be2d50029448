"""Dead letters that were sent again or dropped."""

from schemas.migrations import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the table, and let problems say how many rows they stand for."""
    run_sql(revision)
