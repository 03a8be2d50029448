"""What runs have written: their applied units, by run."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date
from typing import Any

from psycopg import Connection

from producers.finra.picks import StageUnit, of_weeks, stage_units
from schemas.capture import UnitState
from schemas.errors import Failed
from schemas.finra.partition import partition_of
from schemas.finra.tables import FINRA
from store import captures, units


@dataclass(frozen=True, slots=True)
class Run:
    """A run and what it was asked for; `weeks` are those of its units, `applied` the units whose rows are stored."""

    capture_id: str
    dry_run: bool
    request: dict[str, Any]
    asked_on: date
    weeks: frozenset[date]
    applied: tuple[StageUnit, ...]

    @property
    def partitions(self) -> dict[str, tuple[date, str]]:
        """Week and tier of each capture that the run has written."""
        ids = sorted({capture.capture_id for unit in self.applied for capture in unit.captures})
        return {capture_id: partition_of(capture_id) for capture_id in ids}


def find_run(connection: Connection, capture_id: str) -> Run:
    """A run of FINRA's; Failed when there is none of that id."""
    capture = captures.find(connection, capture_id)
    if capture is None or capture.domain != FINRA.name:
        raise Failed(f"there is no run {capture_id} of {FINRA.name}", mend="`rederive captures list` shows all")
    (listed,) = captures.listed(connection, limit=1, capture_id=capture_id)
    planned = stage_units(units.of_capture(connection, capture_id))
    # A file that can't be used names no week.
    weeks = frozenset(unit.week for unit in planned)
    applied = tuple(unit for unit in planned if unit.state == UnitState.APPLIED)
    made = listed.created_at.astimezone(UTC).date()
    return Run(capture_id, capture.dry_run, dict(capture.request), made, weeks, applied)


def stored_units(connection: Connection, weeks: Collection[date]) -> list[StageUnit]:
    """The units of all runs whose rows of these weeks are stored."""
    found = of_weeks(connection, min(weeks), max(weeks)) if weeks else []
    return [unit for unit in found if unit.week in weeks]
