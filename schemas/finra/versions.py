"""FINRA's calculations: their versions and what may be done with each (finra spec, section 7).

A version lives from ACTIVE to DEPRECATED (still written, with a warning, never the default) to SUNSET (read, no longer
written). To add one, append it to `versions`; it becomes `current` in a later change. No version is ever removed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

PREFIX = "finra_otc_transparency_"

_SYMBOL = ("week_ending", "tier", "symbol")
_SYMBOL_VENUE = (*_SYMBOL, "mpid")


class Stage(StrEnum):
    """The pipelines of a partition, in the order in which they follow from each other (section 5)."""

    INGEST = "ingest_week"
    NORMALIZE = "normalize_week"
    AGGREGATE = "aggregate_week"
    VENUE_SHARE = "compute_venue_share"
    ROLLING = "compute_rolling"
    SNAPSHOT = "research_snapshot"


class VersionState(StrEnum):
    """Where a version stands in its life."""

    ACTIVE = "ACTIVE"
    DEPRECATED = "DEPRECATED"
    SUNSET = "SUNSET"


@dataclass(frozen=True, slots=True)
class Calc:
    """A calculation: its versions, oldest first, and the table whose rows carry them.

    `stage` computes it; None is a reserved name without any formula.
    """

    name: str
    table: str
    business_keys: tuple[str, ...]
    stage: Stage | None
    versions: tuple[str, ...]
    current: str = "v1"
    deprecated: tuple[str, ...] = ()
    sunset: tuple[str, ...] = ()


def _calc(
    name: str, keys: tuple[str, ...], stage: Stage | None, table: str = "", versions: tuple[str, ...] = ("v1",)
) -> Calc:
    return Calc(name, PREFIX + (table or name), keys, stage, versions)


CALCS: Mapping[str, Calc] = {
    calc.name: calc
    for calc in (
        _calc("symbol_summary", _SYMBOL, Stage.AGGREGATE),
        _calc("venue_share", ("week_ending", "tier", "mpid"), Stage.VENUE_SHARE, versions=("v1", "v2")),
        _calc("rolling_6w", _SYMBOL, Stage.ROLLING, "symbol_rolling_6w"),
        _calc("liquidity_score", _SYMBOL, None),
        _calc("weekly_symbol_venue_volume", _SYMBOL_VENUE, Stage.AGGREGATE),
        _calc("weekly_symbol_venue_share", _SYMBOL_VENUE, Stage.AGGREGATE),
        _calc("weekly_symbol_venue_concentration_hhi", _SYMBOL, Stage.AGGREGATE),
        _calc("weekly_symbol_tier_volume_share", _SYMBOL, Stage.AGGREGATE),
    )
}
"""The registry."""

TIER_SPLIT = "weekly_symbol_tier_volume_share"
"""The one calculation of its stage that needs every tier of a week."""


def get_calc(calc: str, registry: Mapping[str, Calc] = CALCS) -> Calc:
    """A calculation's entry; KeyError names the known ones."""
    if calc not in registry:
        raise KeyError(f"{calc!r} is no calculation; there are {', '.join(registry)}")
    return registry[calc]


def get_current_version(calc: str, registry: Mapping[str, Calc] = CALCS) -> str:
    """The version that is meant when none is named; KeyError names the known calculations."""
    return get_calc(calc, registry).current


def get_version_rank(calc: str, version: str, registry: Mapping[str, Calc] = CALCS) -> int:
    """What orders versions: the number behind `v`, so that v10 is above v2.

    Of a version without a number its place in the list from 1, and 0 when it isn't there.
    """
    versions = get_calc(calc, registry).versions
    if numbered := re.fullmatch(r"v?([0-9]+)", version):
        return int(numbered[1])
    return versions.index(version) + 1 if version in versions else 0


def is_deprecated(calc: str, version: str, registry: Mapping[str, Calc] = CALCS) -> bool:
    """Whether a version should no longer be used; False for unknown ones."""
    return calc in registry and version in registry[calc].deprecated


def check_deprecation_warning(calc: str, version: str, registry: Mapping[str, Calc] = CALCS) -> str | None:
    """What to tell somebody who uses a deprecated version; None when there is nothing to tell."""
    if not is_deprecated(calc, version, registry):
        return None
    return f"{calc} {version} is deprecated; the current version is {registry[calc].current}"


def get_calc_metadata(calc: str, version: str | None = None, registry: Mapping[str, Calc] = CALCS) -> dict[str, Any]:
    """What is known of a calculation's version (none: the current one); KeyError or ValueError for unknown ones."""
    entry = get_calc(calc, registry)
    found = _known_version(entry, version)
    return {
        "calc_name": calc,
        "calc_version": found,
        "is_current": found == entry.current,
        "deprecated": found in entry.deprecated,
        "deprecation_warning": check_deprecation_warning(calc, found, registry),
        "table": entry.table,
        "business_keys": list(entry.business_keys),
    }


def get_version_state(calc: str, version: str, registry: Mapping[str, Calc] = CALCS) -> VersionState:
    """Where a version stands in its life; KeyError or ValueError for unknown ones."""
    entry = get_calc(calc, registry)
    found = _known_version(entry, version)
    if found in entry.sunset:
        return VersionState.SUNSET
    return VersionState.DEPRECATED if found in entry.deprecated else VersionState.ACTIVE


def version_to_write(calc: str, version: str | None = None, registry: Mapping[str, Calc] = CALCS) -> str:
    """The version that rows are written with (none: the current one).

    KeyError or ValueError for unknown ones; ValueError for a version that is only read, and for a reserved name.
    """
    entry = get_calc(calc, registry)
    found = _known_version(entry, version)
    if entry.stage is None:
        raise ValueError(f"{calc} is a reserved name: nothing computes it")
    if found in entry.sunset:
        raise ValueError(f"{calc} {found} is no longer written; the current version is {entry.current}")
    return found


def _known_version(entry: Calc, version: str | None) -> str:
    found = entry.current if version is None else version
    if found not in entry.versions:
        raise ValueError(f"{entry.name} has no version {found!r}; there are {', '.join(entry.versions)}")
    return found


def work_of(names: tuple[str, ...], registry: Mapping[str, Calc] = CALCS) -> frozenset[str]:
    """What stage and calculation names ask for: calculations, and the two stages that only prepare rows.

    A stage stands for all its calculations. ValueError lists the valid names.
    """
    work: set[str] = set()
    for name in names:
        if name in registry:
            version_to_write(name, None, registry)
            work.add(name)
        elif name in list(Stage):
            work.update(calc.name for calc in registry.values() if calc.stage == name)
            if name in (Stage.INGEST, Stage.NORMALIZE, Stage.SNAPSHOT):
                work.add(name)
        else:
            valid = (*Stage, *(calc.name for calc in registry.values() if calc.stage))
            raise ValueError(f"{name!r} is neither stage nor calculation; there are {', '.join(valid)}")
    return frozenset(work)
