"""What runs have written: their applied units, by run."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection

from producers.finra.picks import Picked
from schemas.errors import Failed
from schemas.finra.partition import partition_of
from schemas.finra.tables import FINRA


@dataclass(frozen=True, slots=True)
class Run:
    """A run and what it was asked for; `weeks` are those of its units, `applied` the units whose rows are stored."""

    capture_id: str
    dry_run: bool
    request: dict[str, Any]
    asked_on: date
    weeks: frozenset[date]
    applied: tuple[Picked, ...]

    @property
    def partitions(self) -> dict[str, tuple[date, str]]:
        """Week and tier of each capture that the run has written."""
        ids = sorted({capture.capture_id for unit in self.applied for capture in unit.captures})
        return {capture_id: partition_of(capture_id) for capture_id in ids}


def find_run(connection: Connection, capture_id: str) -> Run:
    """A run of FINRA's; Failed when there is none of that id."""
    row = connection.execute(
        """SELECT dry_run, request, (created_at AT TIME ZONE 'UTC')::date FROM rederive.captures
           WHERE capture_id = %s AND domain = %s""",
        [capture_id, FINRA.name],
    ).fetchone()
    if row is None:
        raise Failed(f"there is no run {capture_id} of {FINRA.name}", mend="`rederive captures list` shows all")
    units = connection.execute(
        "SELECT picked, state, rows FROM rederive.units WHERE capture_id = %s ORDER BY unit", [capture_id]
    ).fetchall()
    # A file that can't be used names no week.
    weeks = frozenset(date.fromisoformat(picked["week"]) for picked, *_ in units if "week" in picked)
    applied = tuple(Picked.of(*unit) for unit in units if unit[1] == "applied")
    return Run(capture_id, row[0], row[1], row[2], weeks, applied)


def stored_units(connection: Connection, weeks: Iterable[date]) -> list[Picked]:
    """The units of all runs whose rows of these weeks are stored."""
    rows = connection.execute(
        """SELECT u.picked, u.state, u.rows FROM rederive.captures c JOIN rederive.units u USING (capture_id)
           WHERE c.domain = %s AND NOT c.dry_run AND u.state = 'applied' AND u.picked ->> 'week' = ANY(%s)""",
        [FINRA.name, [week.isoformat() for week in weeks]],
    )
    return [Picked.of(*row) for row in rows]
