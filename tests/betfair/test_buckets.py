"""Medians over 15 minutes (betfair spec, section 10 and worked example E5)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.betfair.buckets import BUCKET, Medians, Tick, book_risks, impedance_index, medians

START = datetime(2026, 2, 14, 17, 0, tzinfo=UTC)
LATER = START + timedelta(hours=1)


def at(seconds: float, odds: float, size: float) -> Tick:
    return Tick(START + timedelta(seconds=seconds), odds, size)


def test_worked_example_e5() -> None:
    roles = {
        "home": medians([at(-5, 2.2, 40), at(210, 2.24, 55), at(540, 2.18, 12.5)], START, LATER),
        "away": medians([at(-60, 3.5, 31)], START, LATER),
        "draw": medians([at(0, 3.3, 18), at(450, 3.4, 22)], START, LATER),
    }
    assert {role: (one.back_odds, one.back_size) for role, one in roles.items()} == {
        "home": (2.2, 40.0),
        "away": (3.5, 31.0),
        "draw": (3.4, 18.0),
    }
    assert [one.seconds_covered for one in roles.values()] == [900.0, 900.0, 900.0]
    assert [one.update_count for one in roles.values()] == [2, 0, 1]
    assert book_risks(roles) == {"home": -0.9999999999999929, "away": 19.5, "draw": -27.800000000000004}
    index = impedance_index(roles)
    assert index is not None
    assert index.index == 0.08209549731963556


def test_without_a_baseline_the_first_update_holds_from_the_start() -> None:
    one = medians([at(300, 3.0, 10), at(600, 4.0, 20)], START, LATER)
    assert one == Medians(3.0, 10, 900.0, 2)


def test_nothing_known_is_null() -> None:
    nothing = medians([], START, LATER)
    assert nothing == Medians(None, None, 0.0, 0)
    assert medians([at(901, 2.0, 5)], START, LATER) == nothing
    known = medians([at(0, 2.0, 5)], START, LATER)
    for roles in ({"home": known, "away": known, "draw": nothing}, {"home": known, "away": known}):
        assert book_risks(roles) is None
        assert impedance_index(roles) is None


def test_odds_of_zero_have_no_share_but_their_size_counts() -> None:
    one = medians([at(0, 0.0, 7), at(800, 2.0, 5)], START, LATER)
    assert (one.back_odds, one.back_size) == (2.0, 7)


def test_a_bucket_that_has_not_ended_goes_up_to_now() -> None:
    one = medians([at(0, 2.0, 5), at(60, 3.0, 6)], START, START + timedelta(seconds=90))
    assert (one.back_odds, one.back_size, one.seconds_covered) == (2.0, 5, 90.0)


TICKS = st.lists(
    st.builds(at, st.integers(-600, 1200), st.integers(101, 2000).map(lambda n: n / 100), st.integers(0, 500)),
    max_size=8,
    unique_by=lambda tick: tick.time,
).map(lambda ticks: sorted(ticks, key=lambda tick: tick.time))


@given(ticks=TICKS)
def test_medians_are_offers_of_the_bucket_and_cover_it(ticks: list[Tick]) -> None:
    one = medians(ticks, START, LATER)
    inside = [tick for tick in ticks if tick.time <= START + BUCKET]
    if one.back_size is None:
        assert not inside
        return
    assert one.seconds_covered == 900.0
    assert one.back_size in {tick.size for tick in inside}
    assert any(one.back_odds == pytest.approx(tick.odds, rel=1e-12) for tick in inside)


@given(ticks=st.tuples(TICKS, TICKS, TICKS))
def test_the_index_is_between_0_and_1(ticks: tuple[list[Tick], list[Tick], list[Tick]]) -> None:
    roles = {role: medians(own, START, LATER) for role, own in zip(("home", "away", "draw"), ticks, strict=True)}
    index = impedance_index(roles)
    if index is not None:
        assert -1e-12 <= index.index <= 1 + 1e-12
