"""What a run's processes took of memory."""

from schemas.migrations import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add it."""
    run_sql(revision)
