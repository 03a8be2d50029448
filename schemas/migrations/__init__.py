"""Numbered SQL migrations, run by alembic; each module in `versions` runs the SQL file of its number."""

from pathlib import Path

from alembic import op

FOLDER = Path(__file__).parent


def run_sql(revision: str) -> None:
    """Execute `NNNN_*.sql` of that revision in the migration's transaction."""
    (path,) = FOLDER.glob(f"{revision}_*.sql")
    op.get_bind().exec_driver_sql(path.read_text().replace("%", "%%"))
