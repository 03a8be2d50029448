"""A replay's window beside live: it shrinks while live is late, and grows again."""

from hypothesis import given
from hypothesis import strategies as st

from rederive.giving_way import LIMIT_MS, MOST_UNITS, Window


def test_without_live_there_is_nothing_to_give_way_to() -> None:
    window = Window()
    window.take(None)
    assert window.units == MOST_UNITS


def test_beside_live_it_begins_with_little() -> None:
    window = Window()
    window.take(10.0)
    assert 1 < window.units < MOST_UNITS // 10


def test_it_halves_while_live_is_late_and_comes_to_all_again() -> None:
    window = Window()
    for _ in range(20):
        window.take(LIMIT_MS + 1)
    assert window.units == 1, "it never stops"
    for _ in range(60):
        window.take(LIMIT_MS - 1)
    assert window.units == MOST_UNITS


@given(st.lists(st.none() | st.floats(0, 1e6), max_size=50))
def test_something_is_always_on_its_way(seen: list[float | None]) -> None:
    window = Window()
    for p99 in seen:
        window.take(p99)
        assert 1 <= window.units <= MOST_UNITS
