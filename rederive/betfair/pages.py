"""Betfair's pages: markets by kickoff, and one market over time with its five checkpoints."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from psycopg import Connection

from rederive.betfair.checkpoints import Checkpoints, checkpoints
from rederive.betfair.event_routes import meta, timeseries
from rederive.betfair.league_routes import book_risk_focus
from rederive.betfair.market import newest_kickoff
from rederive.http.pages import HTML, Chart, Pages, Series, page
from rederive.http.routing import Day, Key, Reading, Request
from schemas.betfair.tables import ROLES
from schemas.errors import Failed

pages = Pages("rederive.betfair", menu=[("markets", "Markets")])

_MARKETS = 500
_DAY = timedelta(days=1)
_INTERVALS = (1, 5, 15, 60)
_BEFORE, _AFTER = timedelta(hours=8), timedelta(hours=3)
_COLUMNS = tuple(f"{role}_{what}" for what in ("book_risk_l3", "impedance_norm") for role in ROLES)
_CHARTS = (
    ("Best back odds", "", "{}_best_back", 4),
    ("Best lay odds", "", "{}_best_lay", 4),
    ("Book Risk L3", "", "{}_book_risk_l3", 5),
)


@pages.get("/markets")
def markets(request: Request, reads: Reading, day: Day | None = None) -> HTML:
    """Events that kick off on a day, by default the newest one that has any, with their newest figures."""
    with reads.connection("the markets") as connection:
        newest = newest_kickoff(connection)
    chosen = day or (newest.date() if newest else datetime.now(UTC).date())
    start = datetime(chosen.year, chosen.month, chosen.day, tzinfo=UTC)
    events = book_risk_focus(
        reads, from_ts=start, to_ts=start + _DAY - timedelta(microseconds=1), require_book_risk=False, limit=_MARKETS
    )
    return page(
        request,
        "betfair/markets.html",
        events=events,
        day=chosen,
        newest=newest,
        before=_moved(chosen, -1),
        after=_moved(chosen, 1),
        roles=ROLES,
    )


@pages.get("/markets/{market}")
def market(request: Request, market: Key, reads: Reading, minutes: int = 5) -> HTML:
    """A market: odds, book risk, impedance and volume over time."""
    about = meta(market, reads)
    every = minutes if minutes in _INTERVALS else 5
    kickoff = about.event_open_date
    with reads.connection("the market") as connection:
        found, why = _checkpoints(connection, market)
        points: list[dict[str, Any]] = []
        times = [one.snapshot_at for one in found.points] if found else []
    if times:
        assert kickoff is not None
        start, end = min([kickoff - _BEFORE, *times]), max([kickoff + _AFTER, *times])
        points = timeseries(
            market, reads, from_ts=start, to_ts=end, interval_minutes=every, include_impedance=True,
            include_impedance_inputs=False,
        )  # fmt: skip
    at = [one["snapshot_at"] for one in points]
    marks = [(one.snapshot_at, one.name) for one in found.points] if found else []
    charts = [
        Chart(title, at, [Series(role, [one[column.format(role)] for one in points], digits) for role in ROLES], unit,
              marks)
        for title, unit, column, digits in _CHARTS
    ]  # fmt: skip
    norms = [Series(role, [one["impedanceNorm"][role] for one in points]) for role in ROLES]
    charts.append(Chart("Impedance, normalised", at, norms, "", marks))
    volume = [Series("total volume", [one["total_volume"] for one in points], 6)]
    charts.append(Chart("Volume", at, volume, "", marks))
    return page(
        request,
        "betfair/market.html",
        market=market,
        about=about,
        charts=charts,
        found=found,
        why=why,
        columns=_COLUMNS,
        minutes=every,
        intervals=_INTERVALS,
    )


def _checkpoints(connection: Connection, market: str) -> tuple[Checkpoints | None, str]:
    """The five checkpoints, or why there are none."""
    try:
        return checkpoints(connection, market, _COLUMNS), ""
    except Failed as error:
        if error.__cause__ is not None:
            raise
        return None, f"{error.what}: {error.why}"


def _moved(day: date, by: int) -> date | None:
    try:
        return day + timedelta(days=by)
    except OverflowError:
        return None
