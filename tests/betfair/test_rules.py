"""Coercion, validity, roles, skips and errors of the betfair spec (sections 1, 3, 4, 5.5, 5.6)."""

import json
from decimal import Decimal
from typing import Any

import pytest

from processors.betfair.coercion import to_decimal, to_float
from processors.betfair.general import Derived, derive
from processors.betfair.snapshot import identity
from schemas.betfair.tables import METRICS
from tests.betfair.books import IDS, line


def runner(identifier: Any, back: Any = (), lay: Any = (), **more: Any) -> dict[str, Any]:
    return {"selectionId": identifier, "ex": {"availableToBack": back, "availableToLay": lay}} | more


def book(home_back: Any = (), home_lay: Any = (), **more: Any) -> dict[str, Any]:
    return {"runners": [runner(11, home_back, home_lay), runner(22), runner(33)]} | more


def figures(payload: Any, ids: Any = IDS) -> dict[str, float | None]:
    derived = derive(line(payload, ids))
    assert (derived.skip, derived.error) == (None, None)
    return dict(zip(METRICS, derived.values, strict=True))


@pytest.mark.parametrize(
    ("value", "as_float", "as_decimal"),
    [
        (None, 0.0, "0"),
        (2, 2.0, "2"),
        (0.1, 0.1, "0.1"),
        ("2.5", 2.5, "2.5"),
        (" 2.5 ", 2.5, "2.5"),
        ("1.2e2", 120.0, "120"),
        ("abc", 0.0, "0"),
        ("", 0.0, "0"),
        (True, 1.0, "0"),
        (False, 0.0, "0"),
        ("nan", 0.0, "0"),
        ("-Infinity", 0.0, "0"),
        (float("nan"), 0.0, "0"),
        (float("inf"), 0.0, "0"),
        ([1], 0.0, "0"),
        ({}, 0.0, "0"),
        (10**400, 0.0, "1e400"),
        ("1e400", 0.0, "1e400"),
        (2**64 + 1, float(2**64), str(2**64 + 1)),
    ],
)
def test_coercion(value: Any, as_float: float, as_decimal: str) -> None:
    assert to_float(value) == as_float
    assert type(to_float(value)) is float
    assert to_decimal(value) == Decimal(as_decimal)


def test_a_size_of_true_counts_for_floats_and_not_for_decimals() -> None:
    found = figures(book([[3.0, True]]))
    assert (found["home_risk"], found["home_best_back_size_l1"], found["home_back_stake"]) == (2.0, 1.0, 0.0)


def test_integers_beyond_64_bit_keep_every_digit() -> None:
    # As floats both sizes would be the same, and the impedance 0.
    found = figures(book([[2, 2**64 + 1]], [[2, 2**64]]))
    assert found["home_impedance"] == 1.0
    assert found["home_best_back_size_l1"] == float(2**64)


def test_an_id_beyond_64_bit_is_not_its_neighbour() -> None:
    ids = IDS | {"home": 2**64}
    payload = {"runners": [runner(2**64 + 1), runner(22), runner(33)]}
    assert derive(line(payload, ids)).skip == "missing_role"
    payload["runners"][0]["selectionId"] = 2**64
    assert derive(line(payload, ids)).skip is None


@pytest.mark.parametrize(
    "level",
    [
        {"price": 2.5, "size": 4.0},
        {"Price": 2.5, "Size": 4.0},
        {"price": None, "Price": 2.5, "size": 0, "Size": 4.0},
        ["2.5", " 4.0 "],
        [2.5, 4, "more"],
    ],
)
def test_shapes_of_a_level(level: Any) -> None:
    found = figures(book([level]))
    assert (found["home_best_back"], found["home_best_back_size_l1"], found["home_risk"]) == (2.5, 4.0, 6.0)
    assert (found["home_back_stake"], found["home_back_odds"]) == (4.0, 2.5)


@pytest.mark.parametrize("level", [None, [], [2.5], "ab", 7, True, {}, [1.0, 5], [2.5, 0], [0.5, 5], [2.5, -1]])
def test_a_level_that_does_not_count_uses_up_its_place(level: Any) -> None:
    found = figures(book([level, [3.0, 1.0], [3.0, 1.0], [3.0, 1.0], [3.0, 1.0]]))
    assert found["home_risk"] == 4.0
    assert found["home_back_stake"] == 3.0
    assert found["home_best_back_size_l1"] is None
    assert (found["home_back_odds_l2"], found["home_back_size_l2"]) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("ladder", "best"),
    [([], 0.0), ([[1.7]], 1.7), ([[0.5, 0]], 0.5), ([[-1, 3]], -1.0), ([None], 0.0), ([{"Price": "3"}], 3.0)],
)
def test_the_best_price_is_taken_as_it_is(ladder: list[Any], best: float) -> None:
    found = figures(book(ladder, [[4.0, 1.0]]))
    assert (found["home_best_back"], found["home_spread"]) == (best, 4.0 - best)


