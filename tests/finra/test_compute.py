"""`rederive compute finra` on several weeks and tiers."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

import orjson
import pytest

from processors.computed import Computed
from processors.finra.line import compute
from samples.finra.files import FinraFiles, WeeklyFile
from schemas.finra.partition import window
from tests.finra import naive
from tests.finra.texts import AT, EXAMPLE_A, NAME, WEEK, content

WORLD = FinraFiles(symbols=40, rows=160)
WEEKS = (*window(WEEK), WEEK + timedelta(weeks=1))
TIERS = ("OTC", "ATS")


def line(made: WeeklyFile, hours: int = 0) -> bytes:
    return orjson.dumps(
        {
            "week_ending": made.week_ending,
            "tier": made.tier,
            "file_name": made.name,
            "captured_at": AT + timedelta(hours=hours),
            "content": made.content.decode(),
        }
    )


def rows(computed: list[Computed], name: str) -> list[dict[str, Any]]:
    """A table's rows with their keys."""
    found = [orjson.loads(each.output) for each in computed if each.output is not None]
    return [{**each["key"], **each["row"]} for each in found if each["table"] == f"finra_otc_transparency_{name}"]


@pytest.fixture(scope="module")
def computed() -> list[Computed]:
    return list(compute(line(made) for made in WORLD.files(WEEKS, TIERS)))


def latest_volumes(computed: list[Computed], tier: str, week: date) -> dict[str, int]:
    found = [row for row in rows(computed, "symbol_summary") if (row["tier"], row["week_ending"]) == (tier, str(week))]
    newest = max(row["captured_at"] for row in found)
    return {row["symbol"]: row["total_volume"] for row in found if row["captured_at"] == newest}


def test_nothing_is_wrong_with_good_files(computed: list[Computed]) -> None:
    assert all(each.error is None and each.skip is None for each in computed)
    keys = Counter(orjson.dumps([answer["table"], answer["key"]]) for answer in _answers(computed))
    # A manifest is of the partition, and its last row counts.
    assert {key for key, count in keys.items() if count > 1} <= {key for key in keys if b"core_manifest" in key}


def _answers(computed: list[Computed]) -> list[dict[str, Any]]:
    return [orjson.loads(each.output) for each in computed if each.output is not None]


def test_tiers_are_split_when_all_is_read(computed: list[Computed]) -> None:
    splits = rows(computed, "weekly_symbol_tier_volume_share")
    for week in WEEKS:
        volumes = [(tier, s, v) for tier in TIERS for s, v in latest_volumes(computed, tier, week).items()]
        found = [row for row in splits if row["week_ending"] == str(week)]
        expected = naive.tier_split(volumes)
        columns = tuple(expected[0])
        assert sorted([tuple(row[name] for name in columns) for row in found]) == [
            tuple(row.values()) for row in expected
        ]


def test_rolling_figures_and_snapshots_are_of_the_whole_windows(computed: list[Computed]) -> None:
    rolled, snapshots = rows(computed, "symbol_rolling_6w"), rows(computed, "research_snapshot")
    complete = {(tier, str(week)) for tier in TIERS for week in WEEKS[5:]}
    assert {(row["tier"], row["week_ending"]) for row in rolled} == complete
    assert {(row["tier"], row["week_ending"]) for row in snapshots} == complete
    for tier, week in ((tier, week) for tier in TIERS for week in WEEKS[5:]):
        own = {row["symbol"]: row for row in rolled if (row["tier"], row["week_ending"]) == (tier, str(week))}
        volumes = {each: latest_volumes(computed, tier, each) for each in window(week)}
        whole = set.intersection(*(set(found) for found in volumes.values()))
        assert own.keys() == whole
        for symbol, row in own.items():
            values = [volumes[each][symbol] for each in window(week)]
            assert (row["avg_volume"], row["min_volume"]) == (sum(values) / 6, min(values))
            assert row["input_min_captured_at"] == row["input_max_captured_at"] == AT.isoformat()
        shots = {row["symbol"]: row for row in snapshots if (row["tier"], row["week_ending"]) == (tier, str(week))}
        assert shots.keys() == volumes[week].keys()
        for symbol, shot in shots.items():
            assert shot["total_volume"] == volumes[week][symbol]
            assert shot["rolling_avg_volume"] == (own[symbol]["avg_volume"] if symbol in own else None)
        assert shots.keys() - own.keys()


def test_five_weeks_have_no_rolling_figures() -> None:
    computed = list(compute(line(made) for made in WORLD.files(WEEKS[:5], ["OTC"])))
    assert rows(computed, "symbol_rolling_6w") == rows(computed, "research_snapshot") == []


