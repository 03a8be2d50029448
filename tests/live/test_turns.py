"""What the sink does with records that no run has sent: they belong to their day, whatever becomes of its capture."""

from dataclasses import replace

import psycopg
import pytest

from processors.betfair.process import process
from rederive import captures
from rederive.database import connect
from schemas.betfair.tables import BETFAIR
from schemas.errors import Failed
from schemas.finra.tables import FINRA
from schemas.outcome import Outcome
from schemas.unit import Origin
from sinks.apply import Applied, Result, apply
from sinks.policies import prepare
from store import captures as stored
from store import live
from tests.betfair.replay.log import line
from tests.betfair.reports.made import START, market, snapshot

pytestmark = pytest.mark.services

DAY = "betfair-live-20260208-v1"


@pytest.fixture
def connection(connection: psycopg.Connection) -> psycopg.Connection:
    """A database with one market and three snapshots."""
    market(connection, "1.1")
    for key in (1, 2, 3):
        snapshot(connection, key, "1.1", START.replace(minute=key))
    prepare(connection, BETFAIR)
    return connection


def result(offset: int, *keys: int) -> Result:
    lines = [line(key, snapshot_at=START.replace(minute=key).isoformat()) for key in keys]
    return Result(Origin("betfair.log", 0, offset), DAY, None, process(b"\n".join(lines), ()))


def take(connection: psycopg.Connection, *results: Result) -> Applied:
    return apply(connection, BETFAIR, DAY, results)


def counts(connection: psycopg.Connection) -> dict[str, tuple[int, int, int, int, int]]:
    """(rows, updated, unchanged, skipped, errors) by capture."""
    return {
        one.capture_id: (one.rows, one.updated, one.unchanged, one.skipped, one.errors)
        for one in stored.listed(connection, limit=10)
    }


def test_the_first_record_makes_the_day(connection: psycopg.Connection) -> None:
    take(connection, result(0, 1))
    take(connection, result(1, 2, 3))
    assert counts(connection) == {DAY: (3, 3, 0, 0, 0)}
    found = stored.find(connection, DAY)
    assert found is not None
    assert (found.source, found.mode, found.columns) == ("live", "fill", ())


def test_a_record_counts_once_however_often_it_comes(connection: psycopg.Connection) -> None:
    take(connection, result(0, 1), result(0, 1))
    assert take(connection, result(0, 1)).repeated == 1
    assert counts(connection) == {DAY: (1, 1, 0, 0, 0)}


def test_the_same_row_by_two_ways_is_unchanged_the_second_time(connection: psycopg.Connection) -> None:
    take(connection, result(0, 1))
    take(connection, result(1, 1))
    assert counts(connection) == {DAY: (2, 1, 1, 0, 0)}


def test_what_is_rolled_back_stays_so_and_the_day_goes_on(connection: psycopg.Connection) -> None:
    take(connection, result(0, 1))
    for _ in captures.rollback(connection, DAY):
        pass
    assert connection.execute("SELECT count(*) FROM market_derived_metrics").fetchone() == (0,)

    take(connection, result(0, 1))
    take(connection, result(1, 2))

    assert connection.execute("SELECT snapshot_id, capture_id FROM market_derived_metrics").fetchall() == [
        (2, f"{DAY}-2")
    ]
    assert counts(connection)[f"{DAY}-2"] == (1, 1, 0, 0, 0)


def test_what_comes_again_when_its_day_is_over_begins_no_other_turn(connection: psycopg.Connection) -> None:
    take(connection, result(0, 1))
    connection.execute("UPDATE rederive.captures SET state = 'complete'")
    again = take(connection, result(0, 1))
    assert (again.applied, again.repeated) == (0, 1)
    assert counts(connection) == {DAY: (1, 1, 0, 0, 0)}


def test_only_skips_that_are_still_there_are_struck_out(connection: psycopg.Connection) -> None:
    take(connection, Result(Origin("betfair.log", 0, 0), DAY, None, process(line(1, selection_ids={}), ())))
    for _ in range(2):
        live.taken_up(connection, [(DAY, 0, 0)])
    assert counts(connection) == {DAY: (0, 0, 0, 0, 0)}


def test_skips_and_errors_are_kept_with_their_keys(connection: psycopg.Connection) -> None:
    lines = [line(1, selection_ids={}), line(2, raw={}), b'{"snapshot_id": 3}']
    outcome = process(b"\n".join(lines), ())
    for offset in (0, 1):
        take(connection, Result(Origin("betfair.log", 0, offset), DAY, None, outcome))
    assert counts(connection) == {DAY: (6, 0, 0, 4, 2)}
    found = connection.execute("SELECT key, reason FROM rederive.problems ORDER BY ordinal").fetchall()
    assert found == [([1], "no_metadata"), ([2], "no_payload"), ([3], "error")] * 2


def test_a_dead_record_says_why_under_its_place(connection: psycopg.Connection) -> None:
    take(connection, Result(Origin("betfair.log", 1, 7), DAY, None, Outcome(dead="no text")))
    assert counts(connection) == {DAY: (1, 0, 0, 0, 1)}
    found = connection.execute("SELECT key, reason, message FROM rederive.problems").fetchall()
    assert found == [(["betfair.log[1]@7"], "dead", "no text")]
    assert connection.execute("SELECT dead::text FROM rederive.origins").fetchone() == ("{[7,8)}",)


def test_a_dead_record_counts_once_and_as_any_other_when_a_later_attempt_is_applied(
    connection: psycopg.Connection,
) -> None:
    dead = Result(Origin("betfair.log", 0, 7), DAY, None, Outcome(read=2, dead="refused"))
    take(connection, dead)
    take(connection, dead)
    take(connection, replace(dead, origin=Origin("betfair.log", 0, 8), first=dead.origin, attempt=2))
    assert counts(connection) == {DAY: (2, 0, 0, 0, 2)}
    assert connection.execute("SELECT dead::text FROM rederive.origins").fetchone() == ("{[7,8)}",)

    for offset in (9, 10):
        again = replace(result(offset, 1, 2), first=dead.origin, attempt=offset - 6)
        assert take(connection, again, again).repeated == (1 if offset == 9 else 2)
    take(connection, dead)
    assert counts(connection) == {DAY: (2, 2, 0, 0, 0)}
    found = connection.execute("SELECT applied::text, dead::text FROM rederive.origins").fetchone()
    assert found == ("{[7,11)}", "{}")
    assert connection.execute("SELECT count(*) FROM rederive.problems").fetchone() == (0,)


def test_what_runs_keep_is_refused_without_a_run(migrated: str) -> None:
    with connect(migrated, application="tests") as connection:
        prepare(connection, FINRA)
        day = "finra-live-20260208-v1"
        done = apply(connection, FINRA, day, [Result(Origin("finra.log", 0, 0), day, None, Outcome(read=3))])
        ((_, reason),) = done.refused
        assert "without a capture" in reason
        assert counts(connection) == {day: (3, 0, 0, 0, 3)}


def test_a_day_has_no_plan_to_end_or_go_on_with(connection: psycopg.Connection) -> None:
    take(connection, result(0, 1))
    with pytest.raises(Failed, match="can't be cancelled"):
        captures.cancel(connection, DAY)
    with pytest.raises(Failed, match="can't be resumed"):
        captures.reopen(connection, DAY)
    assert stored.unfinished(connection, "betfair") == {}
