from datetime import timedelta

import psycopg
import pytest

from rederive.betfair.fillable import fillable
from rederive.betfair.payloads import incomplete
from schemas.betfair.tables import METRICS, SCOPES
from tests.betfair.reports import made

pytestmark = pytest.mark.services


def test_reasons_and_rows_without_a_derived_row_stand_apart(connection: psycopg.Connection) -> None:
    made.market(connection, "1.1")
    made.market(connection, "1.2", ids=(made.HOME, None, made.DRAW))
    two = made.payload()
    two["runners"].pop()
    other = made.payload()
    other["runners"][2]["selectionId"] = 44
    stored = [
        ("1.1", made.PAYLOAD, True),
        ("1.2", made.PAYLOAD, True),
        ("1.1", {}, True),
        ("1.1", two, True),
        ("1.1", other, True),
        ("1.1", made.PAYLOAD, False),
        ("1.2", made.PAYLOAD, False),
    ]
    for index, (market_id, raw, has_row) in enumerate(stored):
        made.snapshot(connection, index, market_id, made.START + timedelta(minutes=index), raw)
        if has_row:
            made.derived(connection, index)
    found = fillable(connection)
    assert (found.examined, found.rows, found.without_row, found.new_rows, found.errors) == (7, 1, 2, 1, 0)
    assert found.skipped == {"no_metadata": 2, "no_payload": 1, "insufficient_runners": 1, "missing_role": 1}
    # E1's away ladder ends at level 2.
    absent = {"away_back_odds_l3", "away_back_size_l3"}
    assert found.columns == {column: int(column not in absent) for column in METRICS}


def test_stored_values_and_complete_rows_are_left_alone(connection: psycopg.Connection) -> None:
    made.market(connection, "1.1")
    for index in range(3):
        made.snapshot(connection, index, "1.1", made.START + timedelta(minutes=index))
    made.derived(connection, 0, dict.fromkeys(SCOPES["l3"], 0.0))
    made.derived(connection, 1, {"home_book_risk_l3": 0.0})
    made.derived(connection, 2, {"home_book_risk_l3": 1.0, "away_book_risk_l3": 1.0})
    found = fillable(connection, SCOPES["l3"])
    assert found.examined == found.rows == 2
    assert found.columns == {"home_book_risk_l3": 0, "away_book_risk_l3": 1, "draw_book_risk_l3": 2}


@pytest.mark.parametrize("page", [1, 2, 3, 7, 100])
def test_pages_hold_each_incomplete_snapshot_once(connection: psycopg.Connection, page: int) -> None:
    made.many(connection, 20, 7, SCOPES["l1"])
    pages = list(incomplete(connection, SCOPES["l1"], page=page))
    assert [stored.snapshot_id for found in pages for stored in found] == list(range(14, 21))
    assert max(map(len, pages)) <= page
    assert fillable(connection, SCOPES["l1"], page=page).rows == 7
