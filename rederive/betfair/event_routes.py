"""One market: its metrics over time, its newest payload, what it is (betfair spec, section 9)."""

from typing import Annotated, Any

from psycopg.rows import dict_row, tuple_row
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from rederive.betfair.served import Raw, Time, Triplet, check_market, raw, window
from rederive.http.routing import BaseModel, Key, Moment, Query, Reading, Response, Router, Unknown
from schemas.betfair.tables import ROLES

router = Router(prefix="/events")

_SHOWN = (
    *(f"{role}_{what}" for what in ("best_back", "best_lay", "risk", "book_risk_l3") for role in ROLES),
    "total_volume",
    "depth_limit",
    "calculation_version",
    *(f"{role}_best_{side}_size_l1" for side in ("back", "lay") for role in ROLES),
    *(f"{role}_back_{what}_l{level}" for role in ROLES for level in (2, 3) for what in ("odds", "size")),
)
_IMPEDANCE = tuple(f"{role}_{what}" for what in ("impedance", "impedance_norm") for role in ROLES)
_INPUTS = tuple(f"{role}_{side}_{what}" for role in ROLES for side in ("back", "lay") for what in ("stake", "odds"))


class Inputs(BaseModel):
    """What a role's impedance was computed from, and what it would gain or owe."""

    model_config = ConfigDict(alias_generator=to_camel)

    back_stake: float | None
    back_odds: float | None
    back_profit: float | None
    lay_stake: float | None
    lay_odds: float | None
    lay_liability: float | None


class ImpedanceInputs(BaseModel):
    """Of each role."""

    home: Inputs
    away: Inputs
    draw: Inputs


class Point(BaseModel):
    """The newest snapshot of an interval; the last three where they are asked for."""

    snapshot_at: Time
    home_best_back: float | None
    away_best_back: float | None
    draw_best_back: float | None
    home_best_lay: float | None
    away_best_lay: float | None
    draw_best_lay: float | None
    home_risk: float | None
    away_risk: float | None
    draw_risk: float | None
    imbalance: Triplet
    home_book_risk_l3: float | None
    away_book_risk_l3: float | None
    draw_book_risk_l3: float | None
    total_volume: float | None
    depth_limit: int | None
    calculation_version: str | None
    home_best_back_size_l1: float | None
    away_best_back_size_l1: float | None
    draw_best_back_size_l1: float | None
    home_best_lay_size_l1: float | None
    away_best_lay_size_l1: float | None
    draw_best_lay_size_l1: float | None
    home_back_odds_l2: float | None
    home_back_size_l2: float | None
    home_back_odds_l3: float | None
    home_back_size_l3: float | None
    away_back_odds_l2: float | None
    away_back_size_l2: float | None
    away_back_odds_l3: float | None
    away_back_size_l3: float | None
    draw_back_odds_l2: float | None
    draw_back_size_l2: float | None
    draw_back_odds_l3: float | None
    draw_back_size_l3: float | None
    impedance: Triplet | None = None
    impedance_norm: Triplet | None = Field(default=None, alias="impedanceNorm")
    impedance_inputs: ImpedanceInputs | None = Field(default=None, alias="impedanceInputs")


class Meta(BaseModel):
    """What a market is."""

    market_id: str
    event_name: str | None
    event_open_date: Time | None
    competition_name: str | None
    home_runner_name: str | None
    away_runner_name: str | None
    draw_runner_name: str | None


@router.get("/{market_id}/timeseries", response_model=list[Point], response_model_exclude_unset=True)
def timeseries(
    market_id: Key,
    reads: Reading,
    from_ts: Annotated[Moment | None, Query(description="Default: 24 hours ago. Included.")] = None,
    to_ts: Annotated[Moment | None, Query(description="Default: now. Included.")] = None,
    interval_minutes: Annotated[int, Query(ge=1, le=60, description="Of each so many minutes the newest.")] = 15,
    include_impedance: Annotated[bool, Query(description="Impedance, and normalised, of each role.")] = False,
    include_impedance_inputs: Annotated[bool, Query(description="With impedance: its inputs.")] = True,
) -> list[dict[str, Any]]:
    """The newest snapshot of each interval, oldest first; intervals begin at whole multiples since 1970."""
    start, end = window(from_ts, to_ts)
    names = (*_SHOWN, *_IMPEDANCE, *_INPUTS) if include_impedance else _SHOWN
    group = "floor(extract(epoch FROM snapshot_at) / %(seconds)s)"
    with reads.connection("the timeseries") as connection:
        check_market(connection, market_id)
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                f"""SELECT DISTINCT ON ({group}) snapshot_at, {", ".join(names)} FROM market_derived_metrics
                    WHERE market_id = %(market)s AND snapshot_at >= %(start)s AND snapshot_at <= %(end)s
                    ORDER BY {group}, snapshot_at DESC, snapshot_id DESC""",
                {"seconds": 60 * interval_minutes, "market": market_id, "start": start, "end": end},
            ).fetchall()
    return [_point(row, impedance=include_impedance, inputs=include_impedance_inputs) for row in rows]


@router.get("/{market_id}/latest_raw", response_model=Raw)
def latest_raw(market_id: Key, reads: Reading) -> Response:
    """The payload of a market's newest snapshot."""
    with reads.connection("the newest payload") as connection:
        found = raw(connection, "market_id = %s", market_id)
    if found is None:
        raise Unknown(f"market {market_id} has no snapshot", why="market_book_snapshots has nothing of it")
    return found


@router.get("/{market_id}/meta")
def meta(market_id: Key, reads: Reading) -> Meta:
    """What a market is: event, kickoff, league, names."""
    names = ", ".join(Meta.model_fields)
    with reads.connection("the market") as connection, connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(f"SELECT {names} FROM market_event_metadata WHERE market_id = %s", [market_id]).fetchone()
    if row is None:
        raise Unknown(f"market {market_id} is unknown", why="market_event_metadata has no row of it")
    return Meta.model_validate(dict(zip(Meta.model_fields, row, strict=True)))


def _point(row: dict[str, Any], *, impedance: bool, inputs: bool) -> dict[str, Any]:
    point = {name: row[name] for name in ("snapshot_at", *_SHOWN)}
    point["imbalance"] = {role: row[f"{role}_risk"] for role in ROLES}
    if impedance:
        point["impedance"] = {role: row[f"{role}_impedance"] for role in ROLES}
        point["impedanceNorm"] = {role: row[f"{role}_impedance_norm"] for role in ROLES}
    if impedance and inputs:
        point["impedanceInputs"] = {role: _inputs(row, role) for role in ROLES}
    return point


def _inputs(row: dict[str, Any], role: str) -> dict[str, float | None]:
    names = ("back_stake", "back_odds", "lay_stake", "lay_odds")
    back_stake, back_odds, lay_stake, lay_odds = (row[f"{role}_{name}"] for name in names)
    return {
        "backStake": back_stake,
        "backOdds": back_odds,
        "backProfit": _won(back_odds, back_stake),
        "layStake": lay_stake,
        "layOdds": lay_odds,
        "layLiability": _won(lay_odds, lay_stake),
    }


def _won(odds: float | None, stake: float | None) -> float | None:
    return None if odds is None or stake is None else (odds - 1) * stake
