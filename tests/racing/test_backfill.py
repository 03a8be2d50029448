"""Days from the API to rows: whole, once, kept, and derived again without the API."""

import re
import signal
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from rederive.settings import Settings
from samples.racing.api import StandIn
from samples.racing.faults import Fault
from tests.program import last_object, rederive, start
from tests.racing.rows import everything, served, stored
from tests.wait import until

FIRST, LAST = date(2024, 5, 17), date(2024, 5, 19)
RANGE = ("--from", str(FIRST), "--to", str(LAST))
DAYS = [FIRST + timedelta(days=n) for n in range(3)]

pytestmark = pytest.mark.services


def _json(path: Path) -> Any:
    return orjson.loads(path.read_bytes())


def test_three_days_with_faults_and_again(settings: Settings, database: psycopg.Connection, api: StandIn) -> None:
    """Transient faults cost time only; what is kept is not asked for again, and derives to the same rows."""
    api.faults.add(
        Fault("html", path="/courses"),
        Fault("429", path="/racecards", date="2024-05-17"),
        Fault("429", path="/results", date="2024-05-17", retry_after=1),
        Fault("cut-head", path="/racecards", date="2024-05-18"),
        Fault("broken", path="/results", date="2024-05-18"),
        Fault("timeout", path="/racecards", date="2024-05-19"),
        Fault("cut-body", path="/results", date="2024-05-19"),
        Fault("list", path="/courses/regions"),
        Fault("500", path="/racecards", date="2024-05-17"),
        Fault("503", path="/results", date="2024-05-17", retry_after=1),
    )
    done = last_object(rederive(settings, "replay", "racing", *RANGE, "--json").stdout)
    assert (done["errors"], done["dead_units"]) == (0, 0)
    assert stored(database) == served(api, DAYS)
    before, asked = everything(database), len(api.requests)

    report = rederive(settings, "report", "racing-verify", "--json")
    found = orjson.loads(report.stdout)
    assert found["coverage_pct"] == "100.00"
    assert found["years"] == [[2024, len(before["ra_races"])]]

    checkpoint = _json(settings.home / "logs" / "backfill_events_checkpoint.json")
    stats = checkpoint["stats"]
    assert (stats["total_chunks"], stats["chunks_processed"]) == (1, 1)
    assert stats["total_races"] == len(before["ra_races"])
    assert stats["chunks"][0]["racecards"]["success"] is True
    assert stats["chunks"][0]["results"]["days_with_data"] == 3
    assert checkpoint["timestamp"].endswith("Z")

    again = last_object(rederive(settings, "replay", "racing", *RANGE, "--skip-masters", "--json").stdout)
    assert (again["updated"], again["processed"]) == (0, done["processed"] - _masters(database))  # type: ignore[operator]
    assert len(api.requests) == asked, "a kept day is asked for again"
    assert everything(database) == before
    gaps = rederive(settings, "gaps", "racing", *RANGE, "--json")
    assert orjson.loads(gaps.stdout) == []


