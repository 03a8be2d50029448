"""What every domain has over HTTP: captures, units, letters, explanations, coverage, gaps, status, metrics."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from rederive.settings import Settings
from schemas.table import Mode
from tests.another import Version
from tests.betfair.replay.log import fill, line
from tests.betfair.replay.stored import replay
from tests.betfair.reports import made
from tests.http.asking import get
from tests.sinks.made_tables import make_capture
from tests.wait import until

pytestmark = pytest.mark.services


def test_a_run_as_it_is_seen(
    settings: Settings,
    connection: psycopg.Connection,
    http: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    made.market(connection, "1.1")
    for key in range(1, 5):
        made.snapshot(connection, key, "1.1", made.START + timedelta(minutes=key))
    fill(settings, [(line(key), [], None) for key in (1, 2, 3)] + [(line(4, raw={}), [], None)])
    Version(monkeypatch, tmp_path / "other").poisoned("betfair", b'"snapshot_id":2,')
    # One of each has nobody who joins later: what is done is committed when it leaves.
    alone = settings.model_copy(update={"workers": 1, "sinks": 1})
    capture = str(replay(alone, "replay-topic", "betfair", "--apart", code=1)["capture_id"])

    page = get(http, "/api/captures")
    assert ([one["capture_id"] for one in page["captures"]], page["next"]) == ([capture], None)
    shown = get(http, "/api/captures/latest:betfair")
    assert (shown["capture_id"], shown["state"], shown["updated"], shown["units_dead"]) == (capture, "complete", 2, 1)
    assert {one["reason"]: one["count"] for one in shown["problems"]} == {"no_payload": 1}
    assert "a poison" in shown["dead"][0]["failure"]
    units = get(http, f"/api/captures/{capture}/units", limit=3)
    assert ([one["unit"] for one in units["units"]], units["next"]) == ([0, 1, 2], 2)
    rest = get(http, f"/api/captures/{capture}/units", limit=3, after=2)
    assert ([one["unit"] for one in rest["units"]], rest["next"]) == ([3], None)
    (dead,) = get(http, f"/api/captures/{capture}/units", state="dead")["units"]
    assert dead["errors"] == 1

    letters = get(http, "/api/domains/betfair/dead-letters")
    (letter,) = letters["letters"]
    assert (letters["total"], letters["next"], letter["state"], letter["capture"]) == (1, None, "dead", capture)
    place = f"/api/domains/betfair/dead-letters/{letter['partition']}/{letter['offset']}"
    whole = get(http, place)
    assert (whole["payload"]["encoding"], whole["payload"]["content"]) == ("text", line(2).decode())
    assert "rederive-error" in {one["name"] for one in whole["headers"]} or whole["headers"]
    coded = get(http, place, encoding="base64")["payload"]
    assert base64.b64decode(coded["content"]) == line(2)
    saved = http.get(f"{place}/payload")
    assert (saved.content, saved.headers["content-type"]) == (line(2), "application/octet-stream")
    assert saved.headers["content-disposition"].startswith("attachment;")
    assert get(http, "/api/domains/betfair/dead-letters", reason="another")["total"] == 0
    assert get(http, "/api/domains/betfair/dead-letters", state="applied")["total"] == 0
    get(http, "/api/domains/betfair/dead-letters/0/99999", 404)
    get(http, "/api/domains/betfair/dead-letters", 422, origin="nowhere")
    get(http, "/api/domains/betfair/dead-letters", 404, after="nowhere")

    explained = get(http, "/api/domains/betfair/explain", key="1", column="home_risk")
    assert (explained["stored"]["value"], explained["computed"]["equal"]) == (-477.6000000000001, True)
    assert explained["capture"]["capture_id"] == capture
    get(http, "/api/domains/betfair/explain", 404, key="99", column="home_risk")
    get(http, "/api/domains/betfair/explain", 422, key="1", column="home_rusk")

    # A sink commits its offsets behind its rows.
    until(lambda: _behind(http) == {0}, 30, "a lane is not there, or doesn't say that it has done everything")
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json()["why"]) == (200, [])

    text = http.get("/metrics").text
    values = {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["rederive_up", "kafka"] == values["rederive_up", "postgres"] == 1
    assert values["rederive_rows_total", "betfair", "replay", "updated"] == 2
    assert values["rederive_rows_total", "betfair", "replay", "skipped"] == 1
    assert values["rederive_units", "betfair", "replay", "dead"] == 1
    assert values["rederive_captures", "betfair", "complete"] == 1
    assert values["rederive_lag_records", "betfair", "sinks", "replay"] == 0
    assert values["rederive_dead_letter_records", "betfair"] == 1


def _behind(http: TestClient) -> set[int]:
    return {one["records_behind"] for one in get(http, "/api/status")["lag"] if ".replay." in one["group"]}


def test_captures_by_page_newest_first(connection: psycopg.Connection, http: TestClient) -> None:
    ids = [make_capture(connection, number, Mode.FILL, 1) for number in range(1, 8)]
    connection.execute("UPDATE rederive.captures SET domain = 'racing' WHERE number = 3")
    seen: list[str] = []
    before: dict[str, str] = {}
    while True:
        page = get(http, "/api/captures", limit=3, **before)
        seen += [one["capture_id"] for one in page["captures"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert seen == ids[::-1]
    assert [one["capture_id"] for one in get(http, "/api/captures", domain="racing")["captures"]] == [ids[2]]
    assert get(http, "/api/captures", state="cancelled")["captures"] == []
    get(http, "/api/captures", 404, before="nothing")
    get(http, "/api/captures", 422, domain="nothing")
    get(http, "/api/captures/nothing", 404)
    get(http, "/api/captures/nothing/units", 404)


def test_coverage_by_day_week_and_month(connection: psycopg.Connection, http: TestClient) -> None:
    path = "/api/domains/betfair/coverage"
    assert get(http, path)["rows"] == 0
    made.market(connection, "1.1")
    for number, days in enumerate((0, 0, 1, 7, 30), start=1):
        made.snapshot(connection, number, "1.1", made.START + timedelta(days=days, minutes=number))
        made.derived(connection, number, {"home_risk": 1.0 if number > 1 else None})
    everything = until(lambda: _counted(http, path, 5), 30, "the rows aren't counted")
    assert [(one["start"], one["rows"]) for one in everything["spans"]] == [
        ("2026-03-10", 1), ("2026-02-15", 1), ("2026-02-09", 1), ("2026-02-08", 2),
    ]  # fmt: skip
    risk = get(http, path, column="home_risk")
    assert (risk["columns"], risk["nulls"]) == (["home_risk"], [1])
    assert [one["nulls"] for one in risk["spans"]] == [[0], [0], [0], [1]]
    some = get(http, path, **{"from": "2026-02-09", "to": "2026-02-15"})
    assert (some["rows"], len(some["spans"])) == (2, 2)
    weeks = get(http, path, by="week")["spans"]
    assert [(one["start"], one["rows"]) for one in weeks] == [("2026-03-09", 1), ("2026-02-09", 2), ("2026-02-02", 2)]
    assert [one["rows"] for one in get(http, path, by="month")["spans"]] == [1, 4]
    first = get(http, path, limit=2)
    assert first["next"] == "2026-02-15"
    assert [one["start"] for one in get(http, path, limit=2, before=first["next"])["spans"]] == [
        "2026-02-09", "2026-02-08",
    ]  # fmt: skip
    (short,) = get(http, f"{path}/tables")
    assert (short["rows"], short["first"], short["last"], short["days"]) == (5, "2026-02-08", "2026-03-10", 4)
    get(http, path, 422, column="home_rusk")
    get(http, path, 422, table="nothing")
    get(http, path, 422, limit=4001)
    get(http, "/api/domains/nothing/coverage", 404)
    for domain in ("racing", "finra"):
        assert {one["rows"] for one in get(http, f"/api/domains/{domain}/coverage/tables")} <= {0, 19, 2}


def _counted(http: TestClient, path: str, rows: int) -> Any:
    found = get(http, path)
    return found if found["rows"] == rows else None


def test_gaps_and_the_command_that_fills_them(connection: psycopg.Connection, http: TestClient) -> None:
    made.market(connection, "1.1")
    made.snapshot(connection, 1, "1.1", made.START)
    path = "/api/domains/betfair/gaps"
    days = {"from": "2026-02-01", "to": "2026-02-28"}
    found = get(http, path, **days)
    assert [(one["kind"], one["day"], one["count"]) for one in found["gaps"]] == [("missing", "2026-02-08", 1)]
    (total,) = found["totals"]
    assert total["fill"].startswith("rederive gaps betfair --from 2026-02-01 --to 2026-02-28 --only missing --fill")
    get(http, path, 422)
    get(http, path, 422, **{"from": "2026-02-28", "to": "2026-02-01"})
    get(http, path, 422, **{"from": "2024-02-28", "to": "2026-02-01"})


def test_domains_with_their_tables(http: TestClient) -> None:
    found = {one["name"]: one for one in get(http, "/api/domains")}
    assert {"betfair", "finra", "racing"} <= set(found)
    (table,) = found["betfair"]["tables"]
    assert (table["name"], len(table["values"]), table["mode"]) == ("market_derived_metrics", 52, "fill")
