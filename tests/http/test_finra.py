"""FINRA's paths, on rows of runs that are computed here."""

from datetime import timedelta

import psycopg
import pytest
from starlette.testclient import TestClient

from tests.finra.stored import Run
from tests.finra.texts import AT, EXAMPLE_A, WEEK, content
from tests.http.asking import get

pytestmark = pytest.mark.services


@pytest.fixture
def run(connection: psycopg.Connection) -> Run:
    made = Run.made(connection)
    made.ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    return made


def test_weeks_newest_first(run: Run, http: TestClient) -> None:
    run.ingest(content(EXAMPLE_A), WEEK, "OTC", AT + timedelta(hours=1))
    run.ingest(content(EXAMPLE_A), WEEK + timedelta(days=7), "OTC", AT)
    found = get(http, "/api/finra/weeks", limit=1)
    assert [(one["week_ending"], one["captures"]) for one in found["weeks"]] == [(str(WEEK + timedelta(days=7)), 1)]
    assert found["next"] == str(WEEK + timedelta(days=7))
    rest = get(http, "/api/finra/weeks", before=found["next"])
    assert [(one["week_ending"], one["tier"], one["captures"]) for one in rest["weeks"]] == [(str(WEEK), "OTC", 2)]
    assert rest["next"] is None


def test_a_week_its_venues_and_symbols(run: Run, connection: psycopg.Connection, http: TestClient) -> None:  # noqa: ARG001
    whole = get(http, f"/api/finra/weeks/{WEEK}")
    assert whole["week_ending"] == str(WEEK)
    assert {one["tier"] for one in whole["captures"]} == {"OTC"}
    venues = get(http, f"/api/finra/weeks/{WEEK}/venues", tier="OTC")
    assert [one["rank"] for one in venues] == list(range(1, len(venues) + 1))
    assert sum(one["market_share_pct"] for one in venues) == pytest.approx(1.0)
    everything = get(http, f"/api/finra/weeks/{WEEK}/symbols", tier="OTC")
    assert everything["next"] is None
    names = [one["symbol"] for one in everything["rows"]]
    assert names == sorted(names)
    paged: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = get(http, f"/api/finra/weeks/{WEEK}/symbols", tier="OTC", limit=1, **after)
        paged += [one["symbol"] for one in page["rows"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert paged == names
    symbol = names[0]
    of_symbol = get(http, f"/api/finra/symbols/{symbol}")
    assert of_symbol["summaries"][0]["total_volume"] == everything["rows"][0]["total_volume"]
    shares = get(http, f"/api/finra/weeks/{WEEK}/symbols/{symbol}/venues")
    assert sum(one["venue_share"] for one in shares) == pytest.approx(1.0)
    assert get(http, f"/api/finra/weeks/{WEEK}/rolling", tier="OTC") == {"rows": [], "next": None}
    quality = get(http, "/api/finra/quality", week=str(WEEK))
    assert quality["run"] is not None


def test_an_empty_week_is_empty_and_a_wrong_one_refused(http: TestClient) -> None:
    week = "2020-01-03"
    assert get(http, f"/api/finra/weeks/{week}")["captures"] == []
    assert get(http, f"/api/finra/weeks/{week}/venues") == []
    assert get(http, f"/api/finra/weeks/{week}/symbols", tier="NMS_TIER_1") == {"rows": [], "next": None}
    assert get(http, "/api/finra/weeks") == {"weeks": [], "next": None}
    get(http, "/api/finra/symbols/ZZZZ", 404)
    for path in ("/api/finra/weeks/2020-01-02", "/api/finra/weeks/yesterday", "/api/finra/quality?tier=T9",
                 f"/api/finra/weeks/{week}/symbols", f"/api/finra/weeks/{week}/venues?limit=501"):  # fmt: skip
        get(http, path, 422)
