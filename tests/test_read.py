"""What is stored, read from Python: as polars frames, in a notebook."""

import importlib.util
from datetime import UTC, date, datetime, timedelta

import polars
import psycopg
import pytest

import rederive
from rederive.settings import Settings
from tests.betfair.replay.stored import replay, rows, scalar
from tests.betfair.reports.made import START, derived, market, payload, snapshot
from tests.program import ROOT, environment

pytestmark = pytest.mark.services


def test_rows_are_read_as_they_are_served_and_as_a_capture_computed_them(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    market(connection, "1.1")
    for number in range(1, 6):
        snapshot(connection, number, "1.1", START + timedelta(days=number), payload())
        derived(connection, number)
    connection.execute("UPDATE market_derived_metrics SET home_risk = 17 WHERE snapshot_id = 2")
    shadow = replay(settings, "replay", "betfair", "--mode", "shadow", "--all-rows", "--limit", "3")["capture_id"]

    served = rederive.read("betfair", settings=settings)
    assert served.height == 5
    assert served.schema["snapshot_id"] == polars.Int64
    assert served.schema["snapshot_at"] == polars.Datetime("us", "UTC")
    stored = rows(connection)
    assert {row["snapshot_id"]: row["home_risk"] for row in served.to_dicts()} == {
        number: row["home_risk"] for number, row in stored.items()
    }
    computed = rederive.read("betfair", columns=["l3", "home_risk"], capture=str(shadow), settings=settings)
    assert computed.columns == [
        "snapshot_id",
        "home_book_risk_l3",
        "away_book_risk_l3",
        "draw_book_risk_l3",
        "home_risk",
    ]
    assert computed["snapshot_id"].to_list() == [1, 2, 3]
    assert computed["home_risk"].null_count() == 0
    assert computed["home_risk"][1] != 17

    day = (START + timedelta(days=2)).date()
    two = rederive.read("betfair", "metrics", start=day, end=day + timedelta(days=1), columns=[], settings=settings)
    assert two.to_dict(as_series=False) == {"snapshot_id": [2, 3]}
    assert rederive.read("betfair", limit=1, settings=settings).height == 1
    weeks = rederive.read("finra", "finra_otc_transparency_venue_share", start=date(2026, 1, 1), settings=settings)
    assert weeks.is_empty()
    assert weeks.schema["week_ending"] == polars.Date

    with pytest.raises(rederive.UsageError, match="no derived column home_risks"):
        rederive.read("betfair", columns=["home_risks"], settings=settings)
    with pytest.raises(rederive.UsageError, match=f"{shadow} is of betfair, not of finra"):
        rederive.read("finra", capture=str(shadow), settings=settings)
    with pytest.raises(rederive.UsageError, match="has no time zone"):
        rederive.read("betfair", start=datetime.now(UTC).replace(tzinfo=None), settings=settings)
    with pytest.raises(rederive.Failed, match="there is no capture nothing-1"):
        rederive.read("betfair", capture="nothing-1", settings=settings)

    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("notebook", ROOT / "docs/examples/notebook.py")
    assert spec is not None
    assert spec.loader is not None
    notebook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notebook)
    outputs, found = notebook.app.run()
    assert (found["served"].height, found["computed"].height) == (5, 3)
    assert found["by_day"]["rows"].to_list() == [1] * 5
    assert found["differing"]["snapshot_id"].to_list() == [1, 2, 3]
    assert any("3 were computed" in getattr(one, "text", "") for one in outputs)
    assert scalar(connection, "SELECT count(*) FROM rederive.captures") == 1
