"""The worked examples of the finra spec (section 11)."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest

from processors.finra import process
from processors.finra_line import compute
from schemas.finra import REASONS, SKIPS
from schemas.finra_partition import capture_id, window
from schemas.finra_units import RollingFacts, RollingUnit, SnapshotUnit
from schemas.outcome import Outcome, RowProblem
from schemas.row_equality import rows_equal_deterministic
from tests.finra.texts import AT, EXAMPLE_A, NAME, WEEK, checks, content, file_outcome, picked, table

A = content(EXAMPLE_A)


def test_a_stages_two_and_three() -> None:
    outcome = file_outcome(A)
    assert picked(table(outcome, "venue_volume"), "symbol", "mpid", "avg_trade_size") == [
        ("AABB", "NITE", 500.0),
        ("AABB", "OTCN", 600.0),
        ("AABB", "OTCX", None),
        ("FNMA", "CDEL", 300.0),
        ("FNMA", "NITE", 250.0),
    ]
    assert picked(
        table(outcome, "symbol_summary"), "symbol", "total_volume", "total_trades", "venue_count", "avg_trade_size"
    ) == [("AABB", 1000000, 1700, 3, 588.2352941176471), ("FNMA", 1000000, 3600, 2, 277.77777777777777)]
    assert picked(table(outcome, "weekly_symbol_venue_concentration_hhi"), "symbol", "hhi") == [
        ("AABB", 0.46),
        ("FNMA", 0.52),
    ]


SHARE = ("mpid", "total_volume", "total_trades", "symbol_count", "market_share_pct", "rank")


def test_a_venue_share_v1() -> None:
    outcome = file_outcome(A)
    shares = table(outcome, "venue_share")
    assert picked(shares, *SHARE) == [
        ("CDEL", 600000, 2000, 1, 0.3, 2),
        ("NITE", 1000000, 2800, 2, 0.5, 1),
        ("OTCN", 300000, 500, 1, 0.15, 3),
        ("OTCX", 100000, 0, 1, 0.05, 4),
    ]
    assert {row["calc_version"] for row in shares} == {"v1"}
    assert set(checks(outcome).values()) == {"PASS"}


def test_a_venue_share_v2() -> None:
    shares = table(file_outcome(A, versions={"venue_share": "v2"}), "venue_share")
    assert picked(shares, "mpid", "market_share_pct", "rank", "calc_version") == [
        ("CDEL", 0.3000877574754386, 2, "v2"),
        ("NITE", 0.5000321063934532, 1, "v2"),
        ("OTCN", 0.1499368574262088, 3, "v2"),
        ("OTCX", 0.04994327870489944, 4, "v2"),
    ]


REJECTED = (
    "EXCHANGE||X|Y||-1|-1|2025-12-29",
    "OTC|ABCD|n|v|ZZZ1|1,000|5|2025-12-29",
    "OTC|ABCD|n|v|ZZZ2||7|2025-12-29",
    "OTC|ABCD|n|v|ZZZ3|0||2025-12-29",
)


def test_b_rejects() -> None:
    outcome = file_outcome(content(EXAMPLE_A, *REJECTED))
    found = table(outcome, "core_rejects")
    assert sorted(picked(found, "line_number", "stage", "reason_code")) == [
        (7, "NORMALIZE", "INVALID_TIER"),
        (8, "INGEST", "PARSE_ERROR"),
        (10, "NORMALIZE", "ZERO_VOLUME"),
    ]
    by_line = {row["line_number"]: row for row in found}
    assert by_line[7]["reason_detail"] == "INVALID_TIER;INVALID_SYMBOL;INVALID_MPID;NEGATIVE_VOLUME;NEGATIVE_TRADES"
    assert [by_line[number]["raw_json"] for number in (7, 8, 10)] == [{"text": REJECTED[n]} for n in (0, 1, 3)]
    assert ("ABCD", "ZZZ2", 0, 7, 0.0) in picked(
        table(outcome, "venue_volume"), "symbol", "mpid", "total_shares", "total_trades", "avg_trade_size"
    )
    assert outcome.read == 9
    assert sorted(outcome.skips, key=lambda skip: skip.key) == [
        RowProblem(("finra_otc_weekly_otc_20251229.csv", 7), "INVALID_TIER", REASONS["INVALID_TIER"]),
        RowProblem(("finra_otc_weekly_otc_20251229.csv", 8), "PARSE_ERROR", REASONS["PARSE_ERROR"]),
        RowProblem(("finra_otc_weekly_otc_20251229.csv", 10), "ZERO_VOLUME", REASONS["ZERO_VOLUME"]),
    ]
    assert checks(outcome)["record_count_balance"] == "PASS"


@pytest.mark.parametrize(("shares", "dropped"), [(600000, 7), (600001, 2)])
def test_b_duplicates(shares: int, dropped: int) -> None:
    outcome = file_outcome(content([*EXAMPLE_A, ("AABB", "NITE", shares, 9)]))
    assert picked(table(outcome, "core_rejects"), "line_number", "stage", "reason_code") == [
        (dropped, "NORMALIZE", "DUPLICATE_KEY")
    ]
    assert len(table(outcome, "raw")) == 6
    assert len(table(outcome, "venue_volume")) == 5


VOLUMES, TRADES = (100, 120, 90, 110, 130, 106), (3, 4, 3, 2, 5, 4)


def rolled(volumes: tuple[int | None, ...], weeks: tuple[date, ...] | None = None) -> Outcome:
    """One symbol's rolling figures; of None there is no summary, and `weeks` are those that the tier has."""
    rows = [
        ["AABB", week.isoformat(), volume, trades]
        for week, volume, trades in zip(window(WEEK), volumes, TRADES, strict=True)
        if volume is not None
    ]
    complete = len(rows) == 6
    unit = RollingUnit(
        captured_at=AT,
        week_ending=WEEK,
        tier="OTC",
        facts=RollingFacts(
            weeks=window(WEEK) if weeks is None else weeks,
            symbols=1,
            complete=int(complete),
            partial=() if complete else ("AABB",),
        ),
    )
    return process(unit.encode(rows), ())


