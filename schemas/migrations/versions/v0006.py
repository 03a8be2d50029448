"""FINRA's views of the newest capture of a partition, whole."""

from schemas.migrations import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Replace them."""
    run_sql(revision)
