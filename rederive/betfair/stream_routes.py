"""Buckets of 15 minutes of what a stream has told of a market (betfair spec, section 10)."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from psycopg import Connection
from psycopg.rows import dict_row
from pydantic import create_model

from processors.betfair.buckets import BUCKET, ImpedanceIndex, Medians, book_risks, impedance_index
from rederive.betfair import ticks
from rederive.betfair.served import Time, window
from rederive.betfair.ticks import Ticks
from rederive.http.cache import Cache
from rederive.http.routing import BaseModel, Key, Moment, Query, Reading, Request, Router, Unknown, cache_of
from rederive.http.rows import many
from schemas.betfair.tables import DEPTH_LIMIT, ROLES
from schemas.errors import UsageError

router = Router(prefix="/stream")

USUAL = timedelta(minutes=180)
MOST_BUCKETS = 3000
HORIZON_SECONDS = 60.0
_HORIZON_DAYS = 90

_FIGURES: dict[str, Any] = dict.fromkeys(
    (
        *(f"{role}_{what}" for what in ("best_back", "best_lay", "book_risk_l3") for role in ROLES),
        *(f"{role}_back_{what}_median" for role in ROLES for what in ("odds", "size")),
        "impedance_index_15m",
        *(f"impedance_abs_diff_{role}" for role in ROLES),
        "total_volume",
    ),
    (float | None, ...),
)
_COVERED: dict[str, Any] = {f"{role}_seconds_covered": (float, ...) for role in ROLES}
_COVERED |= {f"{role}_update_count": (int, ...) for role in ROLES}


class _OfBucket(BaseModel):
    snapshot_at: Time
    depth_limit: int
    calculation_version: str


class _WithBounds(_OfBucket):
    bucket_start: Time
    bucket_end: Time
    tick_count: int


StreamPoint = create_model(
    "StreamPoint", __base__=_OfBucket, __doc__="The medians of a bucket, and what follows from them.",
    **_FIGURES, **_COVERED,
)  # fmt: skip
Bucket = create_model(
    "Bucket", __base__=_WithBounds, __doc__="A bucket with its bounds, the end excluded.", **_FIGURES, **_COVERED
)


class AvailableBuckets(BaseModel):
    """The buckets of a market that have ticks."""

    market_id: str
    bucket_interval_minutes: int
    available_buckets: list[Time]
    earliest_bucket: Time | None
    latest_bucket: Time | None


class ReplaySelection(BaseModel):
    """The best offers on a selection at a moment."""

    selection_id: str
    best_back_price: float | None
    best_back_size: float | None
    best_lay_price: float | None
    best_lay_size: float | None


class ReplayLiquidity(BaseModel):
    """What was matched, and what was on offer on all levels that are known."""

    total_matched: float | None
    available_to_back: float | None
    available_to_lay: float | None


class ReplaySnapshot(BaseModel):
    """A market as its ticks say it was at a moment."""

    market_id: str
    snapshot_time: Time
    is_reconstructed: bool
    source: str
    selections: list[ReplaySelection]
    liquidity: ReplayLiquidity


class HorizonDay(BaseModel):
    """A UTC day with ticks."""

    day: date
    ladder_rows: int
    markets: int


class DataHorizon(BaseModel):
    """Since when and until when there are ticks, and the newest 90 days of them."""

    oldest_tick: Time | None
    newest_tick: Time | None
    total_rows: int
    days: list[HorizonDay]


FromTs = Annotated[Moment | None, Query(description="Buckets that begin from then on.")]
ToTs = Annotated[Moment | None, Query(description="And before then. Default: now.")]


@router.get("/events/{market_id}/buckets", response_model=many(Bucket))
def buckets(
    market_id: Key,
    reads: Reading,
    from_ts: FromTs = None,
    to_ts: ToTs = None,
    event_aware: Annotated[bool, Query(description="All buckets with ticks, whenever they were.")] = False,
) -> list[dict[str, Any]]:
    """Buckets, oldest first; without a range the last 12.

    What held when the range begins is looked for 15 minutes back, with `event_aware` however far.
    """
    now = datetime.now(UTC)
    with reads.connection("the buckets") as connection:
        roles, selections = _selections(connection, market_id)
        if event_aware:
            found = ticks.with_ticks(connection, market_id, selections) if ticks.are_there(connection) else []
            wanted, lookback, version = found, None, "stream_15min"
        else:
            start, end = window(from_ts, to_ts, USUAL)
            wanted, lookback, version = _starts(start, min(end, now)), BUCKET, "stream_15min_bulk"
        if not wanted or not ticks.are_there(connection):
            return []
        known = ticks.read(connection, market_id, selections, wanted[0], wanted[-1] + BUCKET, lookback)
    return [
        {
            **_of_bucket(known, roles, start, now, version),
            "bucket_start": start,
            "bucket_end": start + BUCKET,
            "tick_count": known.count(selections, start),
        }
        for start in wanted
    ]


@router.get("/events/{market_id}/timeseries", response_model=many(StreamPoint))
def timeseries(
    market_id: Key,
    reads: Reading,
    from_ts: FromTs = None,
    to_ts: ToTs = None,
    interval_minutes: Annotated[int, Query(ge=1, le=60, description="Buckets have 15 minutes, whatever it says.")] = 15,  # noqa: ARG001
) -> list[dict[str, Any]]:
    """Buckets of the last 24 hours, or of a range, that something is known of, oldest first."""
    now = datetime.now(UTC)
    start, end = window(from_ts, to_ts)
    with reads.connection("the timeseries") as connection:
        roles, selections = _selections(connection, market_id)
        wanted = _starts(start, min(end, now))
        if not wanted or not ticks.are_there(connection):
            return []
        known = ticks.read(connection, market_id, selections, wanted[0], wanted[-1] + BUCKET, None)
    points = (_of_bucket(known, roles, start, now, "stream_15min") for start in wanted)
    return [one for one in points if any(one[f"{role}_seconds_covered"] > 0 for role in ROLES)]


@router.get("/events/{market_id}/available-buckets")
def available_buckets(market_id: Key, reads: Reading) -> AvailableBuckets:
    """The starts of the buckets that have ticks, oldest first."""
    with reads.connection("the buckets") as connection:
        _, selections = _selections(connection, market_id)
        found = ticks.with_ticks(connection, market_id, selections) if ticks.are_there(connection) else []
    return AvailableBuckets(
        market_id=market_id,
        bucket_interval_minutes=15,
        available_buckets=found,
        earliest_bucket=found[0] if found else None,
        latest_bucket=found[-1] if found else None,
    )


@router.get("/events/{market_id}/replay_snapshot")
def replay_snapshot(
    market_id: Key,
    reads: Reading,
    at_ts: Annotated[Moment | None, Query(description="When. Default: at the newest tick.")] = None,
) -> ReplaySnapshot:
    """A market as it was at a moment, of the newest tick of each level until then."""
    with reads.connection("the snapshot") as connection:
        _selections(connection, market_id)
        rows: list[dict[str, Any]] = []
        if ticks.are_there(connection):
            with connection.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(
                    f"""SELECT DISTINCT ON (selection_id, side, level) selection_id, side, level, price, size,
                               max(publish_time) OVER () AS newest
                        FROM {ticks.LADDERS} WHERE market_id = %s AND publish_time <= coalesce(%s, 'infinity')
                        ORDER BY selection_id, side, level, publish_time DESC""",
                    [market_id, at_ts],
                ).fetchall()
        if not rows:
            raise Unknown(f"no tick of market {market_id} is stored", why=f"{ticks.LADDERS} has nothing of it by then")
        at = at_ts or rows[0]["newest"]
        matched = None
        if ticks.are_there(connection, ticks.LIQUIDITY):
            query = f"""SELECT total_matched::float8 FROM {ticks.LIQUIDITY} WHERE market_id = %s
                        AND publish_time <= %s ORDER BY publish_time DESC LIMIT 1"""
            row = connection.execute(query, [market_id, at]).fetchone()
            matched = row[0] if row else None
    return _replayed(market_id, at, rows, matched)


@router.get("/data-horizon")
def data_horizon(request: Request, reads: Reading) -> DataHorizon:
    """Since when there are ticks; a minute old at most."""
    kept: Cache[DataHorizon] = cache_of(request, "data-horizon", HORIZON_SECONDS, HORIZON_SECONDS)

    def look() -> DataHorizon:
        with reads.connection("the horizon") as connection:
            return _horizon(connection)

    return kept.get("", look)


def _selections(connection: Connection, market: str) -> tuple[dict[str, int | None], list[int]]:
    """The market's selections by role, and those that are known. Unknown when the market is."""
    row = connection.execute(
        f"SELECT {', '.join(f'{role}_selection_id' for role in ROLES)} FROM market_event_metadata WHERE market_id = %s",
        [market],
    ).fetchone()
    if row is None:
        raise Unknown(f"market {market} is unknown", why="market_event_metadata has no row of it")
    return dict(zip(ROLES, row, strict=True)), [one for one in row if one is not None]


