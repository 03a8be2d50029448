import json
import struct
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.betfair.book import read_book
from processors.betfair.fast_path import straight_values
from processors.betfair.impedance import decimal_inputs, exact_inputs, sums_in_hundredths
from processors.betfair.process import book_values, derive
from samples.betfair import sample as betfair_sample
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import METRICS, TICKS
from tests.betfair import books, oracle

BULK = 24_000


def bits(value: float | None) -> bytes:
    return b"NULL" if value is None else struct.pack("<d", value)


def expect_same(line: bytes) -> bool:
    """Whether the line gave values; that they are those of the oracle is asserted, bit for bit."""
    row = json.loads(line)
    expected = oracle.metrics(row["raw_payload"], row["selection_ids"])
    derived = derive(line)
    assert derived.error is None, (derived.error, line)
    if isinstance(expected, str):
        assert (derived.skip, derived.values) == (expected, []), line
        return False
    assert derived.skip is None, line
    for name, value in zip(METRICS, derived.values, strict=True):
        assert value is None or type(value) is float, (name, value)
        assert bits(value) == bits(expected[name]), (name, value, expected[name], line)
    return True


def test_random_and_adversarial_books_equal_the_plain_reading() -> None:
    random = Random(20260206)
    straight = computed = 0
    for _ in range(BULK):
        line = books.line(books.payload(random))
        computed += expect_same(line)
        try:
            row = orjson.loads(line)
        except ValueError:
            continue
        straight += straight_values(row["raw_payload"], row["selection_ids"]) is not None
    # The books must reach both readings in numbers, or this compares nothing.
    assert computed > 20_000
    assert straight > 2_000
    assert computed - straight > 5_000


def test_every_sort_of_ladder_alone_equals_the_plain_reading() -> None:
    random = Random(5)
    for kind in books.LADDERS:
        for _ in range(200):
            runners = [
                {"selectionId": i, "ex": {"availableToBack": kind(random), "availableToLay": kind(random)}}
                for i in books.IDS.values()
            ]
            assert expect_same(books.line({"totalMatched": 1.0, "runners": runners}))


def test_the_real_sample_equals_the_plain_reading() -> None:
    markets = {market["market_id"]: market for market in betfair_sample.metadata()}
    count = sum(
        expect_same(betfair_sample.snapshot_line(snapshot, markets.get(snapshot["market_id"])))
        for snapshot in betfair_sample.snapshots()
    )
    assert count == 2392


def test_full_depth_books_take_the_straight_path_and_equal_both_other_readings() -> None:
    world = Synthetic(seed=3)
    markets = {market["market_id"]: market for market in world.metadata()}
    straight = 0
    for snapshot in world.snapshots(1500):
        line = betfair_sample.snapshot_line(snapshot, markets[snapshot["market_id"]])
        assert expect_same(line)
        row = orjson.loads(line)
        quick = straight_values(row["raw_payload"], row["selection_ids"])
        if quick is not None:
            straight += 1
            general = book_values(read_book(row["raw_payload"], row["selection_ids"]))
            assert list(map(bits, quick)) == list(map(bits, general))
    assert straight > 1450


def test_the_straight_path_never_takes_what_only_looks_like_a_number() -> None:
    odd: tuple[Any, ...] = (True, "5", None, [5], {}, 0, -1, 0.005)
    for size in odd:
        runners = [{"selectionId": i, "ex": {"availableToBack": [[2.0, size]]}} for i in books.IDS.values()]
        assert straight_values({"runners": runners}, books.IDS) is None, size
        assert expect_same(books.line({"runners": runners}))


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("side", ["availableToBack", "availableToLay"])
@pytest.mark.parametrize(
    "level", [[1.0, 5.0], [2.0, 0], [2.0, -5.0], [2.0, True], [2.005, 5.0], [2.0, 5.001], [2.0], None]
)
def test_one_odd_level_anywhere_is_seen(place: int, side: str, level: Any) -> None:
    runners = [
        {
            "selectionId": i,
            "ex": {
                name: [[price, 10.0 + price] for price in (2.0, 2.02, 2.04, 2.06)]
                for name in ("availableToBack", "availableToLay")
            },
        }
        for i in books.IDS.values()
    ]
    ladders: Any = runners[1]["ex"]
    ladders[side][place] = level
    assert expect_same(books.line({"runners": runners}))


prices = st.sampled_from(TICKS) | st.floats(0.5, 1100).map(lambda x: round(x, 2)) | st.integers(0, 1000)
sizes = st.integers(1, 10**9).map(lambda n: n / 100) | st.integers(0, 10**7) | st.floats(0, 1e9)
ladders = st.lists(st.tuples(prices, sizes).map(list), max_size=5)


