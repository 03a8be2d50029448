"""Figures that check a snapshot's row against its payload: sums at depth N, return, coverage (betfair spec, section 9).

Pure, and read more leniently than metrics are: no level is left out, and an id may be a number or its text.
"""

from collections.abc import Hashable, Mapping
from typing import Any

from processors.betfair.book import usable_id
from processors.betfair.coercion import Json, to_float
from schemas.betfair.tables import DEPTH_LIMIT, ROLES

SUMS = tuple(f"{role}_back_{what}_sum_N" for role in ROLES for what in ("size", "liability"))
RATIOS = tuple(f"{role}_{what}_N" for what in ("roi", "coverage", "roi_toxic") for role in ROLES)
VALIDATORS = (*SUMS, *RATIOS)
"""The names of all 15, each of a role at depth N."""

Figures = dict[str, float | None]


def validators(payload: Json, selections: Mapping[str, int | None], depth: int | None, volumes: Figures) -> Figures:
    """The 15 figures of a payload; `selections` has the id of each role, `volumes` total_volume and total_matched.

    N is the depth limit, 3 where there is none. None is what can't be said: the runner is absent, nothing is offered.
    """
    found = _sums(payload, selections, depth if depth is not None and depth > 0 else DEPTH_LIMIT)
    return found | _ratios(found, volumes)


def _sums(payload: Json, selections: Mapping[str, int | None], depth: int) -> Figures:
    found: Figures = dict.fromkeys(SUMS)
    entries = payload.get("runners") if isinstance(payload, dict) else None
    runners: dict[Hashable, Json] = {}
    for entry in entries if isinstance(entries, list) else ():
        if (identifier := usable_id(entry)) is not None:
            runners[identifier] = entry
    for role in ROLES:
        runner = _runner(runners, selections.get(role))
        if runner is None:
            continue
        size_sum = liability = 0.0
        for level in _back(runner)[:depth]:
            price, size = _level(level)
            size_sum += size
            liability += size * (price - 1.0)
        found[f"{role}_back_size_sum_N"], found[f"{role}_back_liability_sum_N"] = size_sum, liability
    return found


def _runner(runners: Mapping[Hashable, Any], identifier: int | None) -> Any | None:  # noqa: ANN401 - JSON
    if identifier is None:
        return None
    return runners.get(identifier, runners.get(str(identifier)))


def _back(runner: dict[str, Any]) -> list[Any]:
    ex = runner.get("ex")
    ladder = (ex.get("availableToBack") or ex.get("available_to_back")) if isinstance(ex, dict) else None
    return ladder if isinstance(ladder, list) else []


def _level(level: Json) -> tuple[float, float]:
    if isinstance(level, list) and len(level) > 1:
        return to_float(level[0]), to_float(level[1])
    if isinstance(level, dict):
        return (
            to_float(level.get("price") or level.get("Price")),
            to_float(level.get("size") or level.get("Size")),
        )
    return 0.0, 0.0


def _ratios(sums: Figures, volumes: Figures) -> Figures:
    found: Figures = dict.fromkeys(RATIOS)
    volume = volumes.get("total_volume") or volumes.get("total_matched") or 0.0
    if volume <= 0:
        volume = 0.0
        for role in ROLES:
            volume += sums[f"{role}_back_size_sum_N"] or 0.0
    if volume <= 0:
        return found
    for role in ROLES:
        size, liability = sums[f"{role}_back_size_sum_N"], sums[f"{role}_back_liability_sum_N"]
        if size is None or liability is None:
            continue
        coverage = max(0.0, min(1.0, size / volume))
        found[f"{role}_coverage_N"] = coverage
        if size > 0:
            roi = liability / size
            found[f"{role}_roi_N"], found[f"{role}_roi_toxic_N"] = roi, roi * (1.0 - coverage)
    return found