@pytest.mark.parametrize(
    "entry",
    [
        {"selectionId": 11},
        {"selectionId": 11, "ex": None},
        {"selectionId": 11, "ex": {}},
        {"selectionId": 11, "ex": {"availableToBack": None, "availableToLay": []}},
        {"selectionId": 11, "ex": {"available_to_back": [[2.0, 5.0]]}},
    ],
)
def test_no_ladder_is_an_empty_ladder(entry: dict[str, Any]) -> None:
    found = figures({"totalMatched": 5.0, "runners": [entry, runner(22, [[2.0, 1.0]]), runner(33)]})
    assert found["home_best_back_size_l1"] is None
    assert (found["home_back_stake"], found["home_back_odds"], found["home_best_back"]) == (0.0, 0.0, 0.0)
    assert found["home_risk"] == -1.0


def test_levels_are_never_sorted() -> None:
    found = figures(book([[2.0, 1.0], [3.0, 5.0], [2.5, 2.0]]))
    assert (found["home_best_back"], found["home_back_odds_l2"], found["home_back_odds_l3"]) == (2.0, 3.0, 2.5)


@pytest.mark.parametrize(
    ("matched", "volume"),
    [(0, 0.0), (0.0, 0.0), ("12.5", 12.5), ("junk", 0.0), (True, 1.0), ([], 0.0), (None, 6.75)],
)
def test_total_volume(matched: Any, volume: float) -> None:
    runners = [
        runner(11, totalMatched=1.5),
        runner(22, totalMatched=0, total_matched="2.25"),
        runner(33, total_matched=None),
        {"totalMatched": 3.0},
        None,
    ]
    assert figures({"totalMatched": matched, "runners": runners})["total_volume"] == volume


def test_absent_total_is_the_sum() -> None:
    runners = [runner(11, totalMatched=0.1), runner(22, totalMatched=0.2), runner(33, totalMatched=0.3)]
    assert figures({"runners": runners})["total_volume"] == 0.1 + 0.2 + 0.3


@pytest.mark.parametrize("identifier", [11, 11.0])
def test_ids_compare_by_equality(identifier: Any) -> None:
    assert derive(line({"runners": [runner(identifier), runner(22), runner(33)]})).skip is None


@pytest.mark.parametrize("identifier", ["11", [11], {"id": 11}, None, 0, "", False, 12])
def test_what_is_no_id_of_a_role_leaves_it_missing(identifier: Any) -> None:
    assert derive(line({"runners": [runner(identifier), runner(22), runner(33)]})).skip == "missing_role"


@pytest.mark.parametrize("first", [None, 0, "", "absent"])
def test_the_snake_case_id_counts_when_the_other_is_falsy(first: Any) -> None:
    entry = runner(first, [[2.0, 5.0]], selection_id=11)
    if first == "absent":
        del entry["selectionId"]
    assert figures({"runners": [entry, runner(22), runner(33)]})["home_risk"] == 5.0


def test_an_entry_without_id_enters_the_volume_only() -> None:
    entry = runner(None, [[2.0, 5.0]], totalMatched=7.0)
    found = figures({"runners": [runner(11, [[2.0, 1.0]]), runner(22), runner(33), entry]})
    assert (found["total_volume"], found["home_impedance_norm"]) == (
        7.0,
        figures(book([[2.0, 1.0]]))["home_impedance_norm"],
    )


SKIPS: list[tuple[str, Any, Any]] = [
    ("no_metadata", {}, None),
    ("no_metadata", book(), {"home": 11, "away": 22}),
    ("no_metadata", book(), {"home": 11, "away": None, "draw": 33}),
    ("no_payload", None, IDS),
    ("no_payload", {}, IDS),
    ("no_payload", "{}", IDS),
    ("no_payload", {}, {"home": 11, "away": 11, "draw": 33}),
    ("insufficient_runners", {"status": "OPEN"}, IDS),
    ("insufficient_runners", {"runners": None}, IDS),
    ("insufficient_runners", {"runners": {"a": 1, "b": 2, "c": 3}}, IDS),
    ("insufficient_runners", {"runners": [runner(11), runner(22)]}, IDS),
    ("insufficient_runners", {"runners": [runner(11)]}, IDS | {"home": 12}),
    ("missing_role", {"runners": [runner(11), runner(22), runner(22)]}, IDS),
    ("missing_role", book(), IDS | {"draw": 44}),
    ("missing_role", book(), {"home": 11, "away": 11, "draw": 33}),
]