def test_a_restated_week_counts_in_whatever_order_its_files_come() -> None:
    good = [line(made) for made in WORLD.files(window(WEEK), ["OTC"])]
    restated = line(WORLD.file(window(WEEK)[2], "OTC", edition=1), hours=1)
    after, before = list(compute([*good, restated])), list(compute([restated, *good]))
    plain = list(compute(good))
    assert rows(after, "symbol_rolling_6w") == rows(before, "symbol_rolling_6w") != rows(plain, "symbol_rolling_6w")
    volumes = latest_volumes(after, "OTC", window(WEEK)[2])
    first = rows(after, "symbol_rolling_6w")[0]
    assert first["input_max_captured_at"] == (AT + timedelta(hours=1)).isoformat()
    assert first["max_volume"] >= volumes[first["symbol"]]


def test_a_symbol_that_a_restated_week_lacks_has_no_window_with_it() -> None:
    whole = [("AABB", "NITE", 100, 5), ("FNMA", "NITE", 300, 5)]
    weekly = [
        {"file_name": NAME, "tier": "OTC", "week_ending": str(each), "captured_at": AT, "content": content(whole)}
        for each in window(WEEK)
    ]
    later = (AT + timedelta(hours=1)).isoformat()
    restated = {**weekly[2], "captured_at": later, "content": content(whole[:1])}
    plain, after = (list(compute(map(orjson.dumps, lines))) for lines in (weekly, [*weekly, restated]))
    assert [row["symbol"] for row in rows(plain, "symbol_rolling_6w")] == ["AABB", "FNMA"]
    assert [row["symbol"] for row in rows(after, "symbol_rolling_6w")] == ["AABB"]


def test_the_same_capture_twice_is_drawn_again() -> None:
    given = line(WORLD.file(WEEK, "OTC"))
    computed = list(compute([given, given]))
    moments = sorted({(row["captured_at"], row["capture_id"]) for row in rows(computed, "raw")})
    assert [at for at, _ in moments] == [AT.isoformat(), (AT + timedelta(microseconds=1)).isoformat()]
    assert len({capture for _, capture in moments}) == 2


def test_a_week_without_a_window_around_it_is_an_error() -> None:
    given = orjson.dumps(
        {"file_name": NAME, "captured_at": AT, "week_ending": "0001-01-05", "content": content(EXAMPLE_A)}
    )
    (only,) = compute([given])
    assert only.error == "week_ending: the week 0001-01-05 is at the calendar's end"


@pytest.mark.parametrize("extra", ["1e5000", "NaN", "9" * 5000])
def test_numbers_that_mean_nothing_here_cost_nothing(extra: str) -> None:
    given = orjson.dumps({"file_name": NAME, "captured_at": AT, "content": content(EXAMPLE_A), "extra": 1})
    computed = list(compute([given.replace(b'"extra":1', f'"extra":{extra}'.encode())]))
    assert [each.error for each in computed if each.error] == []
    assert rows(computed, "venue_volume") == rows(list(compute([given])), "venue_volume")


def test_a_line_that_is_nested_too_deeply_is_said_to_be() -> None:
    (only,) = compute([b'{"file_name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"])
    assert only.error == "the unit can't be read: nested too deeply to be read"


def test_a_wrong_line_is_an_error_and_the_next_is_read() -> None:
    good = orjson.dumps({"file_name": NAME, "captured_at": AT, "content": content(EXAMPLE_A, "junk", "junk")})
    lines = [b"junk\n", b"\n", b'{"kind": "snapshot", "week_ending": "2025-12-26"}', good]
    computed = list(compute(lines))
    first, second = [(each.line, each.error or "") for each in computed if each.error is not None]
    assert first[0] == 1
    assert first[1].startswith("the unit can't be read: not JSON: ")
    assert second == (3, "captured_at: Field required; tier: Field required")
    assert [(each.line, each.skip) for each in computed if each.skip is not None] == [
        (4, f"{NAME}: 2 rows PARSE_ERROR: a date or a count can't be read")
    ]
    assert len(rows(computed, "venue_volume")) == 5


def test_a_unit_of_another_kind_is_no_line() -> None:
    value = orjson.dumps({"kind": "snapshot", "week_ending": "2025-12-26", "tier": "OTC", "captured_at": AT})
    assert [each.error for each in compute([value])] == ["a unit of kind snapshot is no file"]


def test_no_lines_give_nothing() -> None:
    assert list(compute([])) == []


def test_tiers_that_together_leave_64_bits_are_an_error_of_their_split_alone() -> None:
    lines = [
        orjson.dumps(
            {"tier": tier, "file_name": NAME, "captured_at": AT, "content": content([("AABB", "NITE", shares, 1)])}
        )
        for tier, shares in (("OTC", 2**63 - 1), ("ATS", 1))
    ]
    computed = list(compute(lines))
    (error,) = [each for each in computed if each.error is not None]
    assert error.line == 2
    assert (error.error or "").startswith(
        "tier split of 2025-12-26: the volumes of the week's tiers add up to 9,223,372,036,854,775,808"
    )
    assert [row["total_volume"] for row in rows(computed, "symbol_summary")] == [2**63 - 1, 1]
