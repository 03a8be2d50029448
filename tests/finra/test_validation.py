"""The checks after a run, against real Postgres (finra spec, section 9)."""

from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest

from producers.finra.picks import Captured
from rederive.finra.determinism import Pair, compare
from rederive.finra.validation import validate
from schemas.errors import Failed
from schemas.finra.row_equality import rows_equal_deterministic
from schemas.finra.versions import PREFIX
from tests.finra import runs
from tests.finra.stored import Run, checks, rows
from tests.finra.texts import AT, EXAMPLE_A, WEEK, content

pytestmark = pytest.mark.services

A = content(EXAMPLE_A)
RESTATED = content([*EXAMPLE_A[:4], ("FNMA", "CDEL", 1000000, 2000)])
LATER = AT + timedelta(days=7)


def status(connection: psycopg.Connection, capture: str) -> dict[str, str]:
    return {name: found[0] for name, found in checks(connection, capture).items()}


def test_each_check_writes_one_row_and_a_repeat_none(connection: psycopg.Connection) -> None:
    run = Run.made(connection, WEEK, WEEK + timedelta(days=1), ["OTC"])
    capture = run.ingest(A, WEEK, "OTC", AT)
    before = set(checks(connection, capture))
    found = validate(connection, run.capture_id)
    added = {name: one for name, one in status(connection, capture).items() if name not in before}
    assert added == {
        "row_count_change": "PASS",
        "stored_share_sum": "PASS",
        "stored_share_ranks": "PASS",
        "stored_share_bounds": "PASS",
        "determinism": "PASS",
        "stored_count_balance": "PASS",
        "volume_swing": "PASS",
        "venue_count_drop": "PASS",
    }
    assert status(connection, run.capture_id) == {"missing_week": "PASS"}
    assert len(found) == len(added) + 1

    stored = "SELECT * FROM core_quality ORDER BY id"
    once = connection.execute(stored).fetchall()
    assert validate(connection, run.capture_id) == found
    assert connection.execute(stored).fetchall() == once


def test_rows_of_two_captures_stand_side_by_side(connection: psycopg.Connection) -> None:
    first = Run.made(connection)
    before = first.ingest(A, WEEK, "OTC", AT)
    second = Run.made(connection)
    capture = second.ingest(content(EXAMPLE_A[:3]), WEEK, "OTC", LATER)
    validate(connection, second.capture_id)
    found, details = checks(connection, capture)["row_count_change"]
    assert found == "WARN"
    assert details["tables"]["raw"] == {"rows": 3, "before": 5, "capture_before": before}
    assert details["tables"]["venue_share v1"] == {"rows": 3, "before": 4, "capture_before": before}
    # The run before saw nothing of it.
    validate(connection, first.capture_id)
    assert checks(connection, before)["row_count_change"][0] == "PASS"


def test_a_row_that_changed_in_the_store_is_seen(connection: psycopg.Connection) -> None:
    run = Run.made(connection)
    capture = run.ingest(A, WEEK, "OTC", AT)
    connection.execute(f"UPDATE {PREFIX}venue_share SET market_share_pct = 0.6, rank = 2 WHERE mpid = 'NITE'")
    connection.execute(f"DELETE FROM {PREFIX}venue_volume WHERE mpid = 'OTCX'")
    validate(connection, run.capture_id)
    found = status(connection, capture)
    assert (found["stored_share_sum"], found["stored_share_ranks"]) == ("FAIL", "FAIL")
    assert found["stored_share_bounds"] == "PASS"
    assert found["stored_count_balance"] == "WARN"


def test_a_share_sum_may_be_off_by_a_thousandth(connection: psycopg.Connection) -> None:
    run = Run.made(connection)
    capture = run.ingest(A, WEEK, "OTC", AT)
    for share, expected in ((0.5009, "PASS"), (0.5011, "FAIL")):
        connection.execute(f"UPDATE {PREFIX}venue_share SET market_share_pct = %s WHERE mpid = 'NITE'", [share])
        validate(connection, run.capture_id)
        assert status(connection, capture)["stored_share_sum"] == expected


def test_the_same_file_again_gives_the_same_rows(connection: psycopg.Connection) -> None:
    first = Run.made(connection).ingest(A, WEEK, "OTC", AT)
    Run.made(connection).ingest(RESTATED, WEEK, "OTC", AT + timedelta(days=1))
    again = Run.made(connection)
    capture = again.ingest(A, WEEK, "OTC", LATER, name="renamed.csv")
    validate(connection, again.capture_id)
    found, details = checks(connection, capture)["determinism"]
    assert (found, details["captures"]) == ("PASS", [first])
    assert details["tables"] == dict.fromkeys(
        (
            "venue_volume", "symbol_summary", "venue_share", "weekly_symbol_venue_volume", "weekly_symbol_venue_share",
            "weekly_symbol_venue_concentration_hhi",
        ),
        True,
    )  # fmt: skip


def test_stages_again_of_stored_rows_are_compared_with_what_the_file_gave(connection: psycopg.Connection) -> None:
    first = Run.made(connection).ingest(A, WEEK, "OTC", AT)
    again = Run.made(connection)
    raw = again.normalize(first, LATER)
    volumes = again.aggregate(first, LATER + timedelta(hours=1))
    connection.execute(
        f"UPDATE {PREFIX}symbol_summary SET venue_count = 9 WHERE capture_id = %s AND symbol = 'AABB'", [volumes]
    )
    validate(connection, again.capture_id)
    assert checks(connection, raw)["determinism"][0] == "PASS"
    assert checks(connection, raw)["determinism"][1]["tables"]["venue_volume"] is True
    found, details = checks(connection, volumes)["determinism"]
    assert (found, details["captures"]) == ("FAIL", [first])
    assert [name for name, same in details["tables"].items() if not same] == ["symbol_summary"]
    assert checks(connection, raw)["stored_count_balance"] == ("PASS", {"raw_capture": first})


