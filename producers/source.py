"""What a replay reads again: the contract between a source and the run that sends its units."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from psycopg import Connection

from schemas.plan import Plan, PlannedUnit
from schemas.table import Mode
from schemas.unit import Unit


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked to replay.

    `start` is included and `end` is not, both aware; None is open. On a table they are the payload's own times, on a
    log send times. `keys` are the domain's own names for a part of the source (betfair: market ids). Without
    `all_rows` only rows with a NULL among `columns` are picked. `limit` is a number of rows.
    """

    domain: str
    mode: Mode
    columns: tuple[str, ...]
    start: datetime | None = None
    end: datetime | None = None
    keys: tuple[str, ...] = ()
    all_rows: bool = False
    limit: int | None = None

    def describe(self) -> dict[str, object]:
        """As JSON values, for plans and captures."""
        return {
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat() if self.end else None,
            "keys": list(self.keys),
            "all_rows": self.all_rows,
            "limit": self.limit,
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """A planned unit that can't be sent as it is.

    `halves` are the row ids of two smaller units; without them the one row of the unit is too large by itself, or the
    record is gone, and `reason` says so.
    """

    unit: PlannedUnit
    reason: str
    halves: tuple[list[int], list[int]] | None = None


Found = Callable[[int], None]
"""Told the number of rows found so far, while planning."""


class Source(Protocol):
    """A place that raw payloads are read again from."""

    def plan(self, request: Request, found: Found) -> Plan:
        """Find what the request means now and cut it into units. UsageError for names that don't exist."""

    def stale(self, connection: Connection, plan: Plan) -> str | None:
        """Why the plan no longer fits what is stored, or None."""

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit) -> Unit | Refusal:
        """Read a planned unit's payloads."""
