from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.finra_partition import (
    TIERS,
    capture_id,
    check_week_ending,
    date_of_file,
    date_of_name,
    fridays,
    months,
    parse_date,
    partition_key,
    tier_code,
    tier_of_file,
    week_of_file,
    week_of_publication,
    window,
)


@pytest.mark.parametrize(
    ("said", "code"),
    [("tier1", "NMS_TIER_1"), ("TIER2", "NMS_TIER_2"), (" otc ", "OTC"), ("Otc_Blocks", "OTC_BLOCKS")]
    + [(code, code) for code in TIERS],
)
def test_tiers_have_aliases(said: str, code: str) -> None:
    assert tier_code(said) == code


def test_an_unknown_tier_lists_the_valid_ones() -> None:
    with pytest.raises(
        ValueError, match="'tier3' is no tier; the tiers are OTC, OTC_BLOCKS, ATSB, ATS, NMS_TIER_1, NMS_TIER_2"
    ):
        tier_code("tier3")


@pytest.mark.parametrize(
    ("published", "week"),
    [
        ("2025-12-29", "2025-12-26"),
        ("2025-12-27", "2025-12-26"),
        ("2025-12-26", "2025-12-19"),
        ("2026-01-01", "2025-12-26"),
        ("2025-12-15", "2025-12-12"),
    ],
)
def test_the_week_of_a_publication(published: str, week: str) -> None:
    assert week_of_publication(date.fromisoformat(published)) == date.fromisoformat(week)


def test_the_first_days_of_the_calendar_have_no_week_before() -> None:
    assert week_of_publication(date.min) is None


@given(st.dates(min_value=date(1, 1, 9)))
def test_a_week_ends_on_the_friday_before_publication(published: date) -> None:
    week = week_of_publication(published)
    assert week is not None
    assert week.weekday() == 4
    assert 1 <= (published - week).days <= 7


@pytest.mark.parametrize(
    ("day", "weekday", "nearest"),
    [
        ("2025-12-25", "Thursday", "2025-12-26"),
        ("2025-12-27", "Saturday", "2025-12-26"),
        ("2025-12-29", "Monday", "2025-12-26"),
        ("2025-12-30", "Tuesday", "2026-01-02"),
    ],
)
def test_another_weekday_names_the_nearest_friday(day: str, weekday: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"{day} is a {weekday}, .* the nearest is {nearest}"):
        check_week_ending(date.fromisoformat(day))


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2025-12-22", date(2025, 12, 22)),
        (" 20251222 ", date(2025, 12, 22)),
        ("2025-12-22T08:00:00", date(2025, 12, 22)),
        ("12/22/2025", None),
        ("2025-13-01", None),
        ("202512", None),
        ("2025-1-02", None),
        ("", None),
        ("٢٠٢٥-12-22", None),
    ],
)
def test_dates(text: str, day: date | None) -> None:
    assert parse_date(text) == day


@pytest.mark.parametrize(
    ("name", "tier"),
    [
        ("finra_otc_weekly_otc_20251222.csv", "OTC"),
        ("finra_otc_weekly_otc_blocks_20251222.csv.gz", "OTC_BLOCKS"),
        ("finra_otc_weekly_atsb_20251222.psv", "ATSB"),
        ("finra_otc_weekly_ats_2025-12-22.csv", "ATS"),
        ("finra_otc_weekly_tier1_20251222.csv", "NMS_TIER_1"),
        ("/data/FINRA_OTC_Weekly_Tier_2_20251222.CSV", "NMS_TIER_2"),
        ("my_otc_file.csv", "OTC"),
        ("otc.csv", "OTC"),
        ("week_2025-10-10_otc_blocks.psv", "OTC_BLOCKS"),
        ("week_2025-10-10_otc_blocks_.psv", "OTC_BLOCKS"),
        ("otc-blocks 2025-10-13.csv", "OTC_BLOCKS"),
        ("ATSB-20251013.csv", "ATSB"),
        ("volume.ats.20251013.csv.gz", "ATS"),
        ("ats otc 20251013.csv", "ATS"),
        ("otc_atsb_tier1.csv", "NMS_TIER_1"),
    ],
)
def test_a_name_hints_at_its_tier(name: str, tier: str) -> None:
    assert tier_of_file(None, name) == tier
    assert tier_of_file("ats", name) == "ATS"


