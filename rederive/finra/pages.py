"""FINRA's pages: weeks with how concentrated they are, one week, a symbol over weeks, two versions side by side."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Any

from rederive.finra.partitions import Partitions
from rederive.finra.routes import one_symbol, one_week, rolling, symbols, venues
from rederive.finra.routes import weeks as list_weeks
from rederive.finra.versions import compare
from rederive.finra.week import Concentrated, concentrated
from rederive.http.pages import HTML, Chart, Pages, Series, page
from rederive.http.routing import Day, Key, Reading, Request, Text, Unknown
from schemas.finra.partition import fridays
from schemas.finra.versions import CALCS, get_calc, get_version_state

pages = Pages("rederive.finra", menu=[("weeks", "FINRA weeks"), ("versions", "Versions")])

_WEEKS = 26
_SYMBOLS = 100


@dataclass(frozen=True, slots=True)
class _Line:
    """A symbol of a week: its summary, and its six-week figures where there are any."""

    symbol: str
    summary: dict[str, Any]
    rolling: dict[str, Any] | None


@pages.get("/weeks")
def weeks(request: Request, reads: Reading, before: Day | None = None) -> HTML:
    """Weeks that are stored, and how concentrated their venues are."""
    found = list_weeks(reads, before=before, limit=_WEEKS)
    ends = sorted({one.week_ending for one in found.weeks})
    with reads.connection("the weeks") as connection:
        figures = concentrated(connection, ends[0], ends[-1]) if ends else []
    by = {(one.week_ending, one.tier): one for one in figures}
    return page(
        request,
        "finra/weeks.html",
        found=found,
        by=by,
        before=before,
        charts=_charts(fridays(ends[0], ends[-1]) if ends else [], figures),
    )


@pages.get("/weeks/{week}")
def week(request: Request, week: Key, reads: Reading, tier: Text | None = None, after: Text | None = None) -> HTML:
    """A week: captures, stages, shares of venues, symbols with their trend, checks."""
    whole = one_week(week, reads)
    found = one_week(week, reads, tier=tier) if tier else whole
    tiers = sorted({one.tier for one in whole.captures})
    chosen = tier or (tiers[0] if tiers else None)
    lines, following = [], None
    if chosen:
        listed = symbols(week, reads, chosen, after=after or None, limit=_SYMBOLS)
        trends = {one["symbol"]: one for one in _rolling(week, reads, chosen, after, listed["rows"])}
        lines = [_Line(one["symbol"], one, trends.get(one["symbol"])) for one in listed["rows"]]
        following = listed["next"]
    shares = defaultdict(list)
    for one in venues(week, reads, tier=tier or None):
        shares[one["tier"]].append(one)
    with reads.connection("the week") as connection:
        figures = {one.tier: one for one in concentrated(connection, found.week_ending, found.week_ending)}
    return page(
        request,
        "finra/week.html",
        found=found,
        week=week,
        tier=tier,
        chosen=chosen,
        tiers=tiers,
        shares=dict(shares),
        figures=figures,
        lines=lines,
        next=following,
    )


@pages.get("/symbols/{symbol}")
def symbol(request: Request, symbol: Key, reads: Reading, tier: Text | None = None) -> HTML:
    """A symbol over weeks."""
    found = one_symbol(symbol, reads, tier=tier or None, limit=104)
    ends = sorted({one["week_ending"] for one in [*found["summaries"], *found["concentration"], *found["rolling"]]})
    charts = [
        _over(ends, "Volume", found["summaries"], "total_volume", "shares"),
        _over(ends, "HHI of its venues", found["concentration"], "hhi", "0 to 1"),
        _over(ends, "Six-week average", found["rolling"], "avg_volume", "shares"),
        _over(ends, "Six-week trend", found["rolling"], "trend_pct", "%"),
    ]
    return page(request, "finra/symbol.html", symbol=symbol, found=found, charts=[one for one in charts if one.series])


@pages.get("/versions")
def versions(
    request: Request,
    reads: Reading,
    calc: Text | None = None,
    first: Text | None = None,
    second: Text | None = None,
    week: Text | None = None,
    tier: Text | None = None,
) -> HTML:
    """Calculations with their versions; of one, two versions on what is stored of both."""
    found = None
    if calc and first and second:
        if calc not in CALCS:
            raise Unknown(f"there is no calculation {calc}", why=f"there are {', '.join(CALCS)}")
        entry = get_calc(calc)
        if odd := [name for name in (first, second) if name not in entry.versions]:
            raise Unknown(f"{calc} has no version {odd[0]}", why=f"there are {', '.join(entry.versions)}")
        asked = Partitions.asked(week or None, tier or None)
        with reads.temporary("the comparison") as connection:
            found = compare(connection, entry, first, second, asked)
    return page(
        request,
        "finra/versions.html",
        calcs=[(one, [(name, get_version_state(one.name, name)) for name in one.versions]) for one in CALCS.values()],
        several=[one for one in CALCS.values() if len(one.versions) > 1],
        found=found,
        said={"calc": calc, "first": first, "second": second, "week": week or "", "tier": tier or ""},
    )


def _rolling(
    week: str, reads: Reading, tier: str, after: str | None, shown: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Six-week figures of the symbols shown: there are none of those that lack a week."""
    return list(rolling(week, reads, tier, after=after or None, limit=len(shown))["rows"]) if shown else []


def _charts(ends: list[date], figures: list[Concentrated]) -> list[Chart]:
    by = {(one.week_ending, one.tier): one for one in figures}
    tiers = sorted({one.tier for one in figures})

    def of(name: str) -> list[Series]:
        return [
            Series(tier, [getattr(by[end, tier], name) if (end, tier) in by else None for end in ends])
            for tier in tiers
        ]

    return [
        Chart("HHI of venues' shares", ends, of("hhi"), "0 to 1; 1 is a single venue"),
        Chart("Volume", ends, of("volume"), "shares"),
    ]


def _over(ends: list[date], title: str, rows: list[dict[str, Any]], column: str, unit: str) -> Chart:
    by = {(one["week_ending"], one["tier"]): one[column] for one in rows}
    tiers = sorted({one["tier"] for one in rows})
    return Chart(title, ends, [Series(tier, [by.get((end, tier)) for end in ends]) for tier in tiers], unit)
