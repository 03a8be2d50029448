"""`rederive captures verify` of replays: an undisturbed one holds, each piece of evidence that is changed is named."""

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from rederive.settings import Settings
from rederive.verification import parsed, said
from schemas.errors import UsageError
from tests.betfair.reports.made import START, market, payload, snapshot
from tests.program import rederive


@pytest.mark.parametrize("place", [("rows", ("1", "a=b")), ("rows", ()), ("rows", ('"',))])
def test_a_place_is_read_back(place: tuple[str, tuple[str, ...]]) -> None:
    assert parsed(said(place)) == place


@pytest.mark.parametrize("words", ["", "rows", "rows=1", "rows=[1]", "rows=x"])
def test_a_place_that_is_none_is_wrong_usage(words: str) -> None:
    with pytest.raises(UsageError, match="is no place"):
        parsed(words)


def verify(settings: Settings, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """Checks by their names, without their domain."""
    found = json.loads(rederive(settings, "captures", "verify", *words, "--json", code=code).stdout)
    assert found["ok"] is (code == 0)
    return {check["name"].partition(": ")[2]: check for check in found["checks"]}


def wrong(settings: Settings, *words: str) -> dict[str, list[str]]:
    """Why, of the checks that are wrong."""
    found = verify(settings, *words, code=1)
    return {name: [fault["why"] for fault in check["faults"]] for name, check in found.items() if not check["ok"]}


@pytest.fixture
def replayed(settings: Settings, connection: psycopg.Connection) -> psycopg.Connection:
    """A replay of five snapshots, of which one is skipped and one is an error."""
    market(connection, "1.1")
    market(connection, "1.2", ids=(None, None, None))
    for number in range(5):
        of, raw = ("1.2", payload()) if number == 3 else ("1.1", payload())
        snapshot(connection, number, of, START + timedelta(minutes=number), [] if number == 4 else raw)
    rederive(settings, "replay", "betfair", code=1)
    return connection


@pytest.mark.services
def test_a_replay_holds_until_its_evidence_is_changed(settings: Settings, replayed: psycopg.Connection) -> None:
    def change(query: str) -> None:
        assert replayed.execute(query).rowcount > 0

    clean = verify(settings)
    assert set(clean) == {"units", "counts", "problems", "origins", "market_derived_metrics"}
    assert clean["market_derived_metrics"]["looked_at"] == "3 rows"
    assert verify(settings, "latest") == clean
    no_key = rederive(settings, "captures", "verify", "--after", 'market_derived_metrics=["x"]', code=2).stderr
    assert "--after names no key of market_derived_metrics" in no_key
    shown = rederive(settings, "captures", "verify", "latest").stdout
    assert "ok       betfair: market_derived_metrics: 3 rows" in shown
    assert shown.endswith("all holds\n")

    change("UPDATE rederive.units SET updated = updated + 1")
    assert wrong(settings) == {"counts": ["5 rows, but 4 updated, 0 unchanged, 1 skipped, 1 errors"]}
    change("UPDATE rederive.units SET updated = updated - 1")

    change("DELETE FROM rederive.problems WHERE reason = 'error'")
    assert wrong(settings, "latest:betfair") == {"problems": ["1 skipped and 1 errors, but 1 problem"]}
    change("UPDATE rederive.units SET errors = 0, rows = rows - 1")
    assert all(check["ok"] for check in verify(settings).values())

    change("UPDATE rederive.origins SET applied = '{}'")
    assert wrong(settings) == {"origins": ["its unit has an outcome, and nothing notes the record"]}
    change("UPDATE rederive.origins SET applied = '{[0,1)}'")

    change("UPDATE market_derived_metrics SET home_risk = 7, merge_xid = pg_current_xact_id()::xid "
           "WHERE snapshot_id = 1")  # fmt: skip
    (fault,) = verify(settings, code=1)["market_derived_metrics"]["faults"]
    assert (fault["key"], fault["column"], fault["served"]) == (["1"], "home_risk", "7")
    told = rederive(settings, "captures", "verify", code=1).stdout
    assert "market_derived_metrics 1 home_risk: served 7, wanted -" in told
    assert "do: see who has written there by hand" in told
    assert told.endswith("1 fault in 1 check\n")
    # Behind it nothing is wrong, and nothing else is looked at.
    assert set(verify(settings, "--after", said(("market_derived_metrics", ("1",))))) == {"market_derived_metrics"}
    change("DELETE FROM market_derived_metrics WHERE snapshot_id = 1")
    (note,) = verify(settings)["market_derived_metrics"]["apart"]
    assert note == "1 row deleted from outside, a replay of their keys brings them back: 1"

    change("UPDATE rederive.units SET state = 'sent'")
    found = verify(settings, code=1)["units"]
    assert [fault["why"] for fault in found["faults"]] == ["1 unit of 1 without an outcome"]
    assert found["mends"][0].startswith("rederive captures resume betfair-")
    change("UPDATE rederive.units SET state = 'dead', updated = 0, skipped = 0, errors = rows")
    assert wrong(settings)["units"] == ["1 unit dead without a reason"]
    change("UPDATE rederive.units SET failure = 'refused'")
    assert "1 unit dead" in verify(settings)["units"]["apart"][0]


@pytest.mark.services
def test_a_capture_that_is_rolled_back_leaves_nothing(settings: Settings, replayed: psycopg.Connection) -> None:
    replayed.execute("CREATE TABLE kept AS TABLE rederive.market_derived_metrics_history")
    rederive(settings, "captures", "rollback", "latest", "--yes")
    assert all(check["ok"] for check in verify(settings).values())
    replayed.execute("INSERT INTO rederive.market_derived_metrics_history TABLE kept")
    assert wrong(settings, "latest")["units"] == [
        "it is rolled back, and market_derived_metrics has 3 rows of its history left"
    ]


@pytest.mark.services
def test_where_nothing_has_been_made_nothing_is_wrong(settings: Settings, migrated: str) -> None:  # noqa: ARG001
    assert rederive(settings, "captures", "verify").stdout == "no capture has been made yet\n"
    assert "there is no capture x" in rederive(settings, "captures", "verify", "x", code=1).stderr
