from collections.abc import Callable
from typing import Any

import pytest

from processors.racing import rules
from processors.racing.rules import JunkError

EXAMPLES: list[tuple[Callable[[str | None], Any], list[tuple[str | None, Any]]]] = [
    (
        rules.position,
        [
            *(("2", 2), ("12", 12), ("1st", 1), ("Died as a 5", 5), ("7 (DH)", 7)),
            *((code, None) for code in ("PU", "pu", "F", "UR", "U", "BD", "RO", "REF", "RR", "SU", "CO", "DSQ", "LFT")),
            *((code, None) for code in ("VO", "VOI", "Fell 3", "died", "what", None)),
        ],
    ),
    (rules.position_text, [("pu", "PU"), ("1", "1"), ("1st", "1ST"), (None, None)]),
    (
        rules.distance_beaten,
        [
            *((".5", "0.5L"), ("1.25", "1.25L"), ("35", "35L"), ("10.50", "10.5L"), ("100", "100L"), ("0", "0")),
            *(("0.00", "0"), ("0.5L", "0.5L"), ("nk", "nk"), ("hd", "hd"), ("1e3", "1e3"), (None, None)),
        ],
    ),
    (rules.decimal, [("4.50", 4.5), ("0.5L", 0.5), (".5", 0.5), ("15", 15.0), ("abc", None), ("nan", None)]),
    (rules.decimal, [("inf", None), ("1_0", None), ("1LL", None), ("L", None), (None, None)]),
    (rules.integer, [("66", 66), ("0", 0), ("-3", -3), ("007", 7), ("4.0", None), ("1_0", None), ("x", None)]),
    (rules.integer, [("2147483647", 2147483647), ("-2147483648", -2147483648), ("0" * 5000, 0), (None, None)]),
    (rules.money, [("£301,272", 301272.0), ("£4,193", 4193.0), ("€9,500", 9500.0), ("$1,000.50", 1000.5)]),
    (rules.money, [("3245.08", 3245.08), ("£ 12", 12.0), ("£", None), ("tbc", None), (None, None)]),
    (rules.prize_won, [("3245.08", 3245.08), ("£5,605", 5605.0), ("10.005", 10.01), ("none", None), (None, None)]),
    (rules.starting_price, [("13/8F", "13/8F"), ("7/2J", "7/2J"), ("Evens", "Evens"), (None, None)]),
    (rules.metres, [("6f", 1206), ("1m2f", 2011), ("2m4f", 4022), ("1m", 1609), ("1m53y", 1657), ("1m7f209y", 3207)]),
    (rules.metres, [("5½f", 1105), ("2m½f", 3318), ("½m", 804), ("110y", 100), ("far", None), (None, None)]),
    (rules.furlongs, [("8.0", "8.0"), ("16.5f", "16.5"), ("10f", "10"), ("f", None), (None, None)]),
    (rules.day, [("2024-02-29", "2024-02-29"), (None, None)]),
    (rules.moment, [("2024-05-18T13:44:00+01:00", "2024-05-18T13:44:00+01:00"), (None, None)]),
    (rules.clock, [("2024-05-18T13:44:00+01:00", "13:44:00"), ("2024-01-18T13:44:00Z", "13:44:00"), (None, None)]),
    (rules.afternoon, [("1:44", "13:44:00"), ("9:05", "21:05:00"), ("10:30", "10:30:00"), ("12:00", "12:00:00")]),
    (rules.afternoon, [("13:10", "13:10:00"), ("25:00", None), ("1:60", None), ("noon", None), (None, None)]),
    (rules.region, [("GB", "gb"), ("IRE", "ire"), ("UK", "gb"), ("ZZ", "zz"), (None, None)]),
    (rules.name_region, [("Horse (IRE)", "ire"), ("X (USA)", "usa"), ("X (UK)", "gb"), ("X (FR) ", "fr")]),
    (rules.name_region, [("One Two (Three)", None), ("Plain", None), ("X (ire)", None), ("X (ABCD)", None)]),
    (rules.rider, [("Luke Scott(3)", "Luke Scott"), ("Una Cole (5)", "Una Cole"), ("Lena Fox", "Lena Fox")]),
    (rules.rider, [("NON-RUNNER", None), ("NON-RUNNER(5)", None), ("Non-Runner", None), ("(7)", None), (None, None)]),
    (rules.claim, [("Luke Scott(3)", 3), ("Lena Fox", None), ("NON-RUNNER(5)", None), (None, None)]),
]


@pytest.mark.parametrize(
    ("parse", "given", "expected"),
    [
        pytest.param(parse, given, expected, id=f"{parse.__name__}-{str(given)[:20]}")
        for parse, examples in EXAMPLES
        for given, expected in examples
    ],
)
def test_a_text_becomes_its_value(parse: Callable[[str | None], Any], given: str | None, expected: Any) -> None:
    found = parse(given)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("parse", "given"),
    [
        *((rules.integer, given) for given in ("2147483648", "-2147483649", "9" * 5000)),
        (rules.position, "99999999999"),
        (rules.position, "1" * 5000),
        (rules.decimal, "1e400"),
        (rules.money, "£" + "9" * 400),
        (rules.prize_won, "100000000"),
        (rules.prize_won, "99999999.999"),
        (rules.distance_beaten, "a very long way behind"),
        (rules.distance_beaten, "1.1234567890123456789"),
        (rules.starting_price, "a hundred to one or so"),
        *((rules.day, given) for given in ("2024-02-30", "18/05/2024", "20240518", "2024-W20-6", "yesterday")),
        *((rules.moment, given) for given in ("2024-05-18T13:44:00", "2024-05-18", "13:44", "2024-02-30T00:00Z")),
        (rules.clock, "2024-05-18T13:44:00"),
        (rules.identifier, "x" * 51),
        (rules.region, "the moon and back"),
    ],
)
def test_what_a_column_cannot_hold_is_junk(parse: Callable[[str | None], Any], given: str) -> None:
    with pytest.raises(JunkError) as junk:
        parse(given)
    assert len(str(junk.value)) < 120
