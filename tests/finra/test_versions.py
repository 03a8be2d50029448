import re
from dataclasses import replace

import pytest

from schemas.finra.tables import BUSINESS_KEYS, FINRA
from schemas.finra.versions import (
    CALCS,
    PREFIX,
    Calc,
    Stage,
    VersionState,
    check_deprecation_warning,
    get_calc_metadata,
    get_current_version,
    get_version_rank,
    get_version_state,
    is_deprecated,
    version_to_write,
    work_of,
)

# Versions are only ever appended: what is here stays in the registry.
PUBLISHED = {
    "symbol_summary": ("v1",),
    "venue_share": ("v1", "v2"),
    "rolling_6w": ("v1",),
    "liquidity_score": ("v1",),
    "weekly_symbol_venue_volume": ("v1",),
    "weekly_symbol_venue_share": ("v1",),
    "weekly_symbol_venue_concentration_hhi": ("v1",),
    "weekly_symbol_tier_volume_share": ("v1",),
}

AGED = {
    "venue_share": replace(
        CALCS["venue_share"], versions=("v1", "v2", "v3", "v10"), current="v10", deprecated=("v1", "v2"), sunset=("v1",)
    )
}


@pytest.mark.parametrize("calc", CALCS.values(), ids=lambda calc: calc.name)
def test_the_registry_s_invariants(calc: Calc) -> None:
    assert calc.versions
    assert calc.current in calc.versions
    assert calc.current not in calc.deprecated
    assert calc.current not in calc.sunset
    assert set(calc.deprecated) <= set(calc.versions)
    assert set(calc.sunset) <= set(calc.versions)
    assert calc.business_keys
    assert calc.table.startswith(PREFIX)
    ranks = [get_version_rank(calc.name, version) for version in calc.versions]
    assert ranks == sorted(set(ranks))


def test_no_version_is_ever_removed() -> None:
    for name, versions in PUBLISHED.items():
        assert CALCS[name].versions[: len(versions)] == versions


def test_every_calculation_with_a_formula_has_a_table_with_its_business_key_and_version() -> None:
    for calc in CALCS.values():
        if calc.stage:
            key = {column.name for column in FINRA.table(calc.table).key}
            assert key == {*calc.business_keys, "capture_id", "calc_name", "calc_version"}
            assert BUSINESS_KEYS[calc.table] == calc.business_keys


def test_current_versions() -> None:
    assert {get_current_version(calc) for calc in CALCS} == {"v1"}
    with pytest.raises(KeyError, match="'hhi' is no calculation; there are symbol_summary, venue_share"):
        get_current_version("hhi")


def test_ranks() -> None:
    assert get_version_rank("venue_share", "v10") > get_version_rank("venue_share", "v2") == 2
    assert get_version_rank("venue_share", "3") == 3
    assert get_version_rank("venue_share", "beta") == 0
    named = {"venue_share": replace(CALCS["venue_share"], versions=("alpha", "beta"), current="alpha")}
    assert get_version_rank("venue_share", "beta", named) == 2


def test_a_version_s_life() -> None:
    states = [get_version_state("venue_share", version, AGED) for version in ("v1", "v2", "v3", "v10")]
    assert states == [VersionState.SUNSET, VersionState.DEPRECATED, VersionState.ACTIVE, VersionState.ACTIVE]
    assert version_to_write("venue_share", None, AGED) == "v10"
    assert version_to_write("venue_share", "v2", AGED) == "v2"
    with pytest.raises(ValueError, match="venue_share v1 is no longer written; the current version is v10"):
        version_to_write("venue_share", "v1", AGED)


def test_deprecation_warns() -> None:
    assert check_deprecation_warning("venue_share", "v2", AGED) == (
        "venue_share v2 is deprecated; the current version is v10"
    )
    assert check_deprecation_warning("venue_share", "v10", AGED) is None
    assert not is_deprecated("hhi", "v1")
    assert not is_deprecated("venue_share", "v9", AGED)


def test_metadata() -> None:
    assert get_calc_metadata("venue_share", "v2") == {
        "calc_name": "venue_share",
        "calc_version": "v2",
        "is_current": False,
        "deprecated": False,
        "deprecation_warning": None,
        "table": "finra_otc_transparency_venue_share",
        "business_keys": ["week_ending", "tier", "mpid"],
    }
    assert get_calc_metadata("rolling_6w")["table"] == "finra_otc_transparency_symbol_rolling_6w"
    with pytest.raises(ValueError, match="venue_share has no version 'v9'; there are v1, v2"):
        get_calc_metadata("venue_share", "v9")
    with pytest.raises(KeyError, match="hhi"):
        get_calc_metadata("hhi")


def test_a_reserved_name_is_not_computed() -> None:
    assert get_current_version("liquidity_score") == "v1"
    with pytest.raises(ValueError, match="liquidity_score is a reserved name"):
        version_to_write("liquidity_score")


def test_stages_and_calculations_name_work() -> None:
    assert work_of(("venue_share", "compute_rolling")) == {"venue_share", "rolling_6w"}
    assert work_of((Stage.AGGREGATE,)) == {name for name, calc in CALCS.items() if calc.stage == Stage.AGGREGATE}
    assert work_of(("ingest_week", "normalize_week", "research_snapshot")) == {
        "ingest_week",
        "normalize_week",
        "research_snapshot",
    }
    with pytest.raises(ValueError, match=re.escape("'hhi' is neither stage nor calculation; there are ingest_week")):
        work_of(("hhi",))
