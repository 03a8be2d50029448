"""FINRA's tables with one B-tree each, and tables of captures."""

from schemas.migrations import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Change them."""
    run_sql(revision)
