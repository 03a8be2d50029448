"""How much a plan for FINRA would compute, and about how long that takes (finra spec, section 5, dry_run)."""

from collections import Counter
from dataclasses import dataclass

from producers.finra.due import renewed
from producers.finra.locators import FinraLocator, StageWork
from producers.finra.picks import ROLLING_CALC, SUMMARY_CALC, Wanted
from schemas.finra.versions import TIER_SPLIT, Stage
from schemas.plan import Plan

RESULTS_A_SECOND = 100_000
"""Rows times calculations that two cores compute and store, about."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a plan comes to. `results` are rows × calculations × versions, `follow_ups` units that become due.

    `months` are (month, weeks, files, stages of stored rows, rows).
    """

    weeks: tuple[str, ...]
    tiers: tuple[str, ...]
    versions: dict[str, str]
    captures: int
    rows: int
    results: int
    seconds: int
    refused: int
    follow_ups: int
    months: tuple[tuple[str, int, int, int, int], ...]


def estimate(plan: Plan[FinraLocator]) -> Estimate:
    """What applying the plan would do. Later weeks' rolling figures are counted whether these weeks exist or not."""
    wanted = Wanted.of(plan.request)
    planned = [(unit, unit.locator) for unit in plan.units if isinstance(unit.locator, StageWork)]
    works = [work for _, work in planned]
    fresh = {(work.week, work.tier) for work in works if SUMMARY_CALC in work.work}
    later = renewed(fresh) if ROLLING_CALC in wanted.work else fresh
    splits = len({week for week, _ in fresh}) if TIER_SPLIT in wanted.work else 0
    snapshots = len(later) if Stage.SNAPSHOT in wanted.work else 0
    # A follow-up reads a row per symbol, of which a file has fewer than rows: they are not counted.
    results = sum(work.found * len(work.work) for work in works)
    return Estimate(
        weeks=tuple(sorted({str(work.week) for work in works})),
        tiers=tuple(sorted({tier for work in works for tier in work.tiers})),
        versions=dict(wanted.versions),
        captures=len({capture for unit, _ in planned for capture in unit.writes}),
        rows=sum(work.found for work in works),
        results=results,
        seconds=round(results / RESULTS_A_SECOND),
        refused=len(plan.units) - len(works),
        follow_ups=splits + (len(later) if ROLLING_CALC in wanted.work else 0) + snapshots,
        months=_months([(unit.stage, work) for unit, work in planned]),
    )


def _months(works: list[tuple[str, StageWork]]) -> tuple[tuple[str, int, int, int, int], ...]:
    found = []
    for month in sorted({f"{work.week:%Y-%m}" for _, work in works}):
        own = [(stage, work) for stage, work in works if f"{work.week:%Y-%m}" == month]
        stages = Counter(stage == "file" for stage, _ in own)
        weeks = {work.week for _, work in own}
        found.append((month, len(weeks), stages[True], stages[False], sum(work.found for _, work in own)))
    return tuple(found)
