"""Betfair match-odds: tables, scopes and payload models (betfair spec, sections 1, 2 and 5.6)."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from schemas.table import Column, Domain, Mode, Table

ROLES = ("home", "away", "draw")
DEPTH_LIMIT = 3
IMPEDANCE_DEPTH = 4
CALCULATION_VERSION = "imbalance_v1"

_L1 = ("best_back_size_l1", "best_lay_size_l1")
_INPUTS = ("back_stake", "back_odds", "lay_stake", "lay_odds")
_LADDER = ("back_odds_l2", "back_size_l2", "back_odds_l3", "back_size_l3")
# Order of the columns of one role in the table; section 2.
_PER_ROLE = (
    "risk",
    "impedance",
    "impedance_norm",
    "book_risk_l3",
    *_INPUTS,
    "best_back",
    "best_lay",
    "spread",
    *_L1,
    *_LADDER,
)


def _per_role(*names: str) -> tuple[str, ...]:
    return tuple(f"{role}_{name}" for role in ROLES for name in names)


METRICS: tuple[str, ...] = (*_per_role(*_PER_ROLE), "total_volume")
"""The 52 numeric columns, float64: all of home's, away's, draw's, then `total_volume`."""

SCOPES: dict[str, tuple[str, ...]] = {
    "all": METRICS,
    "tier-a": (*_per_role(*_L1, *_INPUTS, "impedance", "impedance_norm", "risk"), "total_volume"),
    "l1": _per_role("best_back_size_l1"),
    "l3": _per_role("book_risk_l3"),
    "ladder": _per_role(*_LADDER),
}

METRICS_TABLE = Table(
    name="market_derived_metrics",
    key=(Column("snapshot_id", "int8"),),
    attributes=(
        Column("snapshot_at", "timestamptz"),
        Column("market_id", "text"),
        Column("depth_limit", "int4"),
        Column("calculation_version", "text"),
    ),
    values=tuple(Column(name, "float8") for name in METRICS),
    observed="snapshot_at",
    policy=Mode.FILL,
)

BETFAIR = Domain(name="betfair", derivation_version=1, tables=(METRICS_TABLE,), scopes=SCOPES)


class SelectionIds(BaseModel):
    """The selection ids of a market's roles; any may be missing (section 4)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: int | None = None
    away: int | None = None
    draw: int | None = None


class Snapshot(BaseModel):
    """One snapshot as `rederive compute betfair` reads it; `raw_payload` is kept as it came."""

    model_config = ConfigDict(frozen=True)

    snapshot_id: int
    snapshot_at: datetime
    market_id: str
    raw_payload: Any = None
    selection_ids: SelectionIds | None = None
