from datetime import timedelta

import psycopg
import pytest

from rederive.betfair.ladders import SideLadders, ladder_availability
from rederive.betfair.report_tables import show_ladders
from tests.betfair.reports import made

pytestmark = pytest.mark.services


def at(connection: psycopg.Connection, snapshot_id: int, raw: object, market_id: str = "1.1") -> None:
    made.snapshot(connection, snapshot_id, market_id, made.START + timedelta(minutes=snapshot_id), raw)
    made.derived(connection, snapshot_id)


def test_lengths_and_level_one(connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    made.market(connection, "1.1")
    at(connection, 9454, made.PAYLOAD)
    bare = made.payload()
    bare["runners"][0]["ex"]["availableToBack"] = None
    bare["runners"][1]["ex"]["availableToBack"][0] = [1.0, 50]
    at(connection, 9455, bare)
    found = ladder_availability(connection)
    assert (found.incomplete, found.examined, found.errors, found.skipped) == (2, 2, 0, {})
    assert found.sides == (
        SideLadders("home", "back", ((0, 1), (3, 1)), 0, 1, 1),
        SideLadders("home", "lay", ((2, 2),), 0, 2, 0),
        SideLadders("away", "back", ((2, 2),), 0, 1, 1),
        SideLadders("away", "lay", ((1, 2),), 0, 2, 0),
        SideLadders("draw", "back", ((4, 2),), 0, 2, 0),
        SideLadders("draw", "lay", ((1, 2),), 0, 2, 0),
    )
    newest, older = found.sample
    assert newest.back_l1 == {"home": None, "away": None, "draw": 60.0}
    assert (older.snapshot_id, older.back_lengths) == (9454, {"home": 3, "away": 2, "draw": 4})
    show_ladders(found)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["home", "back", "1", "0", "0", "1", "0", "0", "1", "1"] in lines
    assert ["9454", "2026-02-15", "01:34:00", "1.1", "3/2/4", "200.00", "50.00", "60.00"] in lines


def test_of_runners_with_one_id_the_last_counts(connection: psycopg.Connection) -> None:
    made.market(connection, "1.1")
    double = made.payload()
    double["runners"].append({"selection_id": float(made.HOME), "ex": {"availableToBack": [[2.2, 7]]}})
    at(connection, 1, double)
    (row,) = ladder_availability(connection).sample
    assert (row.back_lengths["home"], row.back_l1["home"]) == (1, 7.0)


def test_what_cannot_be_derived_gives_no_level_one(connection: psycopg.Connection) -> None:
    made.market(connection, "1.1")
    made.market(connection, "1.2", ids=(None, None, None))
    other = made.payload()
    other["runners"][0]["selectionId"] = 44
    at(connection, 1, other)
    at(connection, 2, made.PAYLOAD, "1.2")
    at(connection, 3, None)
    at(connection, 4, {"runners": "none"})
    found = ladder_availability(connection)
    assert found.skipped == {"missing_role": 1, "no_metadata": 1, "no_payload": 1, "insufficient_runners": 1}
    home, away = found.sides[0], found.sides[2]
    assert (home.lengths, home.no_runner, home.with_l1, home.without_l1) == ((), 4, 0, 4)
    assert (away.lengths, away.no_runner, away.with_l1) == (((2, 1),), 3, 0)


def test_the_newest_incomplete_snapshots_are_examined(connection: psycopg.Connection) -> None:
    made.many(connection, 30, 12, ("home_best_back_size_l1", "away_best_back_size_l1", "draw_best_back_size_l1"))
    found = ladder_availability(connection, limit=7, page=3)
    assert (found.incomplete, found.examined) == (12, 7)
    assert [row.snapshot_id for row in found.sample] == [30, 29, 28, 27, 26]
    assert found.sides[0].lengths == ((3, 7),)