@settings(max_examples=800, deadline=None, derandomize=True)
@given(st.lists(st.tuples(ladders, ladders), min_size=3, max_size=4))
def test_any_ladders_equal_the_plain_reading(sides: list[tuple[Any, Any]]) -> None:
    runners = [
        {"selectionId": i, "ex": {"availableToBack": back, "availableToLay": lay}}
        for i, (back, lay) in zip((11, 22, 33, 44), sides, strict=False)
    ]
    assert expect_same(books.line({"runners": runners, "totalMatched": 5.5}))


any_value = st.sampled_from(books.ODD_VALUES) | st.floats(allow_nan=True) | st.integers() | st.text(max_size=4)
any_level = st.lists(any_value, max_size=3) | st.fixed_dictionaries({"price": any_value, "Size": any_value}) | any_value


@settings(max_examples=800, deadline=None, derandomize=True)
@given(st.lists(st.lists(any_level, max_size=4), min_size=6, max_size=6), any_value)
def test_any_levels_equal_the_plain_reading(six: list[list[Any]], matched: Any) -> None:
    runners = [
        {"selectionId": i, "ex": {"availableToBack": six[2 * place], "availableToLay": six[2 * place + 1]}}
        for place, i in enumerate(books.IDS.values())
    ]
    assert expect_same(books.line({"runners": runners, "totalMatched": matched}))


hundredths = st.tuples(st.integers(101, 100_000), st.integers(1, 10**10)).map(lambda n: (n[0] / 100, n[1] / 100))
exact_ladders = st.lists(hundredths, max_size=4)


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(st.lists(st.tuples(exact_ladders, exact_ladders), min_size=1, max_size=5))
def test_the_float_path_is_the_decimal_path_or_refuses(book: list[tuple[Any, Any]]) -> None:
    sums = []
    for back, lay in book:
        back_sums, lay_sums = sums_in_hundredths(back), sums_in_hundredths(lay)
        if back_sums is None or lay_sums is None:
            return
        sums.append((*back_sums, *lay_sums))
    quick = exact_inputs(sums[:1], sums[1:])
    if quick is not None:
        assert list(map(bits, quick[0])) == list(map(bits, decimal_inputs(book)[0]))


def test_halves_of_the_last_decimal_are_refused() -> None:
    # Odds 5 on one level: the impedance's e is a half but for 1e-7 / N.
    refused = exact_inputs([(10_000.0, 5_000_000.0, 0.0, 0.0)])
    taken = exact_inputs([(10_000.0, 4_000_000.0, 0.0, 0.0)])
    assert refused is None
    assert taken is not None


def test_a_negative_rounded_to_nothing_keeps_its_sign() -> None:
    # Both sides of home come to the same volume at different odds, and the stakes of the book balance: what is left
    # are the odds' 1e-9, -0.1 units of the impedance in the first book, -1 in the second, whose norm is -0.04 units.
    for back, lay, name in (
        ([3.0, 0.02], [2.0, 0.03], "home_impedance"),
        ([13.0, 3.0], [3.0, 13.0], "home_impedance_norm"),
    ):
        runners = [
            {"selectionId": 11, "ex": {"availableToBack": [back], "availableToLay": [lay]}},
            {"selectionId": 22, "ex": {"availableToBack": [[2.02, round(lay[1] - back[1], 2)]]}},
            {"selectionId": 33, "ex": {"availableToBack": [[2.0, 0.01]], "availableToLay": [[3.0, 0.01]]}},
        ]
        line = books.line({"runners": runners})
        assert expect_same(line)
        found = dict(zip(METRICS, derive(line).values, strict=True))
        assert bits(found[name]) == bits(-0.0)


def test_what_lies_beyond_the_proof_is_refused() -> None:
    assert exact_inputs([(4.1e9, 8.2e11, 0.0, 0.0)]) is None
    assert exact_inputs([(4.1e9, 8.2e11, 4.1e9, 8.2e11 + 1e6)]) is None
    assert exact_inputs([(100.0, 1.1e7, 0.0, 0.0)]) is None
    assert exact_inputs([(100.0, 30_300.0, 0.0, 0.0)], [(0.0, 0.0, 4.1e9, 8.2e11)]) is None
    assert exact_inputs([(float("inf"), float("inf"), 0.0, 0.0)]) is None
    assert exact_inputs([(100.0, float("nan"), 0.0, 0.0)]) is None
