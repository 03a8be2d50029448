"""Leagues and their events, with the newest metrics of each (betfair spec, section 9)."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from psycopg.rows import dict_row

from rederive.betfair.served import Time, earlier
from rederive.http.routing import BaseModel, Key, Moment, Path, Query, Reading, Router, Text
from schemas.betfair.tables import ROLES

router = Router()

_AHEAD = timedelta(hours=48)

FromTs = Annotated[Moment | None, Query(description="First kickoff. Default: now.")]
ToTs = Annotated[Moment | None, Query(description="Last kickoff, included. Default: in 48 hours.")]
InPlay = Annotated[bool, Query(description="Events, too, that have begun lately.")]
Lookback = Annotated[float, Query(ge=0, le=168, description="How lately, in hours.")]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="Leave out so many.")]

_METRICS = (
    *(f"{role}_{what}" for what in ("best_back", "best_lay", "book_risk_l3") for role in ROLES),
    "total_volume",
    "depth_limit",
    "calculation_version",
)


class League(BaseModel):
    """A competition, and how many of its events are in the window."""

    league: str | None
    event_count: int


class Event(BaseModel):
    """An event with its newest derived row."""

    market_id: str
    event_id: str | None
    event_name: str | None
    event_open_date: Time | None
    competition_name: str | None
    latest_snapshot_at: Time
    home_best_back: float | None
    away_best_back: float | None
    draw_best_back: float | None
    home_best_lay: float | None
    away_best_lay: float | None
    draw_best_lay: float | None
    home_book_risk_l3: float | None
    away_book_risk_l3: float | None
    draw_book_risk_l3: float | None
    total_volume: float | None
    depth_limit: int | None
    calculation_version: str | None


@router.get("/leagues")
def leagues(
    reads: Reading,
    from_ts: FromTs = None,
    to_ts: ToTs = None,
    q: Annotated[Text | None, Query(description="Text in the name of the event or of a team.")] = None,
    include_in_play: InPlay = False,
    in_play_lookback_hours: Lookback = 2.0,
    limit: Annotated[int, Query(ge=1, le=200, description="At most so many.")] = 100,
    offset: Offset = 0,
) -> list[League]:
    """Leagues with events in the window, those with the most first."""
    start, end = _window(from_ts, to_ts, in_play_lookback_hours if include_in_play else None)
    with reads.connection("the leagues") as connection:
        rows = connection.execute(
            """SELECT competition_name, count(*) FROM market_event_metadata
               WHERE event_open_date >= %(start)s AND event_open_date <= %(end)s
                 AND (%(text)s::text IS NULL OR strpos(lower(concat_ws(
                     E'\\n', event_name, home_runner_name, away_runner_name)), lower(%(text)s)) > 0)
               GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT %(limit)s OFFSET %(offset)s""",
            {"start": start, "end": end, "text": q or None, "limit": limit, "offset": offset},
        ).fetchall()
    return [League(league=league, event_count=count) for league, count in rows]


@router.get("/leagues/{league:path}/events")
def league_events(
    league: Annotated[Key, Path(description="Its competition_name.")],
    reads: Reading,
    from_ts: FromTs = None,
    to_ts: ToTs = None,
    include_in_play: InPlay = False,
    in_play_lookback_hours: Lookback = 2.0,
    limit: Annotated[int, Query(ge=1, le=200, description="At most so many.")] = 100,
    offset: Offset = 0,
) -> list[Event]:
    """Events of a league that have a derived row, by kickoff."""
    start, end = _window(from_ts, to_ts, in_play_lookback_hours if include_in_play else None)
    return _events(reads, "e.competition_name = %(league)s", start, end, limit, offset, league=league)


@router.get("/events/book-risk-focus")
def book_risk_focus(
    reads: Reading,
    from_ts: FromTs = None,
    to_ts: ToTs = None,
    include_in_play: InPlay = False,
    in_play_lookback_hours: Lookback = 2.0,
    require_book_risk: Annotated[bool, Query(description="Only with all three book risks.")] = True,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 500,
    offset: Offset = 0,
) -> list[Event]:
    """Events of all leagues that have a derived row, by kickoff."""
    start, end = _window(from_ts, to_ts, in_play_lookback_hours if include_in_play else None)
    known = " AND ".join(f"l.{role}_book_risk_l3 IS NOT NULL" for role in ROLES)
    return _events(reads, known if require_book_risk else "true", start, end, limit, offset)


def _window(from_ts: datetime | None, to_ts: datetime | None, hours: float | None) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    start = from_ts or now
    if hours is not None:
        start = min(start, earlier(now, timedelta(hours=hours)))
    return start, to_ts or now + _AHEAD


def _events(
    reads: Reading, condition: str, start: datetime, end: datetime, limit: int, offset: int, **more: str
) -> list[Event]:  # fmt: skip
    with reads.connection("the events") as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            f"""SELECT e.market_id, e.event_id, e.event_name, e.event_open_date, e.competition_name,
                       l.snapshot_at AS latest_snapshot_at, {", ".join(f"l.{name}" for name in _METRICS)}
                FROM market_event_metadata e CROSS JOIN LATERAL (
                    SELECT * FROM market_derived_metrics d WHERE d.market_id = e.market_id
                    ORDER BY d.snapshot_at DESC LIMIT 1) l
                WHERE e.event_open_date >= %(start)s AND e.event_open_date <= %(end)s AND {condition}
                ORDER BY e.event_open_date, e.market_id LIMIT %(limit)s OFFSET %(offset)s""",
            {"start": start, "end": end, "limit": limit, "offset": offset, **more},
        ).fetchall()
    return [Event.model_validate(row) for row in rows]
