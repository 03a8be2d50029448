"""FINRA's paths of the HTTP API: weeks, venues' shares, symbols, six-week figures, quality; newest captures'."""

from datetime import date, datetime
from typing import Annotated, Any

from psycopg import Connection
from pydantic import create_model

from rederive.finra.partitions import Partitions
from rederive.finra.quality import Quality
from rederive.finra.quality import quality as look
from rederive.finra.week import Week
from rederive.finra.week import week as look_at_week
from rederive.http.routing import BaseModel, Day, Key, Limit, Query, Reading, Router, Text, Unknown
from rederive.http.rows import many, model_of, select
from schemas.finra.tables import (
    CONCENTRATION,
    RAW,
    ROLLING,
    SYMBOL_SUMMARY,
    SYMBOL_VENUE_SHARE,
    TIER_VOLUME_SHARE,
    VENUE_SHARE,
)
from schemas.table import Table

router = Router(prefix="/api/finra")

_UNSHOWN = ("execution_id", "batch_id")
AnyTier = Annotated[
    Text | None, Query(description="NMS_TIER_1, NMS_TIER_2 or OTC; others as files name them. Default: all.")
]
OneTier = Annotated[Text, Query(description="NMS_TIER_1, NMS_TIER_2 or OTC; others as files name them.")]
After = Annotated[Text | None, Query(description="Only symbols behind this one.")]

VenueShare = model_of("VenueShare", VENUE_SHARE, without=_UNSHOWN)
SymbolSummary = model_of("SymbolSummary", SYMBOL_SUMMARY, without=_UNSHOWN)
Rolling = model_of("Rolling", ROLLING, without=_UNSHOWN)
SymbolVenueShare = model_of("SymbolVenueShare", SYMBOL_VENUE_SHARE, without=_UNSHOWN)
Concentration = model_of("Concentration", CONCENTRATION, without=_UNSHOWN)
TierShare = model_of("TierShare", TIER_VOLUME_SHARE, without=_UNSHOWN)


class WeekShort(BaseModel):
    """A week and a tier: how many captures hold its file, the newest of them."""

    week_ending: date
    tier: str
    captures: int
    captured_at: datetime


class Weeks(BaseModel):
    """Weeks, the newest first; `next` is what to say as `before` for those that follow, None at the end."""

    weeks: list[WeekShort]
    next: date | None


def _page(name: str, row: type[BaseModel]) -> type[BaseModel]:
    doc = "Rows by symbol; `next` is what to say as `after` for those that follow, None at the end."
    return create_model(name, __doc__=doc, rows=(many(row), ...), next=(str | None, ...))


SummaryPage = _page("SummaryPage", SymbolSummary)
RollingPage = _page("RollingPage", Rolling)
SymbolWhole = create_model(
    "SymbolWhole",
    __doc__="A symbol over weeks, the newest first: summaries, concentration, shares of tiers, six-week figures.",
    symbol=(str, ...),
    summaries=(many(SymbolSummary), ...),
    concentration=(many(Concentration), ...),
    tier_shares=(many(TierShare), ...),
    rolling=(many(Rolling), ...),
)


@router.get("/weeks")
def weeks(
    reads: Reading,
    tier: AnyTier = None,
    before: Annotated[Day | None, Query(description="Only weeks that end before this day.")] = None,
    limit: Limit = 52,
) -> Weeks:
    """Weeks that are stored, the newest first; `limit` counts weeks."""
    asked = _asked(None, tier)
    with reads.connection("the weeks") as connection:
        found = connection.execute(
            f"""SELECT week_ending, tier, count(*), max(captured_at) FROM {RAW.captures}
                WHERE (%(tier)s::text IS NULL OR tier = %(tier)s) AND week_ending IN (
                    SELECT DISTINCT week_ending FROM {RAW.captures}
                    WHERE (%(tier)s::text IS NULL OR tier = %(tier)s)
                      AND week_ending < coalesce(%(before)s::date, 'infinity')
                    ORDER BY week_ending DESC LIMIT %(limit)s)
                GROUP BY 1, 2 ORDER BY 1 DESC, 2""",
            {"tier": asked.tier, "before": before, "limit": limit + 1},
        ).fetchall()
    ends = sorted({row[0] for row in found}, reverse=True)
    shown = set(ends[:limit])
    return Weeks(
        weeks=[
            WeekShort(week_ending=end, tier=tier, captures=count, captured_at=at)
            for end, tier, count, at in found
            if end in shown
        ],
        next=ends[limit - 1] if len(ends) > limit else None,
    )


@router.get("/weeks/{week}")
def one_week(week: Key, reads: Reading, tier: AnyTier = None) -> Week:
    """What is stored of a week: captures, stages, sums of shares, the ten largest venues of each tier, checks."""
    asked = _asked(week, tier)
    assert asked.week is not None
    with reads.connection("the week") as connection:
        return look_at_week(connection, asked.week, asked.tier)


