"""FINRA's tables and views."""

from schemas.migrations import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make them."""
    run_sql(revision)
