"""Numbered SQL migrations, run by alembic; each module in `versions` runs the SQL file of its number."""

from pathlib import Path

FOLDER = Path(__file__).parent


def revisions() -> list[str]:
    """The revisions that there are, the newest last."""
    return sorted(path.name.partition("_")[0] for path in FOLDER.glob("[0-9]*_*.sql"))


def run_sql(revision: str) -> None:
    """Execute `NNNN_*.sql` of that revision in the migration's transaction."""
    # Whoever only asks for the revisions goes without.
    from alembic import op

    (path,) = FOLDER.glob(f"{revision}_*.sql")
    op.get_bind().exec_driver_sql(path.read_text().replace("%", "%%"))