@router.get("/weeks/{week}/venues", response_model=many(VenueShare))
def venues(week: Key, reads: Reading, tier: AnyTier = None, limit: Limit = 500) -> list[dict[str, Any]]:
    """Venues' shares of a week, by tier and rank."""
    asked = _asked(week, tier)
    with reads.connection("the venues") as connection:
        return _of_week(connection, VENUE_SHARE, VenueShare, asked, order=("tier", "rank", "mpid"), limit=limit)


@router.get("/weeks/{week}/symbols", response_model=SummaryPage)
def symbols(week: Key, reads: Reading, tier: OneTier, after: After = None, limit: Limit = 100) -> dict[str, Any]:
    """Symbols' summaries of a week and tier, by symbol."""
    return _by_symbol(reads, SYMBOL_SUMMARY, SymbolSummary, _asked(week, tier), after, limit)


@router.get("/weeks/{week}/rolling", response_model=RollingPage)
def rolling(week: Key, reads: Reading, tier: OneTier, after: After = None, limit: Limit = 100) -> dict[str, Any]:
    """Six-week figures of the window that ends with a week, by symbol; of complete windows."""
    return _by_symbol(reads, ROLLING, Rolling, _asked(week, tier), after, limit)


@router.get("/weeks/{week}/symbols/{symbol}/venues", response_model=many(SymbolVenueShare))
def symbol_venues(
    week: Key, symbol: Key, reads: Reading, tier: AnyTier = None, limit: Limit = 500
) -> list[dict[str, Any]]:  # fmt: skip
    """Venues' shares of a symbol in a week, the largest first."""
    asked = _asked(week, tier)
    with reads.connection("the symbol") as connection:
        return _of_week(
            connection, SYMBOL_VENUE_SHARE, SymbolVenueShare, asked, "symbol = %(symbol)s", {"symbol": symbol},
            order=("tier", "venue_share DESC", "mpid"), limit=limit,
        )  # fmt: skip


@router.get("/symbols/{symbol}", response_model=SymbolWhole)
def one_symbol(symbol: Key, reads: Reading, tier: AnyTier = None, limit: Limit = 52) -> dict[str, Any]:
    """A symbol over weeks, the newest first; `limit` rows of each kind."""
    asked = _asked(None, tier)
    parts = {
        "summaries": (SYMBOL_SUMMARY, SymbolSummary),
        "concentration": (CONCENTRATION, Concentration),
        "tier_shares": (TIER_VOLUME_SHARE, TierShare),
        "rolling": (ROLLING, Rolling),
    }
    with reads.connection("the symbol") as connection:
        found = {
            name: _of_week(
                connection, table, row, asked, "symbol = %(symbol)s", {"symbol": symbol},
                order=("week_ending DESC", "tier"), limit=limit,
            )
            for name, (table, row) in parts.items()
        }  # fmt: skip
    if not any(found.values()):
        raise Unknown(f"no row is stored of the symbol {symbol}")
    return {"symbol": symbol, **found}


@router.get("/quality")
def quality(
    reads: Reading,
    week: Annotated[Text | None, Query(description="Of this week only, by its Friday.")] = None,
    tier: AnyTier = None,
    capture: Annotated[Text | None, Query(description="Of a run, or of a partition's capture.")] = None,
) -> Quality:
    """Checks, their latest failures, and the health of a run: the one asked for, else the newest."""
    with reads.connection("the quality") as connection:
        return look(connection, _asked(week, tier, capture))


def _asked(week: str | None, tier: str | None, capture: str | None = None) -> Partitions:
    return Partitions.asked(week, tier, capture)


def _of_week(
    connection: Connection,
    table: Table,
    row: type[BaseModel],
    asked: Partitions,
    condition: str = "true",
    parameters: dict[str, Any] | None = None,
    *,
    order: tuple[str, ...],
    limit: int,
) -> list[dict[str, Any]]:
    """Rows of the newest captures of what is asked for."""
    within = """(%(week)s::date IS NULL OR week_ending = %(week)s) AND (%(tier)s::text IS NULL OR tier = %(tier)s)"""
    told = {**(parameters or {}), "week": asked.week, "tier": asked.tier}
    view = f"{table.name}_latest"
    return select(connection, view, row, f"{within} AND {condition}", told, order=order, limit=limit)


def _by_symbol(
    reads: Reading, table: Table, row: type[BaseModel], asked: Partitions, after: str | None, limit: int
) -> dict[str, Any]:  # fmt: skip
    with reads.connection("the symbols") as connection:
        found = _of_week(
            connection, table, row, asked, 'symbol > %(after)s COLLATE "C"', {"after": after or ""},
            order=('symbol COLLATE "C"',), limit=limit + 1,
        )  # fmt: skip
    return {"rows": found[:limit], "next": found[limit - 1]["symbol"] if len(found) > limit else None}
