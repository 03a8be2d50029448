"""Ranges as wide as the calendar."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest

import rederive as api
from producers.source import Request, end_of, is_within
from rederive.cli.running import moment, span
from rederive.settings import Settings
from schemas.errors import UsageError
from schemas.table import Mode
from tests.betfair.reports.made import START, derived, market, snapshot
from tests.finra.runs import weeks, write
from tests.program import last_object, rederive

_ALWAYS = ("--from", "0001-01-01", "--to", "9999-12-31")


def test_the_calendars_first_and_last_day_are_a_range() -> None:
    first, last = span("0001-01-01", "9999-12-31")
    assert first == datetime(1, 1, 1, tzinfo=UTC)
    assert last == end_of(date.max)
    assert last is not None
    assert last.date() == date.max
    assert end_of(date(2026, 2, 6)) == datetime(2026, 2, 7, tzinfo=UTC)


def test_a_range_that_ends_in_the_midst_of_a_day_has_that_day() -> None:
    asked = Request(
        "betfair", Mode.FILL, (), moment("2026-02-05T18:00", "", end=False), moment("2026-02-06T12:00", "", end=True)
    )
    assert [n for n in range(1, 10) if is_within(date(2026, 2, n), asked)] == [5, 6]
    until = replace(asked, start=None, end=moment("2026-02-06T00:00", "", end=True))
    assert is_within(date.min, until)
    assert not is_within(date(2026, 2, 6), until), "the end itself is not asked for"
    assert is_within(date.max, replace(asked, end=None))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_outside_the_calendar_is_said_to_be(text: str) -> None:
    with pytest.raises(UsageError, match="is out of range\n  why: in UTC it is outside the years 1 to 9999"):
        moment(text, "--from", end=False)


@pytest.mark.services
def test_all_of_time_can_be_asked_for(settings: Settings, connection: psycopg.Connection, tmp_path: Path) -> None:
    market(connection, "1.1")
    snapshot(connection, 1, "1.1", START)
    derived(connection, 1)
    assert "Found 1 row needing backfill" in rederive(settings, "plan", "betfair", *_ALWAYS).stderr
    found = api.plan("betfair", start=date.min, end=date.max, settings=settings)
    assert found.found == 1

    write(tmp_path / "weekly", weeks(1))
    done = rederive(settings, "replay", "finra", "--source", str(tmp_path / "weekly"), *_ALWAYS, "--json")
    assert last_object(done.stdout)["dead_units"] == 0
    range_ = ("--since", "0001-01-01", "--until", "9999-12-31")
    assert "Found 1 record to replay" in rederive(settings, "replay-topic", "finra", *range_, "--dry-run").stderr
    early = ("--since", "0001-01-01", "--until", "0001-01-02")
    assert "none of the 1 record of" in rederive(settings, "replay-topic", "finra", *early, "--dry-run").stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "0001-01-01"), "--from 0001-01-01 is before the first race day"),
        (("--from", "2024-01-01", "--to", "9999-12-31"), "--to 9999-12-31 is too far in the future\n  why: race cards"),
    ],
)
def test_race_days_are_those_that_there_may_be(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from rederive import __main__ as program

    assert program.run(["plan", "racing", *words]) == 2
    assert said in capsys.readouterr().err