def _starts(first: datetime, last: datetime) -> list[datetime]:
    if last - first > MOST_BUCKETS * BUCKET:
        raise UsageError(f"the range has more than {MOST_BUCKETS:,} buckets", mend="say from_ts and to_ts, or less")
    return ticks.starts(first, last)


def _of_bucket(
    known: Ticks, roles: dict[str, int | None], start: datetime, now: datetime, version: str
) -> dict[str, Any]:  # fmt: skip
    medians = {role: known.of(one, "B").medians(start, now) for role, one in roles.items()}
    risks, index = book_risks(medians), impedance_index(medians)
    found: dict[str, Any] = {"snapshot_at": start, "depth_limit": DEPTH_LIMIT, "calculation_version": version}
    for role, one in roles.items():
        back, lay = known.of(one, "B").at(start), known.of(one, "L").at(start)
        found[f"{role}_best_back"] = back.odds if back else None
        found[f"{role}_best_lay"] = lay.odds if lay else None
        found |= _of_role(role, medians[role], risks, index)
    found["impedance_index_15m"] = index.index if index else None
    volume = known.volumes.at(min(start + BUCKET, now))
    found["total_volume"] = volume.size if volume else None
    return found


def _of_role(
    role: str, one: Medians, risks: dict[str, float] | None, index: ImpedanceIndex | None
) -> dict[str, Any]:  # fmt: skip
    return {
        f"{role}_back_odds_median": one.back_odds,
        f"{role}_back_size_median": one.back_size,
        f"{role}_seconds_covered": one.seconds_covered,
        f"{role}_update_count": one.update_count,
        f"{role}_book_risk_l3": risks[role] if risks else None,
        f"impedance_abs_diff_{role}": index.roles[role] if index else None,
    }


