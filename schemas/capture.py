"""The capture: one run, minted once in the producer, travelling with every record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from schemas.table import Mode


class CaptureState(StrEnum):
    """Where a capture stands. Only a running one is written; a cancelled one can be resumed.

    Of one that is `promoting` some rows are served, and the same command brings the rest.
    """

    RUNNING = "running"
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    PROMOTING = "promoting"
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
    raw topics that the units stand on, by lane. `request` is what was asked for (`Request.describe`). `becomes` is the
    mode that a capture made as a shadow has from its promotion on. `clear` are the columns in which a NULL that it
    computed counts as said. `promoted_at` is when a shadow's promotion began.
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
    becomes: Mode | None = None
    clear: tuple[str, ...] = ()
    promoted_at: datetime | None = None

    @property
    def inserts(self) -> bool:
        """Whether its rows hold their capture, in shadow too."""
        return Mode.INSERT in (self.mode, self.becomes)

    @property
    def promotable(self) -> bool:
        """Whether it is a shadow, or on its way out of being one."""
        return self.mode is Mode.SHADOW or self.state is CaptureState.PROMOTING


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
