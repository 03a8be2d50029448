"""Tables for rows that are inserted in shadow."""

from schemas.migrations import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make one beside each table that is inserted into."""
    run_sql(revision)
