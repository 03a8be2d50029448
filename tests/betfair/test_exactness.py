import struct
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.betfair.general import derive
from processors.betfair.hundredths import ExactInputs, exact_inputs
from processors.betfair.impedance import decimal_inputs
from processors.betfair.rows import Rows
from samples.betfair import sample as betfair_sample
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import METRICS, TICKS
from schemas.payload import read_json
from tests.betfair import books, oracle
from tests.sizes import usual

BULK = usual(8_000, long=24_000)
UNIT = 500


def bits(value: float | None) -> bytes:
    return b"NULL" if value is None else struct.pack("<d", value)


def expect_same(lines: Sequence[bytes]) -> tuple[int, int]:
    """How many lines gave values, and of how many the arrays were sure.

    That the general reading gives those of the oracle, and the arrays those of the general reading, is asserted, bit
    for bit.
    """
    computed = sure = 0
    rows = Rows.of(lines)
    for place, line in enumerate(lines):
        row = read_json(line)
        expected = oracle.metrics(row["raw_payload"], row["selection_ids"])
        derived = derive(line)
        assert derived.error is None, (derived.error, line)
        if isinstance(expected, str):
            assert (derived.skip, derived.values, rows.known[place]) == (expected, [], False), line
            continue
        assert derived.skip is None, line
        computed += 1
        for name, value in zip(METRICS, derived.values, strict=True):
            assert value is None or type(value) is float, (name, value)
            assert bits(value) == bits(expected[name]), (name, value, expected[name], line)
        if not rows.known[place]:
            continue
        sure += 1
        assert (rows.ids[place], rows.times[place], rows.markets[place]) == derived.identity
        for name, value, found in zip(METRICS, derived.values, rows.figures[:, place].tolist(), strict=True):
            assert bits(None if np.isnan(found) else found) == bits(value), (name, found, value, line)
    return computed, sure


