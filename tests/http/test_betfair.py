"""Betfair's paths (betfair spec, section 9), on worked examples E1 to E4."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
import psycopg
import pytest
from starlette.testclient import TestClient

from processors.betfair.book import read_book
from processors.betfair.general import book_values
from processors.betfair.validators import VALIDATORS, validators
from schemas.betfair.tables import METRICS, ROLES
from tests.betfair.reports import made
from tests.http.asking import get

pytestmark = pytest.mark.services

MARKET = "1.253489253"
KICKOFF = datetime(2026, 2, 14, 17, tzinfo=UTC)
RANGE = {"from_ts": "2026-02-14T00:00:00Z", "to_ts": "2026-02-15T00:00:00+00:00"}
E1 = dict(zip(METRICS, book_values(read_book(made.PAYLOAD, {"home": 11, "away": 22, "draw": 33})), strict=True))


def store(connection: psycopg.Connection, snapshot_id: int, at: datetime, **values: float | None) -> None:
    made.snapshot(connection, snapshot_id, MARKET, at)
    made.derived(connection, snapshot_id, {**E1, **values})


@pytest.fixture
def market(connection: psycopg.Connection) -> psycopg.Connection:
    made.market(connection, MARKET, name="Lazio v Atalanta", kickoff=KICKOFF)
    connection.execute(
        "UPDATE market_event_metadata SET market_name = 'Match Odds', competition_name = 'Serie A / 1',"
        " home_runner_name = 'Lazio', away_runner_name = 'Atalanta', draw_runner_name = 'The Draw'"
    )
    return connection


def test_the_newest_snapshot_of_each_interval_ascending(market: psycopg.Connection, http: TestClient) -> None:
    at = [0.0, 1, 14 * 60 + 59.9, 15 * 60, 47 * 60]
    for number, seconds in enumerate(at, start=1):
        store(market, number, KICKOFF + timedelta(seconds=seconds), total_volume=float(number))
    path = f"/events/{MARKET}/timeseries"
    points = get(http, path, **RANGE)
    assert [one["total_volume"] for one in points] == [3.0, 4.0, 5.0]
    assert points[0]["snapshot_at"] == "2026-02-14T17:14:59.900000+00:00"
    assert [one["total_volume"] for one in get(http, path, **RANGE, interval_minutes=60)] == [5.0]
    assert [one["total_volume"] for one in get(http, path, **RANGE, interval_minutes=1)] == [2.0, 3.0, 4.0, 5.0]
    # Both bounds belong to it.
    bounds = {"from_ts": "2026-02-14T17:15:00+00:00", "to_ts": "2026-02-14T17:47:00"}
    assert [one["total_volume"] for one in get(http, path, **bounds)] == [4.0, 5.0]


def test_points_have_the_figures_of_the_worked_example(market: psycopg.Connection, http: TestClient) -> None:
    store(market, 1, KICKOFF)
    path = f"/events/{MARKET}/timeseries"
    (plain,) = get(http, path, **RANGE)
    assert plain["imbalance"] == {
        "home": -477.6000000000001, "away": -443.39999999999986, "draw": -324.39999999999986,
    }  # fmt: skip
    assert [plain[f"{role}_risk"] for role in ROLES] == list(plain["imbalance"].values())
    assert [plain[f"{role}_book_risk_l3"] for role in ROLES] == [83.89999999999992, -209.0, -89.5]
    assert (plain["home_best_back"], plain["home_back_odds_l2"], plain["away_back_odds_l3"]) == (1.9, 1.89, None)
    assert not {"impedance", "impedanceNorm", "impedanceInputs"} & set(plain)

    (whole,) = get(http, path, **RANGE, include_impedance="true")
    assert whole["impedance"] == {"home": -495.5, "away": -624.0, "draw": 1236.25}
    assert whole["impedanceNorm"] == {"home": -0.33143813, "away": -0.4173913, "draw": 0.82692308}
    assert whole["impedanceInputs"]["home"] == {
        "backStake": 430.0, "backOdds": 1.8927907, "backProfit": (1.8927907 - 1) * 430.0,
        "layStake": 180.0, "layOdds": 1.91333333, "layLiability": (1.91333333 - 1) * 180.0,
    }  # fmt: skip
    (some,) = get(http, path, **RANGE, include_impedance="true", include_impedance_inputs="false")
    assert "impedance" in some
    assert "impedanceInputs" not in some


def test_an_unknown_market_is_404_a_known_one_without_rows_is_empty(
    market: psycopg.Connection, http: TestClient  # noqa: ARG001
) -> None:  # fmt: skip
    for path in ("/events/{}/timeseries", "/debug/markets/{}/snapshots", "/stream/events/{}/buckets",
                 "/stream/events/{}/timeseries"):  # fmt: skip
        assert get(http, path.format(MARKET)) == []
        assert get(http, path.format("1.9"), 404)["what"] == "market 1.9 is unknown"
    assert get(http, f"/events/{MARKET}/timeseries", from_ts="2026-03-01", to_ts="2026-02-01") == []
    for path in ("/events/{}/latest_raw", "/stream/events/{}/replay_snapshot"):
        get(http, path.format(MARKET), 404)
    get(http, "/events/1.9/meta", 404)
    get(http, "/debug/snapshots/9/raw", 404)


@pytest.mark.parametrize(
    ("path", "name", "values"),
    [
        (f"/debug/markets/{MARKET}/snapshots", "limit", ["0", "501", "-1", "many", "1.5", "99999999999999999999"]),
        (f"/events/{MARKET}/timeseries", "interval_minutes", ["0", "61", "x"]),
        (f"/events/{MARKET}/timeseries", "from_ts", ["yesterday", "2026-02-30", "0001-01-01T00:00:00+23:59"]),
        ("/events/1.unknown/timeseries", "interval_minutes", ["0"]),
        ("/debug/markets/1.unknown/snapshots", "limit", ["501"]),
        ("/leagues", "limit", ["0", "201"]),
        ("/events/book-risk-focus", "limit", ["0", "1001"]),
    ],
)
def test_what_is_out_of_range_is_refused_before_anything_is_looked_for(
    http: TestClient, path: str, name: str, values: list[str]
) -> None:
    for value in values:
        problem = get(http, path, 422, **{name: value})
        assert name in problem["what"]
    get(http, "/debug/snapshots/x/raw", 422)
    get(http, f"/debug/snapshots/{2**63}/raw", 422)


def test_snapshots_newest_first_with_validators_and_never_a_payload(
    market: psycopg.Connection, http: TestClient
) -> None:
    for number in range(1, 4):
        store(market, number, KICKOFF + timedelta(minutes=number))
    made.snapshot(market, 4, MARKET, KICKOFF - timedelta(days=7, hours=1))
    made.snapshot(market, 5, MARKET, KICKOFF - timedelta(days=6, hours=23))
    path = f"/debug/markets/{MARKET}/snapshots"
    to = {"to_ts": (KICKOFF + timedelta(minutes=3)).isoformat()}
    rows = get(http, path, from_ts="2020-01-01", **to)
    assert [row["snapshot_id"] for row in rows] == [3, 2, 1, 5]
    (first,) = get(http, path, from_ts="2026-02-14", limit=1, **to)
    assert first == rows[0]
    assert {"raw_payload", *(f"{role}_selection_id" for role in ROLES)}.isdisjoint(first)
    assert set(METRICS) | set(VALIDATORS) <= set(first)
    assert (first["mdm_total_volume"], first["event_name"], first["meta_market_name"], first["home_runner_name"]) == (
        10432.7, "Lazio v Atalanta", "Match Odds", "Lazio",
    )  # fmt: skip
    assert first["mbs_source"] == "rest_listMarketBook"
    # E1: sizes 200 + 150 + 80 at 1.9, 1.89, 1.88.
    assert first["home_back_size_sum_N"] == 430.0
    liability = 200 * (1.9 - 1.0) + 150 * (1.89 - 1.0) + 80 * (1.88 - 1.0)
    assert first["home_back_liability_sum_N"] == liability
    coverage = 430.0 / 10432.7
    assert first["home_roi_N"] == liability / 430.0
    assert first["home_coverage_N"] == coverage
    assert first["home_roi_toxic_N"] == liability / 430.0 * (1.0 - coverage)
    # A snapshot without a derived row is there, its metrics are null; validators need none.
    assert (rows[-1]["home_risk"], rows[-1]["home_back_size_sum_N"], rows[-1]["home_coverage_N"]) == (
        None, 430.0, 430.0 / (430.0 + 120.0 + 180.0),
    )  # fmt: skip


def test_an_unescaped_plus_of_an_offset_is_understood(market: psycopg.Connection, http: TestClient) -> None:
    store(market, 1, KICKOFF)
    answer = http.get(f"/events/{MARKET}/timeseries?from_ts=2026-02-14T17:00:00+00:00&to_ts=2026-02-14 18:00:00")
    assert len(answer.json()) == 1


def test_payloads_are_given_as_they_are_and_large_ones_as_a_preview(
    market: psycopg.Connection, http: TestClient
) -> None:
    made.snapshot(market, 1, MARKET, KICKOFF, {"n": 1, "exact": 0.1, "text": "é<script>"})
    exact = "12345678901234567890.10"
    market.execute("UPDATE market_book_snapshots SET raw_payload = jsonb_set(raw_payload, '{n}', %s::jsonb)", [exact])
    one = http.get("/debug/snapshots/1/raw")
    assert exact.encode() in one.content
    assert orjson.loads(one.content)["truncated"] is False
    size = one.json()["raw_payload_size_bytes"]
    (stored,) = market.execute("SELECT octet_length(raw_payload::text) FROM market_book_snapshots").fetchone() or (0,)
    assert size == stored
    assert get(http, f"/events/{MARKET}/latest_raw") == one.json()

    made.snapshot(market, 2, MARKET, KICKOFF + timedelta(minutes=1), {"long": "é" * 40_000})
    large = get(http, f"/events/{MARKET}/latest_raw")
    assert (large["snapshot_id"], large["truncated"]) == (2, True)
    assert large["raw_payload_size_bytes"] > 80_000
    assert large["raw_payload"].startswith('{"long": "éé')
    assert 50 * 1024 - 4 < len(large["raw_payload"].encode()) <= 50 * 1024


def test_leagues_and_their_events(market: psycopg.Connection, http: TestClient) -> None:
    store(market, 1, KICKOFF - timedelta(hours=1))
    store(market, 2, KICKOFF, home_book_risk_l3=None)
    around = {"from_ts": "2026-02-14", "to_ts": "2026-02-15"}
    assert get(http, "/leagues") == []
    assert get(http, "/leagues", **around) == [{"league": "Serie A / 1", "event_count": 1}]
    assert get(http, "/leagues", **around, q="ATALANTA") != []
    assert get(http, "/leagues", **around, q="%") == []
    (event,) = get(http, "/leagues/Serie%20A%20%2F%201/events", **around)
    assert (event["market_id"], event["latest_snapshot_at"]) == (MARKET, "2026-02-14T17:00:00+00:00")
    assert get(http, "/events/book-risk-focus", **around) == []
    assert get(http, "/events/book-risk-focus", **around, require_book_risk="false") == [event]
    assert get(http, f"/events/{MARKET}/meta") == {
        "market_id": MARKET,
        "event_name": "Lazio v Atalanta",
        "event_open_date": "2026-02-14T17:00:00+00:00",
        "competition_name": "Serie A / 1",
        "home_runner_name": "Lazio",
        "away_runner_name": "Atalanta",
        "draw_runner_name": "The Draw",
    }


WORDS = [
    "' OR 1=1 --",
    "1.1'; DROP TABLE market_book_snapshots; --",
    "%",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "\\",
    "{0}",
    "%s",
    "é" * 100,
]


@pytest.mark.parametrize("word", WORDS)
def test_words_are_never_code(market: psycopg.Connection, http: TestClient, word: str) -> None:
    store(market, 1, KICKOFF)
    for path in ("/events/{}/timeseries", "/events/{}/meta", "/debug/markets/{}/snapshots", "/api/captures/{}",
                 "/api/racing/horses/{}", "/api/racing/races/{}", "/api/finra/symbols/{}"):  # fmt: skip
        answer = http.get(path.replace("{}", quote(word, safe="")))
        assert answer.status_code in (404, 422), (path, answer.text)
        assert answer.headers["content-type"] == "application/json"
    assert http.get("/leagues", params={"q": word}).json() == []
    assert http.get("/api/captures", params={"domain": word}).status_code == 422
    assert market.execute("SELECT count(*) FROM market_book_snapshots").fetchone() == (1,)


def test_a_zero_byte_is_refused(http: TestClient) -> None:
    assert http.get("/events/a%00b/meta").status_code == 422
    assert http.get("/leagues?q=%00").status_code == 422


def test_validators_read_leniently() -> None:
    payload = {
        "runners": [
            {
                "selectionId": "11",
                "ex": {"available_to_back": [[1.5, 10], [0.5, 4], {"Price": 3, "size": "2"}, [9, 9]]},
            },
            {"selectionId": 22, "ex": {"availableToBack": []}},
        ]
    }
    ids = {"home": 11, "away": 22, "draw": 33}
    found = validators(payload, ids, 3, {"total_volume": 8.0, "total_matched": None})
    assert found["home_back_size_sum_N"] == 16.0
    assert found["home_back_liability_sum_N"] == 10 * 0.5 + 4 * -0.5 + 2 * 2.0
    assert found["home_coverage_N"] == 1.0
    assert found["home_roi_toxic_N"] == 0.0
    assert (found["away_back_size_sum_N"], found["away_roi_N"], found["away_coverage_N"]) == (0.0, None, 0.0)
    assert found["draw_back_size_sum_N"] is found["draw_coverage_N"] is None
    deeper = validators(payload, ids, 4, {"total_volume": 0.0, "total_matched": 50.0})
    assert deeper["home_back_size_sum_N"] == 25.0
    assert deeper["home_coverage_N"] == 25.0 / 50.0
    nothing = validators({}, ids, 0, {"total_volume": None, "total_matched": None})
    assert set(nothing.values()) == {None}
    odd = {"runners": [None, 1, {"selectionId": [1]}, {"selectionId": 11, "ex": 3}]}
    junks: list[Any] = [None, 1, [], {"runners": {}}, odd]
    for junk in junks:
        assert set(validators(junk, ids, None, {})) == set(VALIDATORS)


def test_a_reader_waits_for_no_writer_and_holds_up_none(market: psycopg.Connection, http: TestClient) -> None:
    store(market, 1, KICKOFF)
    with market.transaction():
        market.execute("UPDATE market_derived_metrics SET total_volume = 2")
        market.execute("LOCK TABLE market_derived_metrics IN EXCLUSIVE MODE")
        (point,) = get(http, f"/events/{MARKET}/timeseries", **RANGE)
        assert point["total_volume"] == 10432.7
        raise psycopg.Rollback


def test_sessions_can_not_write(http: TestClient, market: psycopg.Connection) -> None:  # noqa: ARG001
    reads = http.app.state.reads  # type: ignore[attr-defined]
    with reads.connection() as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("DELETE FROM market_book_snapshots")


@pytest.fixture
def ticks(market: psycopg.Connection) -> psycopg.Connection:
    market.execute("CREATE SCHEMA stream_ingest")
    market.execute(
        """CREATE TABLE stream_ingest.ladder_levels (market_id varchar(32), selection_id bigint, side char(1),
               level smallint, price float8, size float8, publish_time timestamptz, received_time timestamptz,
               PRIMARY KEY (market_id, selection_id, side, level, publish_time))"""
    )
    market.execute(
        """CREATE TABLE stream_ingest.market_liquidity_history (market_id text, publish_time timestamptz,
               total_matched numeric(20, 2), max_runner_ltp numeric(10, 2), PRIMARY KEY (market_id, publish_time))"""
    )
    return market


def tick(
    connection: psycopg.Connection, selection: int, seconds: float, price: float, size: float, side: str = "B"
) -> None:
    connection.execute(
        "INSERT INTO stream_ingest.ladder_levels VALUES (%s, %s, %s, 0, %s, %s, %s, now())",
        [MARKET, selection, side, price, size, KICKOFF + timedelta(seconds=seconds)],
    )


def e5(connection: psycopg.Connection) -> None:
    """Worked example E5: the bucket of 17:00."""
    for selection, seconds, price, size in (
        (11, -5, 2.2, 40), (11, 210, 2.24, 55), (11, 540, 2.18, 12.5), (22, -60, 3.5, 31), (33, 0, 3.3, 18),
        (33, 450, 3.4, 22),
    ):  # fmt: skip
        tick(connection, selection, seconds, price, size)
    connection.execute(
        "INSERT INTO stream_ingest.market_liquidity_history VALUES (%s, %s, 1234.5, NULL)", [MARKET, KICKOFF]
    )


def test_medians_of_a_bucket_are_those_of_the_worked_example(ticks: psycopg.Connection, http: TestClient) -> None:
    e5(ticks)
    path = f"/stream/events/{MARKET}/buckets"
    (bucket,) = get(http, path, from_ts="2026-02-14T17:00:00Z", to_ts="2026-02-14T17:15:00Z")
    assert (bucket["bucket_start"], bucket["bucket_end"]) == ("2026-02-14T17:00:00+00:00", "2026-02-14T17:15:00+00:00")
    medians = [bucket[f"{role}_back_{what}_median"] for role in ROLES for what in ("odds", "size")]
    assert medians == [2.2, 40.0, 3.5, 31.0, 3.4, 18.0]
    assert [bucket[f"{role}_seconds_covered"] for role in ROLES] == [900.0] * 3
    assert [bucket[f"{role}_update_count"] for role in ROLES] == [2, 0, 1]
    assert [bucket[f"{role}_book_risk_l3"] for role in ROLES] == [-0.9999999999999929, 19.5, -27.800000000000004]
    assert bucket["impedance_index_15m"] == 0.08209549731963556
    assert (bucket["tick_count"], bucket["total_volume"], bucket["away_best_back"]) == (4, 1234.5, 3.5)
    aware = get(http, path, event_aware="true")
    assert [one["bucket_start"][11:16] for one in aware] == ["16:45", "17:00"]
    assert aware[1]["impedance_index_15m"] == bucket["impedance_index_15m"]
    assert get(http, path) != []
    assert len(get(http, path)) == 12


def test_a_baseline_is_looked_for_15_minutes_back_in_bulk_and_however_far_by_bucket(
    ticks: psycopg.Connection, http: TestClient
) -> None:
    tick(ticks, 11, -1000, 2.0, 5)
    around = {"from_ts": "2026-02-14T17:00:00Z", "to_ts": "2026-02-14T17:15:00Z"}
    (bucket,) = get(http, f"/stream/events/{MARKET}/buckets", **around)
    assert (bucket["home_back_odds_median"], bucket["home_seconds_covered"]) == (None, 0.0)
    (point,) = get(http, f"/stream/events/{MARKET}/timeseries", **around)
    assert (point["home_back_odds_median"], point["home_seconds_covered"]) == (2.0, 900.0)
    assert (point["home_book_risk_l3"], point["impedance_index_15m"]) == (None, None)


def test_which_buckets_there_are_and_a_market_as_it_was(ticks: psycopg.Connection, http: TestClient) -> None:
    e5(ticks)
    tick(ticks, 11, 30, 2.3, 7, side="L")
    found = get(http, f"/stream/events/{MARKET}/available-buckets")
    assert found["available_buckets"] == ["2026-02-14T16:45:00+00:00", "2026-02-14T17:00:00+00:00"]
    assert (found["earliest_bucket"], found["latest_bucket"]) == tuple(found["available_buckets"])
    was = get(http, f"/stream/events/{MARKET}/replay_snapshot", at_ts="2026-02-14T17:04:00Z")
    assert was["selections"][0] == {
        "selection_id": "11", "best_back_price": 2.24, "best_back_size": 55.0, "best_lay_price": 2.3,
        "best_lay_size": 7.0,
    }  # fmt: skip
    assert was["liquidity"] == {"total_matched": 1234.5, "available_to_back": 104.0, "available_to_lay": 7.0}
    get(http, f"/stream/events/{MARKET}/replay_snapshot", 404, at_ts="2026-02-14T16:00:00Z")
    horizon = get(http, "/stream/data-horizon")
    assert (horizon["total_rows"], horizon["oldest_tick"]) == (7, "2026-02-14T16:59:00+00:00")
    assert horizon["days"] == [{"day": "2026-02-14", "ladder_rows": 7, "markets": 1}]
    # A minute old at most.
    tick(ticks, 11, 31, 2.4, 7, side="L")
    assert get(http, "/stream/data-horizon") == horizon


def test_without_ticks_there_are_none(market: psycopg.Connection, http: TestClient) -> None:  # noqa: ARG001
    assert get(http, f"/stream/events/{MARKET}/available-buckets")["available_buckets"] == []
    assert get(http, "/stream/data-horizon") == {"oldest_tick": None, "newest_tick": None, "total_rows": 0, "days": []}
    get(http, f"/stream/events/{MARKET}/buckets", 422, from_ts="1990-01-01")


def test_a_backfill_is_validated_by_these_calls(market: psycopg.Connection, http: TestClient) -> None:
    """What people ask after a backfill: the newest row by the debug path, old rows by the timeseries, checkpoints."""
    at = datetime(2026, 2, 14, 17, 51, 58, 466790, tzinfo=UTC)
    shown = {
        "home_best_back_size_l1": 21.53,
        "away_best_back_size_l1": 164.01,
        "draw_best_back_size_l1": 614.0,
        "home_back_odds_l2": 10.0,
        "home_back_size_l2": 343.34,
        "away_back_odds_l2": 1.49,
        "away_back_size_l2": 3345.92,
        "draw_back_odds_l2": 4.0,
        "draw_back_size_l2": 1876.42,
    }
    store(market, 2, at, **shown)
    store(market, 1, KICKOFF - timedelta(hours=6), home_book_risk_l3=-8256.37)
    until = {"to_ts": "2026-02-14T18:00:00Z"}
    (row,) = get(http, f"/debug/markets/{MARKET}/snapshots", limit=1, from_ts="2026-02-14T00:00:00Z", **until)
    assert row["snapshot_at"] == "2026-02-14T17:51:58.466790+00:00"
    assert row["market_id"] == MARKET
    assert {name: row[name] for name in shown} == shown
    old = get(http, f"/events/{MARKET}/timeseries", from_ts="2026-02-14T10:00:00Z", to_ts="2026-02-14T12:00:00Z",
              include_impedance="true")  # fmt: skip
    assert [point["home_book_risk_l3"] for point in old] == [-8256.37]
    populated = ("home_best_back_size_l1", "away_best_back_size_l1", "draw_best_back_size_l1")
    assert all(old[0][name] is not None for name in populated)
    assert all(old[0]["impedanceInputs"][role]["backStake"] is not None for role in ROLES)


def test_values_that_json_has_no_word_for_are_null(market: psycopg.Connection, http: TestClient) -> None:
    store(market, 1, KICKOFF, home_risk=float("nan"), total_volume=float("inf"))
    (point,) = get(http, f"/events/{MARKET}/timeseries", **RANGE)
    assert (point["home_risk"], point["total_volume"]) == (None, None)
