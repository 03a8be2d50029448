"""Snapshots one by one: their rows with validators, and their payloads (betfair spec, section 9)."""

from datetime import timedelta
from typing import Annotated, Any

from psycopg.rows import dict_row
from pydantic import create_model

from processors.betfair.validators import VALIDATORS, validators
from rederive.betfair.served import Raw, Time, check_market, earlier, raw, window
from rederive.http.routing import BaseModel, Key, Moment, Path, Query, Reading, Response, Router, Unknown
from rederive.http.rows import many
from schemas.betfair.tables import METRICS, ROLES
from schemas.payload import read_json

router = Router(prefix="/debug")

MOST_DAYS = timedelta(days=7)

_BOOK = ("total_matched", "inplay", "status", "depth_limit", "source", "capture_version")
_NAMES = ("event_id", "event_name", "competition_name", "event_open_date", *(f"{role}_runner_name" for role in ROLES))


class _Identity(BaseModel):
    snapshot_id: int
    snapshot_at: Time
    market_id: str
    mbs_total_matched: float | None
    mbs_inplay: bool | None
    mbs_status: str | None
    mbs_depth_limit: int | None
    mbs_source: str | None
    mbs_capture_version: str | None
    mdm_total_volume: float | None
    mdm_depth_limit: int | None
    mdm_calculation_version: str | None
    calculation_version: str | None
    event_id: str | None
    event_name: str | None
    competition_name: str | None
    event_open_date: Time | None
    home_runner_name: str | None
    away_runner_name: str | None
    draw_runner_name: str | None
    meta_market_name: str | None


_FIGURES: dict[str, Any] = dict.fromkeys((*METRICS, *VALIDATORS), (float | None, ...))
Snapshot = create_model(
    "Snapshot",
    __base__=_Identity,
    __doc__="A snapshot with its derived row, all 52 metrics of it, its market's names, and 15 validators.",
    **_FIGURES,
)


@router.get("/markets/{market_id}/snapshots", response_model=many(Snapshot))
def snapshots(
    market_id: Key,
    reads: Reading,
    from_ts: Annotated[
        Moment | None, Query(description="Default: 24 hours ago. Included, 7 days back at most.")
    ] = None,
    to_ts: Annotated[Moment | None, Query(description="Default: now. Included.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="At most so many.")] = 500,
) -> list[dict[str, Any]]:
    """A market's snapshots, the newest first."""
    start, end = window(from_ts, to_ts)
    start = max(start, earlier(end, MOST_DAYS))
    columns = [f"s.{name} AS mbs_{name}" for name in _BOOK]
    columns += [f"d.{name} AS mdm_{name}" for name in ("depth_limit", "calculation_version")]
    columns += [f"d.{name}" for name in METRICS] + [f"e.{name}" for name in _NAMES]
    columns += [f"e.{role}_selection_id" for role in ROLES]
    with reads.connection("the snapshots") as connection:
        check_market(connection, market_id)
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                f"""SELECT s.snapshot_id, s.snapshot_at, s.market_id, e.market_name AS meta_market_name,
                           s.raw_payload::text AS raw_payload, {", ".join(columns)}
                    FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
                    JOIN market_event_metadata e ON e.market_id = s.market_id
                    WHERE s.market_id = %s AND s.snapshot_at >= %s AND s.snapshot_at <= %s
                    ORDER BY s.snapshot_at DESC, s.snapshot_id DESC LIMIT %s""",
                [market_id, start, end, limit],
            ).fetchall()
    return [_snapshot(row) for row in rows]


@router.get("/snapshots/{snapshot_id}/raw", response_model=Raw)
def snapshot_raw(snapshot_id: Annotated[int, Path(ge=0, le=2**63 - 1)], reads: Reading) -> Response:
    """The payload of one snapshot."""
    with reads.connection("the payload") as connection:
        found = raw(connection, "snapshot_id = %s", snapshot_id)
    if found is None:
        raise Unknown(f"there is no snapshot {snapshot_id}", why="market_book_snapshots has nothing of it")
    return found


def _snapshot(row: dict[str, Any]) -> dict[str, Any]:
    selections = {role: row.pop(f"{role}_selection_id") for role in ROLES}
    text = row.pop("raw_payload")
    row["mdm_total_volume"] = row["total_volume"]
    row["calculation_version"] = row["mdm_calculation_version"]
    try:
        payload = read_json(text)
    except (ValueError, RecursionError):
        payload = None
    volumes = {"total_volume": row["total_volume"], "total_matched": row["mbs_total_matched"]}
    depth = row["mdm_depth_limit"] if row["mdm_depth_limit"] is not None else row["mbs_depth_limit"]
    return {**row, **validators(payload, selections, depth, volumes)}