def test_random_and_adversarial_books_equal_the_plain_reading() -> None:
    random = Random(20260206)
    computed = sure = 0
    for _ in range(BULK // UNIT):
        here = expect_same([books.line(books.payload(random)) for _ in range(UNIT)])
        computed, sure = computed + here[0], sure + here[1]
    # The books must reach both readings in numbers, or this compares nothing.
    assert computed > BULK * 5 // 6
    assert sure > BULK // 8
    assert computed - sure > BULK // 5


def test_every_sort_of_ladder_alone_equals_the_plain_reading() -> None:
    random = Random(5)
    for kind in books.LADDERS:
        lines = []
        for _ in range(200):
            runners = [
                {"selectionId": i, "ex": {"availableToBack": kind(random), "availableToLay": kind(random)}}
                for i in books.IDS.values()
            ]
            lines.append(books.line({"totalMatched": 1.0, "runners": runners}))
        assert expect_same(lines)[0] == 200


def test_the_real_sample_equals_the_plain_reading() -> None:
    markets = {market["market_id"]: market for market in betfair_sample.metadata()}
    lines = [
        betfair_sample.snapshot_line(snapshot, markets.get(snapshot["market_id"]))
        for snapshot in betfair_sample.snapshots()
    ]
    computed, sure = expect_same(lines)
    assert computed == 2392
    assert sure > 2300


def test_full_depth_books_are_sure_and_equal_the_general_reading() -> None:
    world = Synthetic(seed=3)
    markets = {market["market_id"]: market for market in world.metadata()}
    lines = [
        betfair_sample.snapshot_line(snapshot, markets[snapshot["market_id"]]) for snapshot in world.snapshots(1500)
    ]
    computed, sure = expect_same(lines)
    assert computed == 1500
    assert sure > 1495


def test_levels_as_the_api_writes_them_are_as_good_as_pairs() -> None:
    world = Synthetic(seed=4)
    markets = {market["market_id"]: market for market in world.metadata()}
    lines = []
    for snapshot in world.snapshots(200):
        for runner in snapshot["raw_payload"]["runners"]:
            for name in ("availableToBack", "availableToLay"):
                runner["ex"][name] = [{"price": price, "size": size} for price, size in runner["ex"][name]]
        lines.append(betfair_sample.snapshot_line(snapshot, markets[snapshot["market_id"]]))
    assert expect_same(lines)[1] > 190


def test_the_arrays_never_take_what_only_looks_like_a_number() -> None:
    odd: tuple[Any, ...] = (True, "5", None, [5], {}, 0.005, float("nan"), 2**64, 1e300)
    shapes: tuple[Any, ...] = (lambda size: [2.0, size], lambda size: {"price": 2.0, "size": size})
    for depth in (1, 4):
        for shape in shapes:
            lines = []
            for size in odd:
                ladder = [shape(5.0)] * (depth - 1) + [shape(size)]
                runners = [{"selectionId": i, "ex": {"availableToBack": ladder}} for i in books.IDS.values()]
                lines.append(books.line({"runners": runners}))
            assert expect_same(lines) == (len(odd), 0)


@pytest.mark.parametrize("side", ["availableToBack", "availableToLay"])
def test_one_odd_level_anywhere_is_seen(side: str) -> None:
    odd: tuple[Any, ...] = (
        *([1.0, 5.0], [2.0, 0], [2.0, -5.0], [2.0, True], [True, 2.0], [2.005, 5.0], [2.0, 5.001], [2.0], None),
        *([2.0, 5.0, 7.0], [-0.0, 1.0], [2.0, -0.0], [1e300, -1.0], [-1e308, 5.0], [2**63, 0], [-(2**64), 0], "ab", 7),
        *({"price": 2.0}, {"price": -0.0, "size": 2.0}, {"price": "2.0", "size": 2.0}, [1.0, 1.0], [0, 0]),
    )
    lines = []
    for level in odd:
        for place in range(4):
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
            lines.append(books.line({"runners": runners}))
    computed, sure = expect_same(lines)
    assert computed == len(lines)
    assert 0 < sure < computed


prices = st.sampled_from(TICKS) | st.floats(0.5, 1100).map(lambda x: round(x, 2)) | st.integers(0, 1000)
sizes = st.integers(1, 10**9).map(lambda n: n / 100) | st.integers(0, 10**7) | st.floats(0, 1e9)
ladders = st.lists(st.tuples(prices, sizes).map(list), max_size=5)


@settings(max_examples=usual(266, long=800), deadline=None, derandomize=True)
@given(st.lists(st.tuples(ladders, ladders), min_size=3, max_size=4))
def test_any_ladders_equal_the_plain_reading(sides: list[tuple[Any, Any]]) -> None:
    runners = [
        {"selectionId": i, "ex": {"availableToBack": back, "availableToLay": lay}}
        for i, (back, lay) in zip((11, 22, 33, 44), sides, strict=False)
    ]
    assert expect_same([books.line({"runners": runners, "totalMatched": 5.5})])[0]


any_value = st.sampled_from(books.ODD_VALUES) | st.floats(allow_nan=True) | st.integers() | st.text(max_size=4)
any_level = st.lists(any_value, max_size=3) | st.fixed_dictionaries({"price": any_value, "Size": any_value}) | any_value


@settings(max_examples=usual(266, long=800), deadline=None, derandomize=True)
@given(st.lists(st.lists(any_level, max_size=4), min_size=6, max_size=6), any_value)
def test_any_levels_equal_the_plain_reading(six: list[list[Any]], matched: Any) -> None:
    runners = [
        {"selectionId": i, "ex": {"availableToBack": six[2 * place], "availableToLay": six[2 * place + 1]}}
        for place, i in enumerate(books.IDS.values())
    ]
    assert expect_same([books.line({"runners": runners, "totalMatched": matched})])[0]


number_texts = st.sampled_from(
    (
        *("-0", "-0.0", "0", "0e5", "1E0", "1.000", "1.0000000000000002", "2E0", "20e-1", "2.50", "1.10"),
        *("2.0000000000000000000001", "1e-400", "5e-324", "1e400", "-1e400", "1e308", "-1e308", "NaN", "-Infinity"),
        *("9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615"),
        *("18446744073709551616", "-9223372036854775808", "-9223372036854775809", "40000000", "40000000.01", "1000.01"),
        *("true", "false", "null", '"2.5"', '" 2 "', '"1e3"', '"x"', "[]", "{}"),
    )
) | st.decimals("1.01", "1000", places=2).map(str)
text_ladders = st.lists(st.lists(number_texts, min_size=2, max_size=2), max_size=5) | st.lists(
    st.lists(number_texts, max_size=3), max_size=4
)
common_texts = st.decimals("1.01", "1000", places=2).map(str)
common_ladders = st.lists(st.lists(common_texts, min_size=2, max_size=2), max_size=5)


def _json(ladder: list[list[str]]) -> str:
    return "[" + ",".join(f"[{','.join(level)}]" for level in ladder) + "]"


@settings(max_examples=usual(100, long=300), deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.lists(common_ladders, min_size=6, max_size=6), text_ladders, st.integers(0, 6), number_texts),
        max_size=4,
    )
)
def test_numbers_of_any_writing_equal_the_plain_reading(
    unit: list[tuple[list[list[list[str]]], list[list[str]], int, str]],
) -> None:
    lines = []
    for common, odd, place, matched in unit:
        ladders = [odd if at == place else ladder for at, ladder in enumerate(common)]
        runners = ",".join(
            f'{{"selectionId":{i},"ex":{{"availableToBack":{_json(ladders[2 * at])},'
            f'"availableToLay":{_json(ladders[2 * at + 1])}}}}}'
            for at, i in enumerate(books.IDS.values())
        )
        payload = f'{{"totalMatched":{matched},"runners":[{runners}]}}'
        lines.append(books.line("PAYLOAD").replace(b'"PAYLOAD"', payload.encode()))
    assert expect_same(lines)[0] == len(lines)


ids = st.sampled_from(
    (11, 22, 33, 11.0, 0, None, True, 1, "11", 2**63, 2**63 - 1, 2**64, 2**64 + 1, -(2**63) - 1, 2.0**64)
)


