"""How much a plan for FINRA would compute, and about how long that takes (finra spec, section 5, dry_run)."""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

from producers.finra.due import renewed
from producers.finra.picks import ROLLING_CALC, Wanted
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


def estimate(plan: Plan) -> Estimate:
    """What applying the plan would do. Later weeks' rolling figures are counted whether these weeks exist or not."""
    wanted = Wanted.of(plan.request)
    picks = [unit.picked for unit in plan.units if unit.picked["captures"]]
    fresh = {
        (date.fromisoformat(picked["week"]), picked["tier"]) for picked in picks if "symbol_summary" in picked["work"]
    }
    later = renewed(fresh) if ROLLING_CALC in wanted.work else fresh
    splits = len({week for week, _ in fresh}) if TIER_SPLIT in wanted.work else 0
    snapshots = len(later) if Stage.SNAPSHOT in wanted.work else 0
    rows = sum(picked.get("found", 0) for picked in picks)
    # A follow-up reads a row per symbol, of which a file has fewer than rows: they are not counted.
    results = sum(picked.get("found", 0) * len(picked["work"]) for picked in picks)
    return Estimate(
        weeks=tuple(sorted({picked["week"] for picked in picks})),
        tiers=tuple(sorted({tier for picked in picks for tier in _tiers(picked)})),
        versions=dict(wanted.versions),
        captures=len({capture for picked in picks for capture in picked["captures"]}),
        rows=rows,
        results=results,
        seconds=round(results / RESULTS_A_SECOND),
        refused=len(plan.units) - len(picks),
        follow_ups=splits + (len(later) if ROLLING_CALC in wanted.work else 0) + snapshots,
        months=_months(picks),
    )


def _tiers(picked: dict[str, Any]) -> list[str]:
    return picked.get("tiers") or [picked["tier"]]


def _months(picks: list[dict[str, Any]]) -> tuple[tuple[str, int, int, int, int], ...]:
    found = []
    for month in sorted({picked["week"][:7] for picked in picks}):
        own = [picked for picked in picks if picked["week"].startswith(month)]
        stages = Counter(picked["stage"] == "file" for picked in own)
        weeks = {picked["week"] for picked in own}
        found.append((month, len(weeks), stages[True], stages[False], sum(one.get("found", 0) for one in own)))
    return tuple(found)
