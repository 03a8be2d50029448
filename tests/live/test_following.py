"""Live follows what ingesters write, whatever is killed meanwhile: each committed snapshot gets its row, once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from producers.topics import watermarks
from rederive.settings import Settings
from schemas.lane import Lane, LaneName
from store.origins import holes
from tests.live.ingesting import Ingesters, check_rows, derived, insert, lacking, markets, stream
from tests.own import Own, started
from tests.program import rederive, start, workers
from tests.wait import until

pytestmark = pytest.mark.services

SECONDS = 60


def begun(settings: Settings, url: str) -> subprocess.Popen[str]:
    """Live of Betfair, which finds what is committed from now on."""
    live = start(settings, "live", "betfair")
    with psycopg.connect(url, autocommit=True) as connection:
        until(lambda: connection.execute("SELECT 1 FROM rederive.cursors").fetchone(), SECONDS, "live does not begin")
    return live


def stop(live: subprocess.Popen[str]) -> str:
    """Stop it in order; what it has said."""
    live.terminate()
    _, said = live.communicate(timeout=SECONDS)
    assert live.returncode == 0, said
    return said


def end(live: subprocess.Popen[str]) -> None:
    """End it, however the test ends, and show what it has said."""
    if live.stdout is not None and not live.stdout.closed:
        live.kill()
        sys.stderr.writelines(live.communicate())


def kill(live: subprocess.Popen[str], role: str) -> None:
    (one, *_) = until(lambda: workers(live, role), SECONDS, f"there is no {role}")
    one.kill()


def more(connection: psycopg.Connection, rows: int) -> None:
    """Wait until so many rows more are derived."""
    reached = derived(connection)
    until(lambda: derived(connection) >= reached + rows, SECONDS, "nothing more is derived")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with started(tmp_path_factory.mktemp("live")) as services:
        yield services


def test_whatever_is_killed_each_committed_snapshot_has_its_row(own: Own) -> None:
    lane = Lane("betfair", LaneName.LOG)
    snapshots = stream()
    with psycopg.connect(own.url, autocommit=True) as connection:
        markets(connection)
    live = begun(own.settings, own.url)
    try:
        with psycopg.connect(own.url, autocommit=True) as connection, Ingesters(own.url, snapshots, 4, seed=1):
            more(connection, 100)
            for role in ("agent", "sink", "producer"):
                kill(live, role)
                more(connection, 200)
            own.end("kafka", signal.SIGKILL)
            own.back()
            more(connection, 200)
            own.end("postgres", signal.SIGINT)
            own.back()
        with psycopg.connect(own.url, autocommit=True) as connection, Ingesters(own.url, snapshots, 2, seed=2):
            more(connection, 200)
            os.kill(live.pid, signal.SIGKILL)
            live.communicate()
            live = start(own.settings, "live", "betfair")
            more(connection, 200)
        with psycopg.connect(own.url, autocommit=True) as connection:
            until(lambda: not lacking(connection), SECONDS, f"not derived are {lacking(connection)[:10]}")
            stop(live)
            check_rows(connection)
            for partition, (low, high) in watermarks(own.settings.kafka_config(), lane.raw).items():
                assert holes(connection, lane.raw, partition, low, high) == []
    finally:
        end(live)


def test_snapshots_wait_for_their_market(settings: Settings, connection: psycopg.Connection, migrated: str) -> None:
    markets(connection)
    snapshot = next(stream())
    market = [snapshot["market_id"]]
    connection.execute("UPDATE market_event_metadata SET draw_selection_id = NULL WHERE market_id = %s", market)
    live = begun(settings, migrated)
    try:
        insert(connection, snapshot)
        until(lambda: skips(connection) == [(1, 0)], SECONDS, "the snapshot is not skipped")
        connection.execute(
            "UPDATE market_event_metadata SET draw_selection_id = %s WHERE market_id = %s",
            [snapshot["raw_payload"]["runners"][2]["selectionId"], *market],
        )
        until(lambda: derived(connection) == 1, SECONDS, "the snapshot is not taken up")
        until(lambda: skips(connection) == [(0, 1)], SECONDS, "the skip is not struck out")
        # As when its terminal is closed.
        live.send_signal(signal.SIGHUP)
        assert live.wait(timeout=SECONDS) == 0
        assert connection.execute("SELECT count(*) FROM rederive.problems").fetchone() == (0,)
    finally:
        end(live)


def skips(connection: psycopg.Connection) -> list[tuple[int, int]]:
    """(skipped, updated) of live."""
    return connection.execute(
        "SELECT sum(skipped)::int, sum(updated)::int FROM rederive.units HAVING count(*) > 0"
    ).fetchall()


def test_a_machine_s_second_live_is_refused(settings: Settings, migrated: str) -> None:  # noqa: ARG001
    live = start(settings, "live", "betfair")
    try:
        until(lambda: workers(live, "producer"), SECONDS, "live does not begin")
        second = rederive(settings, "live", "betfair", code=1)
        assert "is running with this machine's id already" in second.stderr
        assert workers(live, "producer"), "the first goes on"
        stop(live)
    finally:
        end(live)


def test_from_now_on_is_begun_once(settings: Settings, connection: psycopg.Connection, migrated: str) -> None:
    markets(connection)
    snapshots = stream()
    end_of_first = begun(settings, migrated)
    stop(end_of_first)
    insert(connection, next(snapshots))
    live = start(settings, "live", "betfair", "--from-now")
    try:
        before = connection.execute("SELECT reached FROM rederive.cursors").fetchone()
        moved = "SELECT 1 FROM rederive.cursors WHERE reached > %s"
        until(lambda: connection.execute(moved, before).fetchone(), SECONDS, "it does not begin anew")
        kill(live, "producer")
        insert(connection, next(snapshots))
        until(lambda: derived(connection) == 1, SECONDS, "what came since it was asked for is not derived")
        stop(live)
        assert len(lacking(connection)) == 1, "what came before is given up"
    finally:
        end(live)
