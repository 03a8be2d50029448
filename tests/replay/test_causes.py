"""What a run's last lines, and `captures show`, say of what went wrong."""

import logging

import psycopg
import pytest

from rederive import captures
from rederive.replay import _say_problems
from schemas.table import Mode
from tests.sinks.made_tables import make_capture

pytestmark = pytest.mark.services


def test_causes_are_told_apart_and_dead_units_name_a_record(
    connection: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_capture(connection, 1, Mode.FILL, 1)
    for unit, failure in enumerate(["week_1.csv: row 12 is odd", "week_2.csv: row 13 is odd", "the log has lost it"]):
        connection.execute(
            """INSERT INTO rederive.units (capture_id, unit, key_range, picked, rows, state, failure, errors)
               VALUES (%s, %s, %s, '{}', 4, 'dead', %s, 4)""",
            [run, unit, f"range {unit}", failure],
        )
    texts = ["line 1: no JSON: 'abc'", "line 7: no JSON: 'x'", "line 2: raw_payload is 5, not an object", "no text"]
    for ordinal, text in enumerate(texts):
        connection.execute(
            "INSERT INTO rederive.problems (capture_id, unit, ordinal, key, reason, message) "
            "VALUES (%s, 0, %s, %s::jsonb, 'error', %s)",
            [run, ordinal, f'["betfair.log[0]@{ordinal}", 3]', text],
        )
    found = captures.problems(connection, run)
    assert sorted((one["count"], one["message"]) for one in found) == [(1, texts[2]), (1, texts[3]), (2, texts[0])]
    dead = captures.dead_units(connection, run)
    assert dead == [(2, 8, "range 0", "week_1.csv: row 12 is odd"), (1, 4, "range 2", "the log has lost it")]
    with caplog.at_level(logging.WARNING, "rederive.replay"):
        _say_problems(run, found, dead)
    assert "2 × error, first betfair.log[0]@0,3 betfair.log[0]@1,3: line 1: no JSON" in caplog.text
    assert "1 dead unit (4 rows), first range 2: the log has lost it" in caplog.text
    assert "2 dead units (8 rows), first range 0: week_1.csv: row 12 is odd" in caplog.text
    assert f"`rederive captures show {run}`" in caplog.messages[-1]
    assert f"`rederive captures retry {run}`" in caplog.messages[-1]
