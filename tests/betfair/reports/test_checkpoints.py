from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from rederive.betfair.checkpoints import checkpoints
from rederive.betfair.columns import select
from rederive.betfair.report_tables import show_checkpoints
from schemas.errors import Failed
from tests.betfair.reports import made

pytestmark = pytest.mark.services

MARKET = "1.253489253"
KICKOFF = datetime(2026, 2, 14, 17, tzinfo=UTC)
RISKS = {
    "2026-02-14T11:01:50.91+00:00": (-8256.371, -17504.709, 30587.8249),
    "2026-02-14T16:01:58.2+00:00": (-15245.8, -15911.2, 35594.08),
    "2026-02-14T17:02:00.999999+00:00": (-14638.94, -8010.85, 23467.06),
    "2026-02-14T17:47:01+00:00": (-5570.85, -118.04, 1997.28),
    "2026-02-14T17:51:58.466790+00:00": (-2000.97, -1201.19, 3069.65),
}


def lazio(connection: psycopg.Connection) -> None:
    made.market(connection, MARKET, name="Lazio v Atalanta", kickoff=KICKOFF)
    others = {
        (KICKOFF + timedelta(minutes=minutes)).isoformat(): (1.0, 1.0, 1.0) for minutes in (-400, -120, -30, 20, 40)
    }
    for snapshot_id, (at, risks) in enumerate(sorted((RISKS | others).items()), 1):
        made.snapshot(connection, snapshot_id, MARKET, datetime.fromisoformat(at))
        made.derived(connection, snapshot_id, dict(zip(select("book_risk_l3"), risks, strict=True)))


def test_five_checkpoints_are_printed(connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    lazio(connection)
    found = checkpoints(connection, MARKET)
    show_checkpoints(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].rstrip() == "Lazio v Atalanta (1.253489253), kickoff 2026-02-14 17:00:00 UTC"
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "Time point snapshot_at Home Away Draw from target",
        "T-6h 2026-02-14 11:01:50 -8,256.37 -17,504.71 +30,587.82 1 min 50 s after",
        "T-1h 2026-02-14 16:01:58 -15,245.80 -15,911.20 +35,594.08 1 min 58 s after",
        "Kickoff 2026-02-14 17:02:00 -14,638.94 -8,010.85 +23,467.06 2 min 0 s after",
        "Mid-match 2026-02-14 17:47:01 -5,570.85 -118.04 +1,997.28 1 s after",
        "Final 15 min 2026-02-14 17:51:58 -2,000.97 -1,201.19 +3,069.65 33 min 1 s before",
    ]
    assert found.points[4].distance_seconds == pytest.approx(-1981.53321, abs=1e-6)


def test_of_two_equally_near_the_earlier_is_taken(connection: psycopg.Connection) -> None:
    made.market(connection, MARKET, kickoff=KICKOFF)
    made.snapshot(connection, 1, MARKET, KICKOFF + timedelta(seconds=90))
    made.snapshot(connection, 2, MARKET, KICKOFF - timedelta(seconds=90))
    assert checkpoints(connection, MARKET).points[2].snapshot_id == 2


def test_a_snapshot_without_values_or_without_a_row_is_eligible_and_blank(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    made.market(connection, MARKET, kickoff=KICKOFF)
    made.snapshot(connection, 1, MARKET, KICKOFF)
    made.derived(connection, 1, {"home_book_risk_l3": 1.5})
    made.snapshot(connection, 2, MARKET, KICKOFF + timedelta(minutes=85))
    show_checkpoints(checkpoints(connection, MARKET))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[4] == "Kickoff 2026-02-14 17:00:00 +1.50 on time"
    assert lines[6] == "Final 15 min 2026-02-14 18:25:00 on time"


def test_snapshots_of_other_markets_do_not_count(connection: psycopg.Connection) -> None:
    made.market(connection, MARKET, kickoff=KICKOFF)
    made.market(connection, "1.2", kickoff=KICKOFF)
    made.snapshot(connection, 1, MARKET, KICKOFF - timedelta(days=3))
    made.snapshot(connection, 2, "1.2", KICKOFF)
    assert {point.snapshot_id for point in checkpoints(connection, MARKET).points} == {1}


def test_other_columns(connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    made.market(connection, MARKET, kickoff=KICKOFF)
    made.snapshot(connection, 1, MARKET, KICKOFF)
    made.derived(connection, 1, {"home_back_stake": 1430.0, "total_volume": 10432.7})
    show_checkpoints(checkpoints(connection, MARKET, ("home_back_stake", "total_volume")))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "Time point snapshot_at home_back_stake total_volume from target"
    assert lines[4] == "Kickoff 2026-02-14 17:00:00 1,430.00 10,432.70 on time"


def test_an_unknown_market_names_near_ones(connection: psycopg.Connection) -> None:
    lazio(connection)
    made.market(connection, "1.999999999", name="Roma v Napoli")
    with pytest.raises(Failed, match=r"'1\.253489254' is unknown") as caught:
        checkpoints(connection, "1.253489254")
    assert caught.value.exit_code == 1
    assert caught.value.mend == "near it: Lazio v Atalanta (1.253489253)"
    with pytest.raises(Failed) as caught:
        checkpoints(connection, "atalanta")
    assert caught.value.mend == "near it: Lazio v Atalanta (1.253489253)"


def test_a_market_that_has_nothing_to_show(connection: psycopg.Connection) -> None:
    with pytest.raises(Failed) as caught:
        checkpoints(connection, MARKET)
    assert caught.value.why == "no market is stored"
    made.market(connection, MARKET)
    with pytest.raises(Failed, match="no kickoff"):
        checkpoints(connection, MARKET)
    made.market(connection, "1.2", kickoff=KICKOFF)
    with pytest.raises(Failed, match="no snapshot"):
        checkpoints(connection, "1.2")
