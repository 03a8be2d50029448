"""The capture: one run, minted once in the producer, travelling with every record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from schemas.table import Mode


class CaptureState(StrEnum):
    """Where a capture stands. Only a running one is written; a cancelled one can be resumed."""

    RUNNING = "running"
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"


class UnitState(StrEnum):
    """Where a planned unit stands: `applied` and `dead` are outcomes, `removed` what was applied and taken out."""

    PLANNED = "planned"
    SENT = "sent"
    APPLIED = "applied"
    DEAD = "dead"
    CANCELLED = "cancelled"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture as every layer needs it.

    `capture_id` is text for people and records, `number` orders captures. `source` says what is re-read ("table",
    "log", "api", "files"). `columns` are the value columns in scope, none for all. `topic_ids` are Kafka's ids of the
    raw topics that the units stand on, by lane. `request` is what was asked for (`Request.describe`).
    """

    capture_id: str
    number: int
    domain: str
    source: str
    mode: Mode
    dry_run: bool
    derivation_version: int
    columns: tuple[str, ...]
    state: CaptureState
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """A capture's counts, summed over its units. Rows: processed = updated + unchanged + skipped + errors.

    Of a capture that inserts, `updated` are the new rows, and `read` the source rows that its units have read: one may
    give several rows, or many give one. `read` is None for all others. `units_removed` were taken back after they were
    done: they count as done, their rows not at all.
    """

    units: int
    units_done: int
    units_dead: int
    units_waiting: int
    rows: int
    updated: int
    unchanged: int
    skipped: int
    errors: int
    read: int | None = None
    units_removed: int = 0

    @property
    def processed(self) -> int:
        """Source rows that have an outcome."""
        if self.read is not None:
            return self.read
        return self.updated + self.unchanged + self.skipped + self.errors

    @property
    def complete(self) -> bool:
        """Every planned unit has an outcome."""
        return self.units_done == self.units
