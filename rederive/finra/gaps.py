"""Gaps of FINRA: weeks and tiers without a file, stages that are due, what older versions have computed."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

from producers.finra.locators import StageWork
from producers.finra.sources import days
from producers.finra.stored import bounds, captures_of
from producers.gap import DUE, MISSING, OUTDATED, Fill, Gap, Looking
from producers.source import Request, end_of, open_source, start_of
from rederive.finra.completeness import published, weeks_held
from schemas.domain import TABLE
from schemas.errors import UsageError
from schemas.finra.partition import TIERS, fridays, tier_code
from schemas.finra.tables import (
    CONCENTRATION,
    FINRA,
    ROLLING,
    SNAPSHOT,
    SYMBOL_SUMMARY,
    SYMBOL_VENUE_SHARE,
    SYMBOL_VENUE_VOLUME,
    TIER_VOLUME_SHARE,
    VENUE_SHARE,
    VENUE_VOLUME,
)
from schemas.finra.versions import CALCS, Stage
from store.versions import written_before

_FILES = "files"
_OF_VOLUMES = (SYMBOL_SUMMARY, VENUE_SHARE, SYMBOL_VENUE_SHARE, CONCENTRATION)
_COMPUTED = (*_OF_VOLUMES, TIER_VOLUME_SHARE, ROLLING, SNAPSHOT)
# Everything follows from what these have, and is computed with the summaries.
_SAYS = {SYMBOL_SUMMARY: (VENUE_VOLUME, SYMBOL_VENUE_VOLUME)}
_STAGE_OF = {table.name: "aggregate" if table in _OF_VOLUMES else table.name for table in _COMPUTED}


def gaps(looking: Looking) -> Iterator[Gap]:
    """By the week's Friday: from the first week stored, unless the range says other, to the last that is published.

    Files are taken from the folder that `--option source=FOLDER` names; without it no plan can bring what is missing.
    """
    request = _checked(looking.request)
    held = bounds(looking.services.connection)
    if held is None:
        return
    first, last = days(request)
    stored = fridays(max(held[0], first or held[0]), min(held[1], last or held[1]))
    if not looking.nothing_else:
        yield from _due(looking, request, stored)
        weeks = published(first or held[0], last or date.max, datetime.now(UTC).date())
        yield from _missing(looking, request, weeks)
    if looking.outdated:
        yield from _outdated(looking, request, stored)


def _checked(request: Request) -> Request:
    if request.kinds:
        raise UsageError("--kind means nothing to finra", mend="leave it out; --key names a tier")
    try:
        tiers = tuple(dict.fromkeys(map(tier_code, request.keys)))
    except ValueError as error:
        raise UsageError(f"--key: {error}") from None
    folder = request.options.get("source")
    if folder is not None and not Path(str(folder)).exists():
        raise UsageError(f"--option source={folder} does not exist", mend="name a folder of weekly files")
    whole = {**request.options, "source": str(Path(str(folder)).absolute()) if folder is not None else None}
    return replace(request, keys=tiers, options=whole)


def _due(looking: Looking, request: Request, weeks: Sequence[date]) -> Iterator[Gap]:
    """The units of a plan of what is stored: what has been computed of the same input isn't among them."""
    if not weeks_held(looking.services.connection, weeks, request.keys or TIERS):
        return
    asked = replace(
        request, start=start_of(weeks[0]), end=end_of(weeks[-1]), options={**request.options, "source": None}
    )
    with closing(open_source(FINRA, TABLE, looking.services)) as source:
        for page in source.pages(asked):
            for unit in page.units:
                if isinstance(work := unit.locator, StageWork):
                    part = f"{work.tier} {unit.stage.replace('_', ' ')}"
                    yield Gap(kind=DUE, day=work.week, days=7, part=part, of="stage", fill=Fill(TABLE, asked))


def _missing(looking: Looking, request: Request, weeks: Sequence[date]) -> Iterator[Gap]:
    """Weeks that nothing is stored of, by tier: of the tiers asked for, else of those that anything is stored of."""
    held = weeks_held(looking.services.connection, weeks, request.keys or TIERS)
    tiers = request.keys or _tiers(looking)
    lacking = [(week, tier) for week in weeks for tier in tiers if week not in held.get(tier, ())]
    for week, tier in lacking:
        alone = any(week in held.get(other, ()) for other in tiers)
        asked = replace(request, start=start_of(week), end=end_of(week), keys=(tier,))
        yield Gap(
            kind=MISSING,
            day=week,
            days=7,
            part=tier,
            of="file",
            why="" if alone or len(tiers) == 1 else "no tier of the week is stored",
            fill=Fill(_FILES, asked) if asked.options["source"] else None,
            mend=f"rederive replay finra --source FOLDER --from {lacking[0][0]} --to {lacking[-1][0]}",
        )


def _tiers(looking: Looking) -> list[str]:
    held = bounds(looking.services.connection)
    found = weeks_held(looking.services.connection, fridays(*held), TIERS) if held else {}
    return [tier for tier in TIERS if tier in found]


def _outdated(looking: Looking, request: Request, weeks: Sequence[date]) -> Iterator[Gap]:
    """Weeks and tiers of which the newest capture of a table is a run's of older formulas: what follows, anew.

    All of it where what everything follows from is old, else the calculations that are, and the snapshots.
    """
    before = cache(lambda version: frozenset(written_before(looking.services.connection, FINRA.name, version)))
    old: dict[tuple[date, str], list[str]] = {}
    for table in _COMPUTED:
        version = max(max(FINRA.formulas(of)) for of in (table, *_SAYS.get(table, ())))
        captures = (
            captures_of(looking.services.connection, table, weeks, request.keys or TIERS) if before(version) else {}
        )
        for partition, (newest, *_) in captures.items():
            if newest.capture_id in before(version):
                old.setdefault(partition, []).append(table.name)
    for (week, tier), tables in sorted(old.items()):
        options = {**request.options, "source": None, "force": True}
        asked = replace(request, start=start_of(week), end=end_of(week), keys=(tier,), options=options)
        fill = Fill(TABLE, replace(asked, kinds=_follow(tables)))
        of = len({_STAGE_OF[name] for name in tables})
        yield Gap(kind=OUTDATED, day=week, days=7, part=tier, count=of, of="stage", fill=fill)


def _follow(tables: Sequence[str]) -> tuple[str, ...]:
    """What computes these tables, and what follows from them; none is everything."""
    if SYMBOL_SUMMARY.name in tables:
        return ()
    named = {calc.name for calc in CALCS.values() if calc.stage and calc.table in tables}
    return (*sorted(named), *([str(Stage.SNAPSHOT)] if {ROLLING.name, SNAPSHOT.name} & set(tables) else []))
