"""A stored snapshot as a line of JSON (betfair spec, section 4)."""

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from schemas.payload import aware


class SelectionIds(BaseModel):
    """The selection ids of a market's roles; any may be missing (section 4)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: StrictInt | None = None
    away: StrictInt | None = None
    draw: StrictInt | None = None


class Snapshot(BaseModel):
    """One snapshot as `rederive compute betfair` reads it; `raw_payload` is kept as it came."""

    model_config = ConfigDict(frozen=True)

    snapshot_id: Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
    snapshot_at: Annotated[AwareDatetime, BeforeValidator(aware)]
    market_id: Annotated[str, Field(min_length=1)]
    raw_payload: Any = None
    selection_ids: SelectionIds | None = None
