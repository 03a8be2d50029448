from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest

from rederive.betfair.continuity import Completeness, Gap, Window, continuity
from rederive.betfair.report_tables import show_continuity
from schemas.errors import Failed
from tests.betfair.reports import made

pytestmark = pytest.mark.services

MARKET = "1.253489253"
KICKOFF = datetime(2026, 2, 14, 17, tzinfo=UTC)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-02-14T{text}+00:00")


def times() -> list[datetime]:
    """208 snapshots, four intervals of 20 minutes and one of just 15, 51 from T-6h to kickoff, 12 in its last hour."""
    early = [datetime(2026, 2, 13, 19, 2, 40, tzinfo=UTC)]
    steps = [1200.0, 900.0, 1200.0, 1200.0, 1200.0] + [(57_250 - 5_700) / 140] * 140
    for step in steps:
        early.append(early[-1] + timedelta(seconds=step))
    spacing = (moment("15:56:58") - moment("11:01:50")) / 38
    middle = [moment("11:01:50") + spacing * n for n in range(39)]
    last_hour = [moment("16:01:58") + timedelta(minutes=5) * n for n in range(12)]
    play = [moment("17:02:00") + timedelta(minutes=5) * n for n in range(10)] + [moment("17:51:58.466790")]
    return early + middle + last_hour + play


def stored(connection: psycopg.Connection) -> list[datetime]:
    made.market(connection, MARKET, name="Lazio v Atalanta", kickoff=KICKOFF)
    found = times()
    for snapshot_id, at in enumerate(found, 1):
        made.snapshot(connection, snapshot_id, MARKET, at)
        risk = None if snapshot_id <= 56 else 1.0
        in_window = snapshot_id - 146
        made.derived(
            connection,
            snapshot_id,
            {
                "home_book_risk_l3": 1.0,
                "away_book_risk_l3": risk,
                "draw_book_risk_l3": 1.0,
                "home_back_odds_l2": 2.0 if snapshot_id > 100 else None,
                "home_back_size_l2": 5.0 if snapshot_id > 177 else None,
                "home_back_odds_l3": 2.0,
                "home_back_size_l3": 5.0 if snapshot_id > 3 else None,
                "home_best_back_size_l1": 10.0 if in_window <= 34 else 0.0 if in_window % 2 else None,
                "total_volume": None if snapshot_id == 5 else 0.0,
            },
        )
    return found


def test_figures_of_a_market(connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    moments = stored(connection)
    found = continuity(connection, MARKET)
    steps = [(b - a).total_seconds() for a, b in pairwise(moments)]
    assert (found.intervals.snapshots, found.intervals.mean) == (208, 396.9)
    assert (found.intervals.first, found.intervals.last) == (moments[0], moments[-1])
    assert (found.intervals.shortest, found.intervals.longest) == (round(min(steps), 1), 1200.0)
    assert [(gap.seconds, gap.period) for gap in found.gaps] == [(1200.0, "PRE-KICKOFF")] * 4
    assert found.gaps[0].start == moments[0]
    assert found.window == Window(KICKOFF - timedelta(hours=6), KICKOFF, 51, 12, 51, 34)
    assert found.completeness == Completeness(
        rows=208, without_row=0, null_book_risk=56, missing_home_l2=177, missing_home_l3=3, null_total_volume=1
    )
    show_continuity(found)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "snapshots 208, 2026-02-13 19:02:40 to 2026-02-14 17:51:58" in lines
    assert "interval in seconds mean 396.9, 298.5 to 1,200.0" in lines
    assert "gaps over 15 min 4" in lines
    assert "2026-02-13 19:02:40 2026-02-13 19:22:40 20 min 0 s PRE-KICKOFF" in lines
    assert "rows with a NULL book risk 56 (26.9%)" in lines
    assert "rows missing home L2 177 (85.1%)" in lines
    assert "of them with home L1 > 0 34" in lines

    connection.execute("UPDATE market_derived_metrics SET away_book_risk_l3 = 1")
    assert continuity(connection, MARKET).completeness.null_book_risk == 0


def test_periods_of_gaps(connection: psycopg.Connection) -> None:
    made.market(connection, MARKET, kickoff=KICKOFF)
    minutes = [-60, -40, -20, 10, 30, 45, 61]
    for snapshot_id, minute in enumerate(minutes):
        made.snapshot(connection, snapshot_id, MARKET, KICKOFF + timedelta(minutes=minute))
    found = continuity(connection, MARKET)
    assert [(gap.seconds, gap.period) for gap in found.gaps] == [
        (1200.0, "PRE-KICKOFF"),
        (1200.0, "PRE-KICKOFF"),
        (1800.0, "BRIDGE"),
        (1200.0, "IN-PLAY"),
        (960.0, "IN-PLAY"),
    ]


@pytest.mark.parametrize(("start", "end", "period"), [(-20, 0, "PRE-KICKOFF"), (0, 20, "IN-PLAY")])
def test_a_gap_that_touches_kickoff(connection: psycopg.Connection, start: int, end: int, period: str) -> None:
    made.market(connection, MARKET, kickoff=KICKOFF)
    for snapshot_id, minute in enumerate((start, end)):
        made.snapshot(connection, snapshot_id, MARKET, KICKOFF + timedelta(minutes=minute))
    found = continuity(connection, MARKET)
    assert [gap.period for gap in found.gaps] == [period]
    assert found.window is not None
    assert (found.window.snapshots, found.window.last_hour) == ((2, 2) if start < 0 else (1, 1))


def test_the_window_includes_its_ends_and_other_markets_do_not_count(connection: psycopg.Connection) -> None:
    made.market(connection, MARKET, kickoff=KICKOFF)
    made.market(connection, "1.2", kickoff=KICKOFF)
    for snapshot_id, minute in enumerate((-361, -360, -61, -60, 0, 1)):
        made.snapshot(connection, snapshot_id, MARKET, KICKOFF + timedelta(minutes=minute))
        made.derived(connection, snapshot_id)
        made.snapshot(connection, 100 + snapshot_id, "1.2", KICKOFF + timedelta(minutes=minute, seconds=7))
        made.derived(connection, 100 + snapshot_id)
    found = continuity(connection, MARKET)
    assert found.intervals.snapshots == 6
    assert found.completeness == Completeness(6, 0, 6, 6, 6, 6)
    assert found.window == Window(KICKOFF - timedelta(hours=6), KICKOFF, 4, 2, 0, 0)


def test_without_a_kickoff_there_are_no_periods_and_no_window(connection: psycopg.Connection) -> None:
    made.market(connection, MARKET)
    for snapshot_id, at in enumerate((KICKOFF, KICKOFF + timedelta(minutes=16))):
        made.snapshot(connection, snapshot_id, MARKET, at)
    found = continuity(connection, MARKET)
    assert found.gaps == (Gap(KICKOFF, KICKOFF + timedelta(minutes=16), 960.0, None),)
    assert found.window is None
    assert found.completeness == Completeness(0, 2, 0, 0, 0, 0)


def test_a_single_snapshot_has_no_interval(connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    made.market(connection, MARKET)
    made.snapshot(connection, 1, MARKET, KICKOFF)
    found = continuity(connection, MARKET)
    assert (found.intervals.snapshots, found.intervals.mean, found.gaps) == (1, None, ())
    show_continuity(found)
    assert "interval in seconds —" in " ".join(capsys.readouterr().out.split())


def test_a_market_without_snapshots(connection: psycopg.Connection) -> None:
    made.market(connection, MARKET)
    with pytest.raises(Failed, match="no snapshot"):
        continuity(connection, MARKET)
