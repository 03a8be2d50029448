"""What a run's processes took of memory."""

from schemas.migrations import run_sql

revision = "0010"
down_revision = "0005"


def upgrade() -> None:
    """Add it."""
    run_sql(revision)
