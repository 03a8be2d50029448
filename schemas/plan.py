"""The plan: what a replay will read again, frozen before anything is sent."""

import hashlib
from collections import Counter
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.lane import LaneName
from schemas.table import Mode

FORMAT: Literal[2] = 2
"""The format of plans that this program writes."""

L = TypeVar("L")

_Count = Annotated[int, Field(ge=0, lt=2**31)]
"""What a column of Postgres and a header of a record can hold: an agent refuses a header that is negative."""


class Locator(BaseModel):
    """What a source needs to read a unit again, the same rows each time: every source has models of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedUnit(BaseModel, Generic[L]):
    """One unit of a plan.

    `rows` is the number of source rows, None where only reading tells. `lane` is where it is sent. Where rows are keyed
    by their capture, `stage` names what the unit computes, `reads` the partition captures whose rows it reads, `writes`
    those that it writes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: _Count
    key_range: str
    locator: L
    rows: _Count | None = None
    lane: LaneName = LaneName.REPLAY
    stage: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


class PlanHead(BaseModel):
    """What a plan says of itself without its units.

    `found` counts source rows (a log's: records; an API's: answers). `span` is the range in words. `nulls` counts, per
    column in scope, the NULLs among the rows found. `notes` are sentences that a person should read before applying.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = FORMAT
    domain: str
    source: str
    mode: Mode
    derivation_version: int
    columns: tuple[str, ...]
    request: dict[str, Any]
    span: str = ""
    found: int = 0
    unit_count: int = 0
    nulls: dict[str, int] = {}
    notes: tuple[str, ...] = ()


class Plan(PlanHead, Generic[L]):
    """A replay that could start now. `digest` covers everything else."""

    units: tuple[PlannedUnit[L], ...]
    digest: str = ""

    @model_validator(mode="after")
    def _each_unit_once(self) -> Self:
        for number, times in Counter(unit.unit for unit in self.units).items():
            if times > 1:
                raise ValueError(f"unit {number} is there {times} times")
        return self

    @property
    def head(self) -> PlanHead:
        """The plan without its units."""
        return PlanHead(**self.model_dump(exclude={"units", "digest"}))

    def computed_digest(self) -> str:
        """The digest that the plan should have."""
        digest = Digest()
        for unit in self.units:
            digest.add(unit)
        return digest.of(self.head)

    def sealed(self) -> Self:
        """The same plan with its digest."""
        return self.model_copy(update={"digest": self.computed_digest()})


class Digest:
    """SHA-256 over a plan's units, as they come, and its head."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, unit: PlannedUnit[Any]) -> None:
        """Take the next unit in."""
        self._hash.update(orjson.dumps(unit.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS))

    def of(self, head: PlanHead) -> str:
        """The digest of the units so far under this head."""
        whole = self._hash.copy()
        whole.update(orjson.dumps(head.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS))
        return whole.hexdigest()