def test_another_version_or_option_is_no_second_time(connection: psycopg.Connection) -> None:
    text = content(EXAMPLE_A, "OTC|ZERO|n|v|NITE|0|0|2025-12-29")
    first = Run.made(connection).ingest(text, WEEK, "OTC", AT)
    again = Run.made(connection)
    version = again.aggregate(first, LATER, calc=("venue_share",), versions={"venue_share": "v2"})
    zeros = again.normalize(first, LATER + timedelta(hours=1), reject_zero_volume=False)
    validate(connection, again.capture_id)
    for capture in (version, zeros):
        assert checks(connection, capture)["determinism"] == ("PASS", {"captures": [], "tables": {}})
    assert checks(connection, zeros)["row_count_change"][1]["tables"]["venue_volume"]["rows"] == 6


def test_the_database_and_the_function_agree_on_what_is_the_same(connection: psycopg.Connection) -> None:
    run = Run.made(connection)
    one, same, other = (
        run.ingest(text, WEEK, "OTC", AT + timedelta(days=n)) for n, text in enumerate((A, A, RESTATED))
    )
    for capture in (same, other):
        pair = Pair("file", Captured(capture, LATER), Captured(one, AT))
        for table, found in compare(connection, [pair])[capture].items():
            expected = rows_equal_deterministic(rows(connection, table, one), rows(connection, table, capture))
            assert found is expected, table
            assert not rows_equal_deterministic(
                rows(connection, table, one), rows(connection, table, capture), ignore_capture=False
            )


def test_missing_weeks_are_named_by_tier(connection: psycopg.Connection) -> None:
    run = Run.made(connection, date(2025, 12, 1), date(2026, 1, 1))
    for tier, weeks in (("OTC", (5, 12, 19, 26)), ("ATS", (5, 26))):
        for day in weeks:
            run.ingest(A, date(2025, 12, day), tier, AT)
    validate(connection, run.capture_id)
    found = {
        key: (status, details["missing_weeks"])
        for key, status, details in connection.execute(
            "SELECT partition_key, status, details_json FROM core_quality WHERE check_name = 'missing_week'"
        )
    }
    assert found == {
        '{"tier": "OTC"}': ("PASS", []),
        '{"tier": "ATS"}': ("FAIL", ["2025-12-12", "2025-12-19"]),
    }


def test_a_tier_that_was_asked_for_and_a_week_that_is_not_out(connection: psycopg.Connection) -> None:
    run = Run.made(connection, WEEK, WEEK + timedelta(days=8), ["ATSB"], made_at="2026-01-04T00:00:00+00:00")
    validate(connection, run.capture_id)
    # 2026-01-02 is published on the Monday after the run.
    assert checks(connection, run.capture_id)["missing_week"][1]["missing_weeks"] == ["2025-12-26"]


def test_a_week_that_swings_is_worth_a_look(connection: psycopg.Connection) -> None:
    run = Run.made(connection)
    week = WEEK + timedelta(weeks=1)
    run.ingest(A, WEEK, "OTC", AT)
    # Of four venues three are left, with four times the volume.
    capture = run.ingest(content([*EXAMPLE_A[:2], ("FNMA", "CDEL", 7100000, 1)]), week, "OTC", AT)
    validate(connection, run.capture_id)
    assert status(connection, capture)["volume_swing"] == "WARN"
    assert status(connection, capture)["venue_count_drop"] == "WARN"


def test_an_unknown_run_is_refused(connection: psycopg.Connection) -> None:
    with pytest.raises(Failed, match="there is no run finra-1 of finra"):
        validate(connection, "finra-1")


def test_every_stage_again_gives_the_same_rows(connection: psycopg.Connection, tmp_path: Path) -> None:
    weeks = runs.weeks(7)
    runs.write(tmp_path, weeks, ("OTC", "ATS"))
    (tmp_path / "nonsense.csv").write_text("nothing")
    first = runs.done(connection, runs.asked(tmp_path, weeks[0], weeks[-1]))
    assert {check.status for check in validate(connection, first.run) if check.name == "determinism"} == {"PASS"}
    again = runs.done(connection, runs.asked(None, weeks[0], weeks[-1], force=True))
    validate(connection, again.run)
    latest = next(
        capture
        for unit in again.units("applied")
        if unit.stage == "snapshot" and unit.locator.week == weeks[-1]
        for capture in unit.writes
    )
    status, details = checks(connection, latest)["determinism"]
    # Rolling figures and what reads them are of the new summaries: another input.
    assert (status, set(details["tables"].values())) == ("PASS", {True})
    assert {"venue_volume", "symbol_summary", "venue_share"} <= set(details["tables"])

    rolled = runs.done(connection, runs.asked(None, weeks[0], weeks[-1], calc=["compute_rolling"], force=True))
    once_more = runs.done(connection, runs.asked(None, weeks[0], weeks[-1], calc=["compute_rolling"], force=True))
    validate(connection, once_more.run)
    of_rolled = {capture for unit in rolled.units("applied") for capture in unit.writes}
    compared = [checks(connection, one)["determinism"] for unit in once_more.units("applied")
                for one in unit.writes]  # fmt: skip
    assert {status for status, _ in compared} == {"PASS"}
    full = [details for _, details in compared if details["tables"] == {"symbol_rolling_6w": True}]
    # Two of seven weeks have a whole window, in two tiers.
    assert len(full) == 4
    assert {capture for details in full for capture in details["captures"]} <= of_rolled