def _replayed(market: str, at: datetime, rows: list[dict[str, Any]], matched: float | None) -> ReplaySnapshot:
    best: dict[int, dict[str, dict[str, Any]]] = {}
    offered = {"B": 0.0, "L": 0.0}
    for row in rows:
        offered[row["side"]] += row["size"] or 0.0
        sides = best.setdefault(row["selection_id"], {})
        if row["level"] == 0:
            sides[row["side"]] = row

    def of(sides: dict[str, dict[str, Any]], side: str, what: str) -> float | None:
        return sides[side][what] if side in sides else None

    return ReplaySnapshot(
        market_id=market,
        snapshot_time=at,
        is_reconstructed=True,
        source=ticks.LADDERS,
        selections=[
            ReplaySelection(
                selection_id=str(selection),
                best_back_price=of(sides, "B", "price"),
                best_back_size=of(sides, "B", "size"),
                best_lay_price=of(sides, "L", "price"),
                best_lay_size=of(sides, "L", "size"),
            )
            for selection, sides in best.items()
        ],
        liquidity=ReplayLiquidity(total_matched=matched, available_to_back=offered["B"], available_to_lay=offered["L"]),
    )


def _horizon(connection: Connection) -> DataHorizon:
    if not ticks.are_there(connection):
        return DataHorizon(oldest_tick=None, newest_tick=None, total_rows=0, days=[])
    rows = connection.execute(
        f"""SELECT (publish_time AT TIME ZONE 'UTC')::date, count(*), count(DISTINCT market_id),
                   min(publish_time), max(publish_time)
            FROM {ticks.LADDERS} GROUP BY 1 ORDER BY 1 DESC"""
    ).fetchall()
    days = [HorizonDay(day=day, ladder_rows=count, markets=markets) for day, count, markets, *_ in rows]
    return DataHorizon(
        oldest_tick=rows[-1][3] if rows else None,
        newest_tick=rows[0][4] if rows else None,
        total_rows=sum(one.ladder_rows for one in days),
        days=days[:_HORIZON_DAYS],
    )
