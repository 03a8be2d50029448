"""Commands that are stopped while they plan or roll back, and what is said of a run that is at work."""

import re
import signal

import psycopg
import pytest

from rederive.database import connect
from rederive.settings import Settings
from tests.betfair.replay.midway import held, running
from tests.betfair.replay.stored import fingerprint, lines, replay, scalar
from tests.betfair.reports.made import START, derived, many, market, payload, snapshot
from tests.program import rederive
from tests.wait import until

pytestmark = pytest.mark.services

_WAITS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND starts_with(application_name, %s) AND wait_event_type = 'Lock'"""


_END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND starts_with(application_name, %s)"""


def waits(connection: psycopg.Connection, application: str) -> None:
    """Until a command's connection stands at a lock."""
    until(lambda: scalar(connection, _WAITS, application), 60, f"{application} comes to no lock")


def test_a_service_manager_s_stop_is_ctrl_c(
    settings: Settings, connection: psycopg.Connection, database_url: str
) -> None:
    market(connection, "1.1")
    snapshot(connection, 1, "1.1", START, payload())
    derived(connection, 1)
    stored = fingerprint(connection)

    def stop(application: str, *words: str, at: str, lost: bool = False) -> str:
        """End a command at a table that is locked, or its connection; what it says."""
        with connect(database_url, application="holder", autocommit=False) as holder:
            holder.execute(at)
            with running(settings, *words) as run:
                waits(connection, application)
                if lost:
                    connection.execute(_END, [application])
                else:
                    run.send_signal(signal.SIGTERM)
                out, err = run.communicate(timeout=60)
        assert (run.returncode, out) == (1 if lost else 130, ""), err
        return err

    said = stop("rederive plan", "replay", "betfair", at="LOCK TABLE market_book_snapshots")
    assert said == "interrupted; safe to start again\n"
    assert scalar(connection, "SELECT count(*) FROM rederive.captures") == 0
    capture = replay(settings, "replay", "betfair")["capture_id"]
    assert fingerprint(connection) != stored

    words = ("captures", "rollback", capture, "--yes")
    row = "SELECT FROM market_derived_metrics FOR UPDATE"
    assert stop("rederive: the rollback", *words, at=row) == f"interrupted; go on with: rederive {' '.join(words)}\n"
    assert scalar(connection, "SELECT state FROM rederive.captures") == "rolling-back"
    lost = stop("rederive: the rollback", *words, at=row, lost=True)
    assert lost.startswith(f"what is taken back stays so; go on with: rederive {' '.join(words)}\nthe rollback failed")
    half = f"{capture} is half rolled back; `rederive {' '.join(words)}` goes on with it"
    for look in (("captures", "list"), ("captures", "show", capture), ("status",)):
        assert half in rederive(settings, *look).stdout, look
    shown = rederive(settings, "captures", "show", capture).stdout
    assert "being taken back" in shown
    assert re.search(r"still there +1 entry of market_derived_metrics\n", shown), shown
    for word in ("resume", "retry"):
        refused = rederive(settings, "captures", word, capture, code=1).stderr
        assert refused == f"{capture} is rolling-back\n  do:  finish it: `rederive {' '.join(words)}`\n"
    rederive(settings, *words)
    assert scalar(connection, "SELECT state FROM rederive.captures") == "rolled-back"
    assert scalar(connection, "SELECT count(*) FROM market_derived_metrics WHERE home_risk IS NULL") == 1


def test_of_a_run_at_work_it_is_said_that_it_is_and_a_rollback_ends_it(
    settings: Settings, connection: psycopg.Connection, database_url: str
) -> None:
    many(connection, 200, 200, ("home_risk",))
    with (
        held(database_url, 1) as row,
        running(settings, "replay", "betfair", "--columns", "home_risk", "--workers", "1", forked=True) as run,
    ):
        row.reached()
        (capture,) = connection.execute("SELECT capture_id FROM rederive.captures").fetchone() or ("",)
        other = rederive(settings, "replay", "betfair", "--market", "9.9", code=1).stderr
        assert f"{capture} is being run by another process (since 20" in other
        assert f"UTC, from 127.0.0.1); watch it with `rederive captures show {capture}`" in other
        assert "captures resume" not in other

        with running(settings, "captures", "rollback", capture, "--yes") as rollback:
            # Nothing is merged when it counts what it would do.
            waits(connection, "rederive: the rollback")
            row.release()
            did, problem = rollback.communicate(timeout=60)
        assert rollback.returncode == 0, problem
        _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    assert f"{capture} is roll" in said
    # It may have seen the rollback under way.
    assert "do:  start a new replay" in said or f"do:  finish it: `rederive captures rollback {capture} --yes`" in said
    assert "captures resume" not in said
    merged = scalar(connection, "SELECT sum(updated) FROM rederive.units")
    assert merged > 0
    assert ["market_derived_metrics", str(merged), str(merged), "0"] in lines(did)
    assert scalar(connection, "SELECT count(home_risk) FROM market_derived_metrics") == 0