def test_c_rolling() -> None:
    outcome = rolled(VOLUMES)
    names = ("avg_volume", "avg_trades", "min_volume", "max_volume", "trend_pct", "trend_direction", "weeks_in_window")
    assert picked(table(outcome, "symbol_rolling_6w"), *names, "is_complete") == [
        (109.33333333333333, 3.5, 90, 130, 6.0, "UP", 6, True)
    ]
    assert checks(outcome) == {"history_window": "PASS", "partial_coverage": "PASS"}


@pytest.mark.parametrize(
    ("last", "pct", "direction"), [(105, 5.0, "FLAT"), (95, -5.0, "FLAT"), (94, -6.0, "DOWN"), (106, 6.0, "UP")]
)
def test_c_the_limits_of_a_trend_are_strict(last: int, pct: float, direction: str) -> None:
    rows = table(rolled((*VOLUMES[:5], last)), "symbol_rolling_6w")
    assert picked(rows, "trend_pct", "trend_direction") == [(pct, direction)]


def test_c_a_trend_from_nothing_is_flat() -> None:
    rows = table(rolled((0, 10, 20, 30, 40, 50)), "symbol_rolling_6w")
    assert picked(rows, "trend_pct", "trend_direction") == [(0.0, "FLAT")]


def test_c_a_symbol_without_a_week_is_skipped() -> None:
    outcome = rolled((100, 120, None, 110, 130, 106))
    assert table(outcome, "symbol_rolling_6w") == []
    assert outcome.skips == [RowProblem(("AABB",), "partial_coverage", SKIPS["partial_coverage"])]
    (row,) = [row for row in table(outcome, "core_quality") if row["check_name"] == "partial_coverage"]
    assert (row["status"], row["details_json"]) == ("WARN", {"count": 1, "symbols": ["AABB"]})


def test_c_a_tier_without_a_week_has_no_rows() -> None:
    weeks = window(WEEK)
    outcome = rolled((100, 120, None, 110, 130, 106), weeks[:2] + weeks[3:])
    assert table(outcome, "symbol_rolling_6w") == []
    assert outcome.skips == [RowProblem(("AABB",), "history_window", SKIPS["history_window"])]
    (row,) = table(outcome, "core_quality")
    assert (row["check_name"], row["category"], row["status"]) == ("history_window", "COMPLETENESS", "FAIL")
    assert row["details_json"] == {"missing_weeks": ["2025-12-05"]}
    assert table(outcome, "core_manifest") == []


