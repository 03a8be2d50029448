"""Runs that are stopped midway, and gone on with; what status, logs and captures say meanwhile."""

import signal

import orjson
import psycopg
import pytest

from rederive.settings import Settings
from schemas.betfair.tables import SCOPES
from tests.betfair.replay.midway import held, running
from tests.betfair.replay.stored import counts, nulls, replay, scalar
from tests.betfair.reports.made import many
from tests.program import rederive, start, workers
from tests.wait import until

pytestmark = pytest.mark.services

# A sink takes at most 8 records, units of 512 rows, at once: three batches at least.
ROWS = 12_000
UNITS = 24
HELD = 1_000
_FIRST_LEFT = "SELECT min(snapshot_id) FROM market_derived_metrics WHERE home_best_back_size_l1 IS NULL"


def test_interrupted_then_cancelled_then_done(
    settings: Settings, connection: psycopg.Connection, database_url: str
) -> None:
    many(connection, ROWS, ROWS, (*SCOPES["l1"], *SCOPES["l3"]))
    # One agent, one partition: units are merged in order.
    little = settings.model_copy(update={"batch_rows": 128, "workers": 1})

    # Ctrl+C while some units are merged and some are not.
    with held(database_url, HELD) as row, running(little, "replay", "betfair", "--columns", "l1") as run:
        row.reached()
        status = orjson.loads(rederive(settings, "status", "--json").stdout)
        assert [service["state"] for service in status["services"]] == ["running", "running"]
        (found,) = status["captures"]
        assert found["state"] == "running"
        assert found["units_done"] < found["units"]
        run.send_signal(signal.SIGINT)
        until(lambda: not workers(run, "agent"), 30, "the agents go on after Ctrl+C")
        row.release()
        out, err = run.communicate(timeout=60)
    capture = found["capture_id"]
    assert run.returncode == 130, err
    assert f"rederive captures resume {capture}" in err
    assert "Traceback" not in err
    assert out == ""
    left, *_ = nulls(connection, SCOPES["l1"])
    assert 0 < left < ROWS

    # Somebody goes on, and somebody else ends it midway.
    with (
        held(database_url, scalar(connection, _FIRST_LEFT)) as row,
        running(little, "captures", "resume", capture) as run,
    ):
        row.reached()
        cancel = start(settings, "captures", "cancel", capture, "--json")
        until(
            lambda: scalar(
                connection,
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'UPDATE rederive.captures SET state%%'"
                " AND datname = current_database() AND wait_event_type = 'Lock'",
            ),
            30,
            "cancelling does not wait for the sink",
        )
        row.release()
        said, problem = cancel.communicate(timeout=60)
        assert cancel.returncode == 0, problem
        _, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert f"{capture} is cancelled" in err
    assert "captures resume" in err
    given_up = orjson.loads(said)
    assert given_up["units_given_up"] > 0
    assert 0 < nulls(connection, SCOPES["l1"])[0] < left
    listed = orjson.loads(rederive(settings, "captures", "list", "--json").stdout)
    assert [(one["capture_id"], one["state"]) for one in listed] == [(capture, "cancelled")]
    refused = rederive(settings, "captures", "cancel", capture, code=1)
    assert "is not running" in refused.stderr

    done = replay(settings, "captures", "resume", capture)
    assert (done["capture_id"], done["processed"], *counts(done)) == (capture, ROWS, ROWS, 0, 0)
    assert nulls(connection, SCOPES["l1"]) == (0, 0, 0)
    finished = replay(settings, "captures", "resume", capture)
    assert counts(finished) == (ROWS, 0, 0)
    shown = orjson.loads(rederive(settings, "captures", "show", capture, "--json").stdout)
    assert (shown["state"], shown["units_done"], shown["problems"], shown["dead"]) == ("complete", UNITS, [], [])
    assert shown["columns"] == list(SCOPES["l1"])
    text = rederive(settings, "captures", "show", capture).stdout
    assert "complete" in text

    log = rederive(settings, "logs", "--last", "500").stdout
    assert "[INFO] Backfill complete: 12000/12000 processed" in log
    assert "agent" in log
    assert "sink" in log
    assert rederive(settings, "logs", capture, "--last", "1").stdout.count("\n") == 1
    assert "there is no log" in rederive(settings, "logs", "betfair-1", code=1).stderr
    status = orjson.loads(rederive(settings, "status", "--json").stdout)
    assert status["captures"] == []