@pytest.mark.parametrize(("reason", "payload", "ids"), SKIPS)
def test_skips_and_their_order(reason: str, payload: Any, ids: Any) -> None:
    derived = derive(line(payload, ids))
    assert (derived.snapshot_id, derived.identity) == (7, identity(json.loads(line(payload, ids))))
    assert (derived.skip, derived.error, derived.values) == (reason, None, [])


def test_no_skip_for_empty_ladders_or_three_entries_with_one_twice() -> None:
    assert set(figures(book(totalMatched=0)).values()) == {0.0, None}
    assert derive(line({"runners": [runner(11), runner(22), runner(33), runner(33)]})).skip is None


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("{not json", "Expecting"),
        ("", "Expecting value"),
        ([], "the payload is a list, not an object"),
        (5, "the payload is a number, not an object"),
        (True, "the payload is true or false, not an object"),
        (
            {"runners": [runner(11, {"0": [2, 5]}), runner(22), runner(33)]},
            "availableToBack of selection 11 is an object",
        ),
        ({"runners": [{"selectionId": 11, "ex": [1]}, runner(22), runner(33)]}, "ex of selection 11 is a list"),
        (book([["1e999999", 20]]), "a figure leaves the range of decimal arithmetic"),
    ],
)
def test_what_cannot_be_read_is_an_error_of_its_snapshot(payload: Any, words: str) -> None:
    derived = derive(line(payload))
    assert derived.snapshot_id == 7
    assert derived.error is not None
    assert words in derived.error
    assert (derived.skip, derived.values) == (None, [])


def test_a_payload_as_text_is_read_as_json() -> None:
    assert derive(line(json.dumps(book([[2.0, 5.0]])))).values == derive(line(book([[2.0, 5.0]]))).values


def test_figures_beyond_float64_are_null() -> None:
    found = figures(book([[2.0, 1e308], [2.0, 1e308]], totalMatched=1.0))
    assert (found["home_risk"], found["away_risk"], found["home_book_risk_l3"]) == (None, None, None)
    assert found["home_best_back_size_l1"] == 1e308


ROW: dict[str, Any] = json.loads(line(book()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"snapshot_id": None}, "snapshot_id is null"),
        ({"snapshot_id": "7"}, "snapshot_id is '7'"),
        ({"snapshot_id": True}, "snapshot_id is true"),
        ({"snapshot_id": 2**63}, "snapshot_id is 9223372036854775808"),
        ({"snapshot_at": "yesterday"}, "yesterday"),
        ({"snapshot_at": "2026-02-06T12:00:00"}, "snapshot_at is '2026-02-06T12:00:00', without an offset"),
        (
            {"snapshot_at": "2026-02-30T12:00:00Z"},
            "snapshot_at is '2026-02-30T12:00:00Z', day is out of range for month",
        ),
        (
            {"snapshot_at": "10000-02-06T12:00:00Z"},
            "snapshot_at is '10000-02-06T12:00:00Z', outside the years 1 to 9999",
        ),
        ({"snapshot_at": "0001-01-01T00:00:00+01:00"}, "in UTC outside the years 1 to 9999"),
        ({"raw_payload": "{oops"}, "raw_payload is text: not JSON: "),
        ({"raw_payload": "[" * 100_000}, "raw_payload is text: nested too deeply"),
        ({"snapshot_at": 5}, "snapshot_at is 5"),
        ({"market_id": ""}, "market_id is ''"),
        ({"market_id": "1.2\0"}, "market_id is"),
        ({"market_id": "\ud800"}, "market_id is"),
        ({"selection_ids": [11, 22, 33]}, "selection_ids is a list"),
        ({"selection_ids": {"home": [11], "away": 22, "draw": 33}}, "selection id of home is a list"),
    ],
)
def test_a_row_must_say_what_it_is(change: dict[str, Any], words: str) -> None:
    derived = derive(json.dumps(ROW | change).encode())
    assert derived.error is not None
    assert words in derived.error
    assert derived.snapshot_id == (None if "snapshot_id" in change else 7)


@pytest.mark.parametrize(
    ("text", "words"),
    [(b"{", "not JSON"), (b"[]", "not a JSON object"), (b"\xff", "not JSON"), (b"[" * 100_000, "nested too deeply")],
)
def test_a_line_that_is_no_object(text: bytes, words: str) -> None:
    derived = derive(text)
    assert derived == Derived(None, None, error=derived.error)
    assert derived.error is not None
    assert words in derived.error
