"""The live capture's id: everybody makes the same, and reads it back."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.live import LiveDay, moment_of

NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)


@given(NAMES, st.dates(min_value=date(1970, 1, 1)), st.integers(0, 10**9 - 1), st.integers(1, 9_999))
def test_an_id_is_read_back(domain: str, day: date, version: int, turn: int) -> None:
    live = LiveDay(domain, day, version, turn)
    assert LiveDay.read(live.capture_id, domain) == live


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_timestamp_has_a_day(sent: int) -> None:
    day = LiveDay.of("betfair", sent, 3).day
    assert date(1970, 1, 1) <= day <= date(9999, 12, 31)
    assert moment_of(sent).date() == day


@pytest.mark.parametrize("sent", [-1, 253_402_300_800_000, 2**63 - 1])
def test_a_timestamp_outside_the_calendar_is_its_first_day_s(sent: int) -> None:
    assert moment_of(sent) == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_record_is_of_its_utc_day() -> None:
    last = datetime(2026, 2, 6, 23, 59, 59, 999_000, tzinfo=UTC)
    sent = round(last.timestamp() * 1000)
    assert LiveDay.of("betfair", sent, 1).capture_id == "betfair-live-20260206-v1"
    assert LiveDay.of("betfair", sent + 1, 1).capture_id == "betfair-live-20260207-v1"


def test_a_run_s_id_is_no_live_day() -> None:
    assert LiveDay.read("betfair-20260206-7", "betfair") is None
    assert LiveDay.read("racing-live-20260206-v1", "betfair") is None
    assert LiveDay.read("betfair-live-20261306-v1", "betfair") is None
