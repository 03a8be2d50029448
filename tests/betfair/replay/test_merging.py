"""Fill, supersede, rollback and the log, through whole runs."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from rederive.settings import Settings
from tests.betfair.replay.log import HEADERS, fill, line
from tests.betfair.replay.stored import counts, fingerprint, replay, rows, scalar
from tests.betfair.reports.made import START, derived, market, snapshot
from tests.program import last_object, rederive

pytestmark = pytest.mark.services


def test_fill_supersede_and_both_rolled_back(settings: Settings, connection: psycopg.Connection) -> None:
    market(connection, "1.1")
    for identifier in (1, 2, 3):
        snapshot(connection, identifier, "1.1", START + timedelta(minutes=identifier))
    derived(connection, 1, {"total_volume": 0.0, "home_best_back_size_l1": 5.0})
    derived(connection, 2)
    at_first = rows(connection)

    filled = replay(settings, "replay", "betfair")
    assert (filled["mode"], *counts(filled)) == ("fill", 3, 0, 0)
    then = rows(connection)
    # Worked example E6: a stored 0.0 is a value.
    assert [then[1][name] for name in ("total_volume", "home_risk", "home_best_back_size_l1")] == [
        0.0, -477.6000000000001, 5.0,
    ]  # fmt: skip
    assert then[3]["total_volume"] == then[2]["total_volume"] == 10432.7

    superseded = replay(
        settings,
        "replay",
        "betfair",
        "--mode",
        "supersede",
        "--all-rows",
        "--columns",
        "total_volume,best_back_size_l1",
    )
    assert (superseded["unchanged"], *counts(superseded)) == (2, 1, 0, 0)
    now = rows(connection)
    assert now[1] == {**then[1], "total_volume": 10432.7, "home_best_back_size_l1": 200.0}
    assert {identifier: now[identifier] for identifier in (2, 3)} == {2: then[2], 3: then[3]}

    one, two = filled["capture_id"], superseded["capture_id"]
    stored = fingerprint(connection)
    preview = last_object(rederive(settings, "captures", "rollback", two, "--dry-run", "--json").stdout)
    assert preview == {
        "dry_run": True, "tables": {"market_derived_metrics": {"entries": 3, "changed": 1, "deleted": 0}},
    }  # fmt: skip
    refused = rederive(settings, "captures", "rollback", two, code=2)
    assert "--yes" in refused.stderr
    assert fingerprint(connection) == stored

    rederive(settings, "captures", "rollback", two, "--yes")
    assert rows(connection) == then
    assert rows_named_by(connection, two) == 0
    again = rederive(settings, "captures", "resume", two, code=1)
    assert f"{two} is rolled-back" in again.stderr
    text = rederive(settings, "captures", "rollback", one, "--yes").stdout
    assert "market_derived_metrics" in text
    assert rows(connection) == at_first
    listed = rederive(settings, "captures", "list").stdout
    assert listed.count("rolled-back") == 2


def rows_named_by(connection: psycopg.Connection, capture_id: str) -> int:
    found = scalar(connection, "SELECT count(*) FROM market_derived_metrics WHERE capture_id = %s", capture_id)
    assert isinstance(found, int)
    return found


def test_a_log_is_replayed_by_send_time_and_mode(settings: Settings, connection: psycopg.Connection) -> None:
    missing = rederive(settings, "replay-topic", "betfair", code=1)
    assert f"there is no topic {settings.topic_prefix}betfair.log" in missing.stderr
    assert "do:" in missing.stderr

    market(connection, "1.1")
    for identifier in (1, 2, 3, 4):
        snapshot(connection, identifier, "1.1", START + timedelta(minutes=identifier))
        derived(connection, identifier, {"home_lay_odds": 9.9})
    today = datetime.now(UTC)
    sent = [today - timedelta(days=days) for days in (5, 3, 1)]
    fill(
        settings,
        [
            (line(1) + b"\n\n" + line(2) + b"\n", HEADERS, sent[0]),
            (line(3), [], sent[1]),
            (line(4), [("trace", b"\xff"), ("rederive-columns", b"home_risk")], sent[2]),
        ],
    )

    day = f"{sent[1]:%Y-%m-%d}"
    filled = replay(settings, "replay-topic", "betfair", "--since", day, "--until", day, "--mode", "fill")
    assert (filled["processed"], *counts(filled)) == (1, 1, 0, 0)
    now = rows(connection)
    assert [(now[n]["home_lay_odds"], now[n]["home_risk"]) for n in (1, 2, 3, 4)] == [
        (9.9, None), (9.9, None), (9.9, -477.6000000000001), (9.9, None),
    ]  # fmt: skip

    since = f"{sent[0] + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
    dry = replay(settings, "replay-topic", "betfair", "--since", since, "--dry-run")
    assert (dry["mode"], *counts(dry)) == ("supersede", 2, 0, 0)
    assert rows(connection) == now

    mended = replay(settings, "replay-topic", "betfair", "--reason", "lay odds were swapped")
    assert (mended["processed"], *counts(mended)) == (4, 4, 0, 0)
    # Which columns a record was first computed for doesn't matter: all are recomputed.
    assert all(
        (row["home_lay_odds"], row["home_risk"]) == (1.91333333, -477.6000000000001)
        for row in rows(connection).values()
    )
    shown = last_object(rederive(settings, "captures", "show", mended["capture_id"], "--json").stdout)
    assert (shown["reason"], shown["source"], shown["state"]) == ("lay odds were swapped", "log", "complete")

    nothing = replay(settings, "replay-topic", "betfair", "--since", f"{today:%Y-%m-%d}")
    assert nothing["processed"] == 0
    assert "nothing to do" in nothing["log"]