@settings(max_examples=usual(200, long=600), deadline=None, derandomize=True)
@given(st.lists(ids, min_size=3, max_size=3), st.lists(ids, min_size=2, max_size=4), st.lists(ids, max_size=1))
def test_ids_of_any_sort_equal_the_plain_reading(roles: list[Any], named: list[Any], snake: list[Any]) -> None:
    entries = [{"selectionId": i, "ex": {"availableToBack": [[2.0, 3.0 + at]]}} for at, i in enumerate(named)]
    entries += [{"selection_id": i, "ex": {"availableToLay": [[2.0, 7.0]]}} for i in snake]
    mapping = dict(zip(books.IDS, roles, strict=True))
    expect_same([books.line({"runners": entries}), books.line({"runners": entries}, mapping)])


Book = Sequence[tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]]


def inputs_of(book: Book) -> ExactInputs:
    cells = np.zeros((2, 4, 2, len(book), 1))
    for runner, sides in enumerate(book):
        for side, levels in enumerate(sides):
            for level, numbers in enumerate(levels):
                cells[:, level, side, runner, 0] = numbers
    with np.errstate(all="ignore"):
        return exact_inputs(*cells)


hundredths = st.tuples(st.integers(101, 100_000), st.integers(1, 10**10)).map(lambda n: (n[0] / 100, n[1] / 100))
exact_ladders = st.lists(hundredths, max_size=4)


@settings(max_examples=usual(333, long=1000), deadline=None, derandomize=True)
@given(st.lists(st.tuples(exact_ladders, exact_ladders), min_size=1, max_size=5))
def test_the_float_form_is_the_decimal_reading_or_in_doubt(book: list[tuple[Any, Any]]) -> None:
    found = inputs_of(book)
    if not found.sure[0]:
        return
    for runner, expected in enumerate(decimal_inputs(book)):
        inputs = [*found.impedance[runner], *found.norm[runner]]
        for side in range(2):
            inputs += [*found.stake[side, runner], *found.odds[side, runner]]
        assert list(map(bits, inputs)) == list(map(bits, expected))


def sure(*book: tuple[list[tuple[float, float]], list[tuple[float, float]]]) -> bool:
    return bool(inputs_of(book).sure[0])


def test_halves_of_the_last_decimal_are_in_doubt() -> None:
    # Odds 5 on one level: the impedance's e is a half but for 1e-7 / N.
    assert not sure(([(5.0, 100.0)], []))
    assert sure(([(4.0, 100.0)], []))


def next_to_a_half(random: Random) -> list[tuple[float, float]]:
    """Two levels of N = 2**7 * 5**k * q hundredths in all, q * odd of them on the first.

    With an odd difference of prices V * 1e6 / N is a half; the 1e-9 of the odds pulls t off it, by t * 1e-7 / N.
    """
    five = 5 ** random.randint(0, 6)
    scale = random.randint(1, 10 ** random.randint(1, 7) // five + 1)
    first = scale * (2 * random.randrange(64 * five) + 1)
    price = random.randint(101, 2_000)
    sizes = first / 100, (128 * five * scale - first) / 100
    return [(price / 100, sizes[0]), ((price + 2 * random.randint(0, 500) + 1) / 100, sizes[1])]


def test_figures_next_to_a_half_of_the_last_decimal_are_right_or_in_doubt() -> None:
    random = Random(11)
    made = [[(next_to_a_half(random), next_to_a_half(random)), (next_to_a_half(random), [])] for _ in range(2000)]
    cells = np.zeros((2, 4, 2, 2, len(made)))
    for place, book in enumerate(made):
        for runner, sides in enumerate(book):
            for side, levels in enumerate(sides):
                for level, numbers in enumerate(levels):
                    cells[:, level, side, runner, place] = numbers
    found = exact_inputs(*cells)
    certain = np.flatnonzero(found.sure).tolist()
    for place in certain:
        for runner, expected in enumerate(decimal_inputs(made[place])):
            inputs = [found.impedance[runner, place], found.norm[runner, place]]
            for side in range(2):
                inputs += [found.stake[side, runner, place], found.odds[side, runner, place]]
            assert list(map(bits, inputs)) == list(map(bits, expected)), made[place]
    assert 200 < len(certain) < len(made)


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
        assert expect_same([line]) == (1, 0)
        found = dict(zip(METRICS, derive(line).values, strict=True))
        assert bits(found[name]) == bits(-0.0)


def test_what_lies_beyond_the_proof_is_in_doubt() -> None:
    assert sure(([(2.02, 1e7)], []))
    assert not sure(([(2.02, 4.1e7)], []))
    assert not sure(([(2.02, 4.1e7)], [(2.04, 4.1e7)]))
    assert not sure(([(1100.0, 1.0)], []))
    assert not sure(([(3.03, 1.0)], []), ([], [(2.02, 4.1e7)]))
    assert not sure(([(2.02, float("inf"))], []))
    assert not sure(([(float("inf"), 1.0)], []))
    assert not sure(([(float("nan"), 1.0)], []))


def test_a_book_without_a_level_is_sure() -> None:
    lines = [books.line({"runners": [{"selectionId": i, "ex": {}} for i in books.IDS.values()]})]
    assert expect_same(lines) == (1, 1)
