"""Captures in shadow, their promotion, and columns that a capture clears."""

from schemas.migrations import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Let captures be shadows, and say what they have become and what they clear."""
    run_sql(revision)
