from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rederive.cli.figures import amount, change, clock, count, distance, percent, span


@pytest.mark.parametrize(
    ("part", "total", "text"),
    [
        (980, 12_401, "7.9%"),
        (1, 12_401, "0.01%"),
        (0, 12_401, "0%"),
        (1_720, 12_331, "13.9%"),
        (0, 12_331, "0%"),
        (1, 2_000, "0.1%"),  # 0.05 is half: up
        (499, 1_000_000, "0.05%"),
        (1, 8, "12.5%"),
        (125, 10_000, "1.3%"),  # 1.25, which a rounding to even would make 1.2
        (12_401, 12_401, "100.0%"),
        (1, 1_000_000, "0.00%"),
    ],
)
def test_percent(part: int, total: int, text: str) -> None:
    assert percent(part, total) == text


def test_percent_of_nothing() -> None:
    assert percent(0, 0) is None


@given(st.integers(1, 10**7), st.data())
def test_percent_agrees_with_decimal(total: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(1, total))
    exact = Decimal(100) * part / total
    expected = exact.quantize(Decimal("0.1"), ROUND_HALF_UP) or exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert percent(part, total) == f"{expected}%"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (1_720, 0, "-100%"),
        (12_331, 12_331, "—"),
        (980, 1, "-99.9%"),
        (0, 3, "+3"),
        (0, 0, "—"),
        (8, 9, "+12.5%"),
        (1, 3, "+200%"),
    ],
)
def test_change(before: int, after: int, text: str) -> None:
    assert change(before, after) == text


def test_counts_have_thousands_separators() -> None:
    assert (count(12_401), count(0), count(None)) == ("12,401", "0", "")


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (-8256.37, "home_book_risk_l3", "-8,256.37"),
        (30587.82, "draw_book_risk_l3", "+30,587.82"),
        (0.0, "home_risk", "0.00"),
        (-0.001, "home_risk", "0.00"),
        (0.004, "home_risk", "0.00"),
        (1234.5, "home_impedance", "+1,234.50"),
        (1234.5, "home_back_stake", "1,234.50"),
        (1.9, "home_back_odds_l3", "1.90"),
        (None, "home_risk", ""),
    ],
)
def test_amounts(value: float | None, column: str, text: str) -> None:
    assert amount(value, column) == text


def test_a_time_is_cut_to_seconds_in_utc() -> None:
    moment = datetime(2026, 2, 14, 18, 51, 58, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert clock(moment) == "2026-02-14 17:51:58"
    assert clock(None) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1981.53, "33 min 1 s before"),
        (110.2, "1 min 50 s after"),
        (7_200.0, "2 h 0 min 0 s after"),
        (0.4, "on time"),
        (1.0, "1 s after"),
    ],
)
def test_distance(seconds: float, text: str) -> None:
    assert distance(seconds) == text


def test_span_of_a_day() -> None:
    span_of_a_day = span((datetime(2026, 2, 8, tzinfo=UTC) - datetime(2026, 2, 7, tzinfo=UTC)).total_seconds())
    assert span_of_a_day == "24 h 0 min 0 s"
