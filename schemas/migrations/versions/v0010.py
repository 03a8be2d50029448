"""Where live producers stand, and how long it takes until what arrives is visible."""

from schemas.migrations import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make their tables."""
    run_sql(revision)