def _masters(connection: psycopg.Connection) -> int:
    """Rows that only the masters' answers give: bookmakers, regions, and each course once more."""
    row = connection.execute(
        """SELECT (SELECT count(*) FROM ra_mst_bookmakers) + (SELECT count(*) FROM ra_mst_regions)
                + (SELECT count(*) FROM ra_mst_courses)"""
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_day_that_fails_is_a_gap_until_it_is_filled(
    settings: Settings, database: psycopg.Connection, api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACING_API_MAX_RETRIES", "0")
    api.faults.add(Fault("500", path="/results", date="2024-05-18", times=None))
    done = rederive(settings, "replay", "racing", *RANGE, "--json", code=1)
    assert last_object(done.stdout)["dead_units"] == 1
    assert "2024-05-18" in done.stderr
    assert "standin" not in done.stderr.replace("standin.", "")

    (error,) = _json(settings.home / "logs" / "backfill_events_errors.json")
    assert (error["chunk"], error["date"], error["source"], error["kind"]) == (
        "2024-05-17 to 2024-05-19",
        "2024-05-18",
        "results",
        "non-critical",
    )
    (gap,) = orjson.loads(rederive(settings, "gaps", "racing", *RANGE, "--json", code=1).stdout)
    assert (gap["day"], gap["kind"], gap["part"]) == ("2024-05-18", "failed", "results")
    assert re.fullmatch(r"GET /results\S* .*failed: tried 1 times; last: .*500.*", gap["why"]), gap

    api.faults.clear()
    asked = len(api.requests)
    plan = settings.home.parent / "plan.json"
    plan.write_text(rederive(settings, "gaps", "racing", *RANGE, "--fill").stdout)
    assert len(api.requests) == asked
    filled = last_object(rederive(settings, "apply", str(plan), "--json").stdout)
    assert filled["units"] == 1
    assert all("/results" in request.target for request in api.requests[asked:])
    assert stored(database) == served(api, DAYS)
    assert orjson.loads(rederive(settings, "gaps", "racing", *RANGE, "--json").stdout) == []


def test_refused_credentials_stop_at_once(
    settings: Settings, database: psycopg.Connection, api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACING_API_PASSWORD", "pa$$word-of-nobody")
    done = rederive(settings, "replay", "racing", *RANGE, code=1)
    assert "RACING_API_PASSWORD" in done.stderr
    assert len(api.requests) <= 2
    for path in (settings.home / "logs").iterdir():
        assert "pa$$word-of-nobody" not in path.read_text()
    assert "pa$$word-of-nobody" not in done.stderr + done.stdout
    (capture,) = [row[0] for row in database.execute("SELECT capture_id FROM rederive.captures")]

    monkeypatch.setenv("RACING_API_PASSWORD", "standin")
    rederive(settings, "captures", "resume", capture)
    assert stored(database) == served(api, DAYS)


def test_missing_credentials_are_said_before_anything_is_made(
    settings: Settings, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RACING_API_USERNAME", raising=False)
    monkeypatch.delenv("RACING_API_PASSWORD", raising=False)
    done = rederive(settings, "replay", "racing", *RANGE, code=1)
    assert "RACING_API_USERNAME and RACING_API_PASSWORD" in done.stderr
    assert database.execute("SELECT count(*) FROM rederive.captures").fetchone() == (0,)
    planned = rederive(settings, "replay", "racing", *RANGE, "--dry-run").stderr
    assert "7 answers to ask for, 1 of them the masters (about 0:00:04 at" in planned
    status = orjson.loads(rederive(settings, "replay", "racing", *RANGE, "--check-status", "--json").stdout)
    assert status["calls"] == 6, "of race days"


def test_what_is_wrong_with_every_day_is_asked_for_once_or_a_few_times(
    settings: Settings, database: psycopg.Connection, api: StandIn
) -> None:
    done = rederive(settings, "replay", "racing", *RANGE, "--regions", "gb", "zz", code=2)
    assert "unknown zz" in done.stderr
    assert "fr (France)" in done.stderr
    assert ["/courses/regions" in request.target for request in api.requests] == [True]
    assert database.execute("SELECT count(*) FROM rederive.captures").fetchone() == (0,)

    # The list can't be had, and every day is refused.
    api.faults.add(Fault("500", path="/courses/regions", times=None))
    asked = len(api.requests)
    words = ("replay", "racing", "--from", "2024-05-01", "--to", "2024-05-31", "--skip-masters", "--regions", "zz")
    done = rederive(settings, *words, code=1)
    assert "the regions zz can't be checked, going on" in done.stderr
    assert "the first 5 answers were all refused with status 422" in done.stderr
    assert len(api.requests) - asked <= 1 + 5 + 1, "the regions, five days, one ahead"
    (capture,) = [row[0] for row in database.execute("SELECT capture_id FROM rederive.captures")]
    assert f"rederive captures retry {capture}" in done.stderr
    row = database.execute("SELECT count(*) FROM rederive.units WHERE state = 'planned'").fetchone()
    assert row == (58,), "31 days of cards and results, four of them refused"


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_stopped_in_the_middle_asks_for_the_day_in_flight_again_at_most(
    settings: Settings, database: psycopg.Connection, api: StandIn, how: signal.Signals
) -> None:
    last = FIRST + timedelta(days=6)
    days = [FIRST + timedelta(days=n) for n in range(7)]
    run = start(settings, "replay", "racing", "--from", str(FIRST), "--to", str(last), "--skip-masters")
    try:
        until(lambda: len(api.requests) >= 6, 60, "the backfill does not begin")
        run.send_signal(how)
        _, stderr = run.communicate(timeout=40)
    finally:
        run.kill()
    assert run.returncode == (-9 if how is signal.SIGKILL else 130), stderr
    assert len(api.requests) < 14, "it was stopped in the middle"
    (capture,) = [row[0] for row in database.execute("SELECT capture_id FROM rederive.captures")]

    rederive(settings, "captures", "resume", capture)
    assert stored(database) == served(api, days)
    starts = [target for target in (request.target for request in api.requests) if "skip=0" in target]
    assert len(starts) - len(set(starts)) <= 2, "more than a day's card and result was asked for again"
    assert len(set(starts)) == 14