LATER = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
RESTATED = content([*EXAMPLE_A[:4], ("FNMA", "CDEL", 1000000, 2000)])


def test_d_capture_ids() -> None:
    assert capture_id("OTC", WEEK, AT) == "finra.otc_transparency:OTC:2025-12-26:622f52"
    assert capture_id("OTC", WEEK, LATER) == "finra.otc_transparency:OTC:2025-12-26:f5e148"


def test_d_a_restatement_is_a_capture_beside_the_first() -> None:
    first, second = file_outcome(A), file_outcome(RESTATED, captured_at=LATER)
    assert {row["capture_id"][-6:] for row in table(first, "venue_share")} == {"622f52"}
    shares = table(second, "venue_share")
    assert {row["capture_id"][-6:] for row in shares} == {"f5e148"}
    assert picked(shares, "mpid", "market_share_pct", "rank") == [
        ("CDEL", 0.4166666666666667, 1),
        ("NITE", 0.4166666666666667, 2),
        ("OTCN", 0.125, 3),
        # The double nearest to 100000/2400000; the spec prints it to 16 digits.
        ("OTCX", 0.041666666666666664, 4),
    ]


def test_d_the_same_file_again_gives_the_same_rows_under_another_capture() -> None:
    first, third = file_outcome(A), file_outcome(A, captured_at=LATER + timedelta(days=1))
    for name in ("raw", "venue_volume", "symbol_summary", "venue_share", "weekly_symbol_venue_share"):
        assert rows_equal_deterministic(table(first, name), table(third, name))
        assert not rows_equal_deterministic(table(first, name), table(third, name), ignore_capture=False)
    restated = file_outcome(RESTATED, captured_at=LATER)
    assert not rows_equal_deterministic(table(first, "venue_share"), table(restated, "venue_share"))


def test_compute_gives_a_file_s_rows_and_its_tier_split() -> None:
    line = orjson.dumps(
        {
            "week_ending": "2025-12-26",
            "tier": "OTC",
            "file_name": NAME,
            "captured_at": "2025-12-29T14:30:00+00:00",
            "content": A,
        }
    )
    answers: list[dict[str, Any]] = [orjson.loads(each.output or b"{}") for each in compute([line, b"\n"])]
    shares = [each for each in answers if each["table"] == "finra_otc_transparency_venue_share"]
    assert shares[1] == {
        "table": "finra_otc_transparency_venue_share",
        "key": {
            "week_ending": "2025-12-26",
            "tier": "OTC",
            "capture_id": "finra.otc_transparency:OTC:2025-12-26:622f52",
            "mpid": "NITE",
            "calc_name": "venue_share",
            "calc_version": "v1",
        },
        "row": {
            "captured_at": "2025-12-29T14:30:00+00:00",
            "input_capture_id": None,
            "execution_id": None,
            "batch_id": None,
            "total_volume": 1000000,
            "total_trades": 2800,
            "symbol_count": 2,
            "market_share_pct": 0.5,
            "rank": 1,
        },
    }
    splits = [each["row"] for each in answers if each["table"].endswith("tier_volume_share")]
    assert picked(splits, "tier_volume", "tier_volume_share") == [(1000000, 1.0), (1000000, 1.0)]


def test_a_snapshot_is_a_summary_with_its_rolling_row() -> None:
    unit = SnapshotUnit(captured_at=AT, week_ending=WEEK, tier="OTC")
    rows = [
        ["FNMA", 1000000, 3600, 2, 277.77777777777777, None, None, None, None, None, None],
        ["AABB", 1000000, 1700, 3, 588.2352941176471, 109.33333333333333, 3.5, 90, 130, "UP", 6.0],
    ]
    outcome = process(unit.encode(rows), ())
    names = ("symbol", "total_volume", "rolling_avg_volume", "rolling_max_volume", "trend_direction", "trend_pct")
    assert picked(table(outcome, "research_snapshot"), *names) == [
        ("AABB", 1000000, 109.33333333333333, 130, "UP", 6.0),
        ("FNMA", 1000000, None, None, None, None),
    ]
    assert picked(table(outcome, "core_manifest"), "stage", "stage_rank", "row_count") == [("SNAPSHOT", 5, 2)]
