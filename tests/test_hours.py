"""A run keeps to its hours: which moments they hold, and that it sends nothing outside them."""

import re
import signal
import time as time_
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psutil
import psycopg
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from producers.source import Request
from rederive.captures import at_work
from rederive.hours import Hours
from rederive.replayer import Replayer
from rederive.settings import Settings
from schemas.betfair.tables import SCOPES
from schemas.capture import Progress
from schemas.errors import UsageError
from schemas.table import Mode
from tests.betfair.replay.midway import running
from tests.betfair.replay.stored import counts, replay, scalar
from tests.betfair.reports.made import many
from tests.program import rederive
from tests.wait import until

_ZONES = [UTC, ZoneInfo("Europe/London"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia")]
_MINUTES = st.integers(0, 24 * 60 - 1).map(lambda minute: time(minute // 60, minute % 60))
_MOMENTS = st.datetimes(datetime(2011, 12, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(_MINUTES, _MINUTES, _MOMENTS)
def test_within_its_hours_a_run_sends_and_outside_it_waits_for_their_begin(
    start: time, end: time, now: datetime
) -> None:
    assume(start != end)
    inside = start <= now.time() < end if start < end else not end <= now.time() < start
    opens = Hours(start, end).opens(now)
    assert (opens is None) == inside
    if opens is not None:
        assert opens.time() == start
        assert timedelta(0) < opens - now < timedelta(days=1)


@given(_MINUTES, _MINUTES, _MOMENTS, st.sampled_from(_ZONES))
# A day on which the clock goes forward over the begin, and one that a zone has left out.
@example(time(1, 30), time(2, 30), datetime(2026, 3, 29, 0, 45, tzinfo=UTC), _ZONES[1])
@example(time(22), time(4), datetime(2011, 12, 30, 11, tzinfo=UTC), _ZONES[3])
def test_whatever_clocks_do_it_goes_on_within_two_days_and_only_within_its_hours(
    start: time, end: time, now: datetime, zone: ZoneInfo
) -> None:
    assume(start != end)
    hours = Hours(start, end, zone)
    opens = hours.opens(now)
    if opens is not None:
        assert timedelta(0) < opens - now <= timedelta(days=2)
        assert hours.opens(opens) is None
        assert hours.opens(opens - timedelta(microseconds=1)) == opens


def test_hours_are_said_in_utc_or_by_a_zone_or_not_at_all() -> None:
    assert str(Hours.read("1:00-05:00")) == "01:00-05:00 UTC"
    assert str(Hours.read("22:00-24:00 Europe/London")) == "22:00-00:00 Europe/London"
    summer = datetime(2026, 7, 1, 0, 30, tzinfo=UTC)
    assert Hours.read("01:00-05:00 Europe/London").opens(summer) is None
    assert Hours.read("01:00-05:00").opens(summer) == datetime(2026, 7, 1, 1, tzinfo=UTC)
    for wrong in (
        "",
        "01:00",
        "01:00-25:00",
        "01:60-02:00",
        "05:00-05:00",
        "00:00-24:00",
        "01:00-05:00 Mars/Base",
        "1-5",
    ):
        with pytest.raises(UsageError, match="--window"):
            Hours.read(wrong)


def _hours(begin: timedelta, end: timedelta) -> str:
    now = datetime.now(UTC)
    return f"{now + begin:%H:%M}-{now + end:%H:%M}"


@pytest.mark.services
def test_outside_its_window_a_run_waits_and_its_plan_says_what_it_costs(
    settings: Settings, connection: psycopg.Connection
) -> None:
    many(connection, 40, 40, SCOPES["l1"])
    made = rederive(settings, "plan", "betfair")
    assert "[x] rows        40 rows × 52 columns = up to 2,080 values" in made.stderr
    assert "[ ] time        unknown: there are no complete captures of betfair here" in made.stderr
    file = settings.home.parent / "plan.json"
    file.write_text(made.stdout)
    closed, opened = _hours(timedelta(hours=2), timedelta(hours=3)), _hours(timedelta(hours=-1), timedelta(hours=1))

    with running(settings, "apply", str(file), "--window", closed) as run:
        until(lambda: any("pauses until" in one for one in at_work(connection).values()), 60, "no run pauses")
        shown = rederive(settings, "captures", "show", "latest").stdout
        assert re.search(rf"being run by another process \(.*pauses until [\d-]+ {closed[:5]}:00 UTC\)", shown)
        assert scalar(connection, "SELECT count(*) FROM rederive.units WHERE state <> 'planned'") == 0
        run.send_signal(signal.SIGTERM)
        _, log = run.communicate(timeout=60)
    assert run.returncode == 130
    assert f"outside the window {closed} UTC nothing is sent: waits until" in log
    assert f"rederive captures resume betfair-{datetime.now(UTC):%Y%m%d}-1 --window '{closed}'" in log

    done = replay(settings, "captures", "resume", "latest", "--window", opened)
    assert counts(done) == (40, 0, 0)
    again = rederive(settings, "plan", "betfair", "--all-rows").stderr
    assert "rows/s by the last of the captures of betfair from table" in again
    assert "no other capture of betfair is unfinished" in again
    refused = rederive(settings, "apply", str(file), "--window", "5-6", code=2)
    assert "--window '5-6' says no hours" in refused.stderr


@dataclass(frozen=True)
class _Shut(Hours):
    """Hours that a test opens and shuts."""

    start: time = time(1)
    end: time = time(5)
    shut: list[bool] = field(default_factory=lambda: [False])

    def opens(self, now: datetime) -> datetime | None:
        return now.replace(microsecond=0) + timedelta(hours=1) if self.shut[0] else None


@pytest.mark.services
def test_a_window_that_ends_midway_lets_workers_go_and_begins_with_new_ones(
    settings: Settings,
    connection: psycopg.Connection,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    many(connection, 1200, 1200, SCOPES["l1"])
    # A unit at a time, so that some are left when the window ends.
    monkeypatch.setattr("rederive.giving_way.MOST_UNITS", 1)
    hours = _Shut()
    replayer = Replayer(settings, database_url)
    request = Request(domain="betfair", mode=Mode.FILL, columns=SCOPES["l1"])
    capture, _ = replayer.mint(request, "table", dry_run=False, reason="", agents=1)
    left: list[int] = []
    deadline = time_.monotonic() + 60

    def has_workers() -> bool:
        return any("rederive.worker" in child.cmdline() for child in psutil.Process().children())

    def listener(progress: Progress) -> None:
        assert time_.monotonic() < deadline, f"it doesn't get on: {progress}, {hours}"
        if progress.units_done and not left and not hours.shut[0]:
            hours.shut[0] = True
        elif hours.shut[0] and not has_workers():
            left.append(progress.units_waiting)
            hours.shut[0] = False

    caplog.set_level("INFO", "rederive.run")
    report = replayer.run(capture, listener, 1, 1, hours=hours)
    assert report.progress.updated == 1200
    assert report.progress.units >= 3
    assert left[0] >= 1
    assert len(left) == 1
    said = [record.getMessage() for record in caplog.records if "window" in record.getMessage()]
    assert ["nothing is sent" in one for one in said].count(True) >= 1
    assert said[-1] == "the window 01:00-05:00 UTC has begun, it goes on"