@pytest.mark.parametrize("name", ["week_2025-12-26.psv", "totc.csv", "stats_20251222.csv", "tier12.csv"])
def test_a_name_without_tier_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="says no tier; give one of OTC, OTC_BLOCKS"):
        tier_of_file(None, name)


@pytest.mark.parametrize(
    ("name", "week"),
    [
        ("finra_otc_weekly_otc_20251229.csv", "2025-12-26"),
        ("otc_2025-12-29_v2.csv", "2025-12-26"),
        ("2025-12-22_20251229.csv", "2025-12-26"),
        ("2025-12-29_20251399.csv", "2025-12-26"),
        ("week_2025-12-26.psv", "2025-12-26"),
        ("week_20251226_otc.psv", "2025-12-26"),
        ("plain.csv", "2025-12-12"),
    ],
)
def test_the_week_of_a_file(name: str, week: str) -> None:
    def first_update() -> date:
        return date(2025, 12, 15)

    assert week_of_file(None, None, name, first_update) == date.fromisoformat(week)
    assert week_of_file(None, date(2025, 1, 6), name, first_update) == date(2025, 1, 3)
    assert week_of_file(date(2024, 3, 29), date(2025, 1, 6), name, first_update) == date(2024, 3, 29)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("finra_otc_weekly_otc_20251229.csv", "2025-12-29"),
        # Such a name's date is the week.
        ("week_2025-12-26_otc.psv", "2025-12-15"),
        ("week_2025-12-26_otc_20260105.psv", "2026-01-05"),
        ("plain.csv", "2025-12-15"),
    ],
)
def test_the_date_of_a_file(name: str, day: str) -> None:
    assert date_of_file(None, name, lambda: date(2025, 12, 15)) == date.fromisoformat(day)
    assert date_of_file(date(2025, 1, 6), name) == date(2025, 1, 6)


def test_a_file_without_any_date_is_refused() -> None:
    with pytest.raises(ValueError, match=r"neither the name 'plain\.csv' nor the first row's lastUpdateDate"):
        week_of_file(None, None, "plain.csv")


def test_a_name_s_week_must_be_a_friday() -> None:
    with pytest.raises(ValueError, match="the nearest is 2025-12-26"):
        week_of_file(None, None, "week_2025-12-27.psv")
    assert date_of_name("a_123456789.csv") is None


def test_windows_and_ranges() -> None:
    weeks = window(date(2025, 12, 26))
    assert (len(weeks), weeks[0], weeks[-1]) == (6, date(2025, 11, 21), date(2025, 12, 26))
    year = fridays(date(2024, 1, 1), date(2024, 12, 31))
    assert len(year) == 52
    # A loop of months that stops at day 28 skips these.
    assert {date(2024, 3, 29), date(2024, 5, 31), date(2024, 8, 30), date(2024, 11, 29)} <= set(year)
    assert [f for first, last in months(date(2024, 1, 1), date(2024, 12, 31)) for f in fridays(first, last)] == year
    assert fridays(date(2024, 1, 6), date(2024, 1, 5)) == []


def test_months_are_whole_but_for_the_ends() -> None:
    assert list(months(date(2024, 1, 30), date(2024, 3, 2))) == [
        (date(2024, 1, 30), date(2024, 1, 31)),
        (date(2024, 2, 1), date(2024, 2, 29)),
        (date(2024, 3, 1), date(2024, 3, 2)),
    ]


def test_a_capture_needs_an_offset_and_differs_by_the_microsecond() -> None:
    week, at = date(2025, 12, 26), datetime(2025, 12, 29, 14, 30, tzinfo=UTC)
    assert capture_id("OTC", week, at) != capture_id("OTC", week, at + timedelta(microseconds=1))
    with pytest.raises(ValueError, match="has no offset"):
        capture_id("OTC", week, at.replace(tzinfo=None))


def test_a_partition_key_is_json_with_sorted_keys() -> None:
    assert partition_key(date(2025, 12, 26), "OTC") == '{"tier": "OTC", "week_ending": "2025-12-26"}'
