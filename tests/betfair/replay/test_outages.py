"""A service that goes away in the middle of a run and comes back: the run waits, and finishes what it began."""

import signal
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psutil
import psycopg
import pytest

from rederive.database import connect
from rederive.logs import newest
from rederive.status import look
from samples.finra.files import FinraFiles
from schemas.betfair.tables import SCOPES
from tests.betfair.replay.midway import held, running, sink_waits
from tests.betfair.replay.stored import counts, nulls, scalar
from tests.betfair.reports.made import many
from tests.own import Own, started
from tests.program import last_object, workers
from tests.wait import until

pytestmark = pytest.mark.services

# A sink takes at most 8 records, units of 512 rows, at once.
ROWS = 8_000
HELD = 1_000


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    with started(tmp_path_factory.mktemp("outages"), batch_rows=128, workers=1) as services:
        with psycopg.connect(services.url, autocommit=True) as connection:
            many(connection, ROWS, ROWS, (*SCOPES["l1"], *SCOPES["l3"]))
        yield services


def _finished(run: subprocess.Popen[str]) -> dict[str, object]:
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert "Traceback" not in err
    return last_object(out)


def test_the_broker_is_killed_midway(own: Own) -> None:
    words = ("replay", "betfair", "--columns", "l1", "--json")
    with held(own.url, HELD) as row, running(own.settings, *words) as run:
        row.reached()
        own.end("kafka", signal.SIGKILL)
        assert [state for _, state, _ in look(own.services).services] == ["away", "running"]
        row.release()
        own.back()
        found = _finished(run)
    assert (found["processed"], *counts(found)) == (ROWS, ROWS, 0, 0)
    with psycopg.connect(own.url) as connection:
        assert nulls(connection, SCOPES["l1"]) == (0, 0, 0)


def test_the_broker_is_restarted_while_agents_join(own: Own) -> None:
    with running(own.settings, "replay", "betfair", "--all-rows", "--dry-run", "--workers", "2", "--json") as run:
        until(lambda: len(workers(run, "agent")) == 2, 60, "no agents are started")
        own.end("kafka", signal.SIGTERM)
        own.back()
        assert _finished(run)["processed"] == ROWS


def test_postgres_is_restarted_midway(own: Own) -> None:
    words = ("replay", "betfair", "--columns", "l3", "--json")
    with held(own.url, HELD) as row, running(own.settings, *words) as run:
        row.reached()
        own.end("postgres", signal.SIGINT)
        own.back()
        found = _finished(run)
    assert (found["processed"], *counts(found)) == (ROWS, ROWS, 0, 0)
    with psycopg.connect(own.url) as connection:
        assert nulls(connection, SCOPES["l3"]) == (0, 0, 0)
        twice = "SELECT count(*) FROM rederive.market_derived_metrics_history GROUP BY capture_id, snapshot_id"
        assert scalar(connection, f"SELECT max(count) FROM ({twice}) h") == 1


@pytest.mark.long
def test_the_broker_is_killed_before_a_run_opens_its_next_lane(own: Own, tmp_path: Path) -> None:
    week = date(2025, 1, 3)
    file = FinraFiles(symbols=5, rows=20).file(week, "OTC")
    (tmp_path / file.name).write_bytes(file.content)
    words = ("replay", "finra", "--source", str(tmp_path), "--from", str(week), "--to", str(week), "--json")
    with connect(own.url, application="holder", autocommit=False) as holder:
        # The sink stands at the rows of the file; what follows from them goes another way.
        holder.execute("LOCK TABLE finra_otc_transparency_raw IN SHARE MODE")
        with running(own.settings, *words) as run:
            sink_waits(own.url)
            own.end("kafka", signal.SIGKILL)
            holder.rollback()
            log = until(lambda: newest(own.settings.home, "finra"), 10, "there is no log")
            until(lambda: "trying again" in log.read_text() or run.poll() is not None, 60, "nothing is said")
            own.back()
            found = _finished(run)
    assert log.read_text().count("does not answer, trying again") == 1
    assert (found["errors"], found["dead_units"]) == (0, 0)
    with psycopg.connect(own.url) as connection:
        assert scalar(connection, "SELECT count(DISTINCT stage) FROM rederive.units WHERE state = 'applied'") > 1


def test_workers_end_by_themselves_when_everything_goes_at_once(own: Own) -> None:
    with psycopg.connect(own.url) as connection:
        connection.execute(
            "UPDATE market_derived_metrics SET home_best_back_size_l1 = NULL WHERE snapshot_id = %s", [HELD]
        )
    with held(own.url, HELD) as row, running(own.settings, "replay", "betfair", "--columns", "l1") as run:
        row.reached()
        left = [*workers(run, "agent"), *workers(run, "sink")]
        assert len(left) == 2
        try:
            run.kill()
            own.end("kafka", signal.SIGKILL)
            own.end("postgres", signal.SIGKILL)
            _, alive = psutil.wait_procs(left, timeout=60)
            assert not [" ".join(process.cmdline()) for process in alive]
        finally:
            for process in left:
                if process.is_running():
                    process.kill()
