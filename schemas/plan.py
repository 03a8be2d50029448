"""The plan: what a replay will read again, frozen before anything is sent."""

import hashlib
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict

from schemas.table import Mode


class PlannedUnit(BaseModel):
    """One unit of a plan.

    `picked` is what its source needs to read the same rows again: `{"ids": […]}` of a table, `{"partition", "offset"}`
    of a log. `rows` is the number of source rows, None where only reading tells.
    """

    model_config = ConfigDict(frozen=True)

    unit: int
    key_range: str
    picked: dict[str, Any]
    rows: int | None


class Plan(BaseModel):
    """A replay that could start now: what was asked, what was found, the units.

    `found` counts source rows (a log's: records). `nulls` counts, per column in scope, the NULLs among the rows found.
    `notes` are sentences that a person should read before applying. `digest` covers everything else.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    domain: str
    source: Literal["table", "log"]
    mode: Mode
    derivation_version: int
    columns: tuple[str, ...]
    request: dict[str, Any]
    found: int
    nulls: dict[str, int]
    units: tuple[PlannedUnit, ...]
    notes: tuple[str, ...] = ()
    digest: str = ""

    def computed_digest(self) -> str:
        """SHA-256 over the plan without its digest."""
        body = self.model_dump(mode="json", exclude={"digest"})
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def sealed(self) -> Self:
        """The same plan with its digest."""
        return self.model_copy(update={"digest": self.computed_digest()})
