"""When racing live asks: lines of cron, a day's programme, and the settings that say them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import cast

import pytest

from producers.racing.due import Due
from producers.racing.index import Day, RacingIndex
from producers.racing.programme import PATIENCE, Programme
from producers.racing.schedule import Schedule
from producers.racing.settings import LIVE_PREFIX, LiveSettings
from schemas.errors import UsageError
from schemas.racing.tables import Kind
from tests.racing.lines import FLAT, HURDLE, KETTLE, answer, card_line, line, result_line

NOON = datetime(2024, 5, 18, 12, 0, tzinfo=UTC)
FLAT_OFF = datetime(2024, 5, 18, 12, 44, tzinfo=UTC)
HURDLE_OFF = datetime(2024, 5, 18, 16, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        (NOON, NOON),
        (NOON + timedelta(microseconds=1), NOON),
        (NOON - timedelta(microseconds=1), NOON - timedelta(minutes=30)),
        (NOON + timedelta(minutes=29, seconds=59), NOON),
        ((NOON + timedelta(minutes=1)).astimezone(timezone(timedelta(hours=5, minutes=30))), NOON),
    ],
)
def test_the_last_time_that_a_schedule_names(now: datetime, last: datetime) -> None:
    assert Schedule("*/30 * * * *").last(now) == last


@pytest.mark.parametrize("wrong", ["", "often", "61 * * * *", "* * * *", "* * * * * *", "0 0 31 2 *"])
def test_what_is_no_schedule_is_refused_by_its_variable(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"line of cron"):
        Schedule(wrong)
    if wrong:
        monkeypatch.setenv(f"{LIVE_PREFIX}CARDS", wrong)
        with pytest.raises(UsageError) as caught:
            LiveSettings()
        assert "REDERIVE_RACING_LIVE_CARDS: no line of cron" in str(caught.value) or "five fields" in str(caught.value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = LiveSettings()
    assert (usual.regions, usual.amended_days, usual.horses) == (("gb", "ire"), 7, False)
    monkeypatch.setenv(f"{LIVE_PREFIX}REGIONS", "IRE, gb,fr")
    monkeypatch.setenv(f"{LIVE_PREFIX}RESULTS", "*/2 10-23 * * *")
    monkeypatch.setenv(f"{LIVE_PREFIX}HORSES", "1")
    said = LiveSettings()
    assert (said.regions, str(said.results), said.horses) == (("fr", "gb", "ire"), "*/2 10-23 * * *", True)
    monkeypatch.setenv(f"{LIVE_PREFIX}REGIONS", " , ")
    with pytest.raises(UsageError, match="the settings of The Racing API") as caught:
        LiveSettings()
    assert "REDERIVE_RACING_LIVE_REGIONS: it names no region" in caught.value.why


def test_results_are_wanted_from_the_off_of_each_race_until_they_are_there() -> None:
    card = Programme.of(card_line(), None)
    assert card.waiting == {FLAT: FLAT_OFF, HURDLE: HURDLE_OFF}
    assert KETTLE in card.horses
    minute = timedelta(minutes=1)
    wanted = [card.wants_results(at) for at in (FLAT_OFF - minute, FLAT_OFF, HURDLE_OFF, HURDLE_OFF + PATIENCE)]
    assert wanted == [False, True, True, False]

    whole = answer("results")
    one = Programme.of(card_line(), line("results", {**whole, "results": whole["results"][:1]}))
    assert one.waiting == {HURDLE: HURDLE_OFF}
    assert not one.wants_results(FLAT_OFF)
    assert one.wants_results(HURDLE_OFF)
    assert not Programme.of(card_line(), result_line()).wants_results(HURDLE_OFF)


def test_an_abandoned_race_is_not_waited_for_and_one_without_an_off_time_is() -> None:
    card = answer("racecards")
    card["racecards"][0]["is_abandoned"] = True
    card["racecards"][1]["off_dt"] = "soon"
    found = Programme.of(line("racecards", card), None)
    assert found.waiting == {HURDLE: None}
    assert found.wants_results(NOON)


@pytest.mark.parametrize(
    "value", [b"", b"junk", b"[]", b"{}", b'{"payload":null}', b'{"payload":{"racecards":5}}',
              b'{"payload":{"racecards":[5,{"race_id":5},{"race_id":null,"runners":[5,{"horse_id":5}]}]}}'],
)  # fmt: skip
def test_a_card_of_no_races_wants_no_results(value: bytes) -> None:
    found = Programme.of(value, value)
    assert not found.wants_results(NOON)
    assert not found.horses


def test_without_a_card_nobody_knows() -> None:
    assert Programme.of(None, None).wants_results(NOON)


class NoRecords:
    """An index of days of which nothing is kept."""

    def days(self, first: date, last: date, kinds: Sequence[Kind], regions: Sequence[str]) -> list[Day]:  # noqa: ARG002
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        return [Day(day, kind, ()) for day in days for kind in kinds]

    def ends(self, regions: Sequence[str], today: date) -> tuple[date | None, date | None]:  # noqa: ARG002
        return NOON.date() - timedelta(days=1), None


def test_what_is_refused_for_good_is_asked_for_as_often_as_its_schedule_says() -> None:
    weekly = LiveSettings(missed="0 6 * * 0", cards="0 6 * * *", results="0 6 * * *")
    due = Due(cast("RacingIndex", NoRecords()), weekly, lambda _: None, None)
    yesterday = NOON.date() - timedelta(days=1)
    asked: list[datetime] = []
    for number in range(8 * 24):
        now = NOON + timedelta(hours=number)
        while ask := due.next(now):
            due.done(ask, now)
            assert due.tried(ask)
            if (ask.date, ask.fetch) == (yesterday, "results"):
                asked.append(now)
    assert asked == [NOON, datetime(2024, 5, 19, 6, tzinfo=UTC), datetime(2024, 5, 26, 6, tzinfo=UTC)]
    for _ in range(2):
        due.next(NOON + timedelta(days=40))
    assert not due._tried, "of days that are over nothing is remembered"
