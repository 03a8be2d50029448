"""Two machines that do live together, and processes that hang: the work goes on with whoever gets on."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from rederive.groups import Groups
from rederive.live import Supervisor
from rederive.settings import Settings
from schemas.lane import Lane, LaneName
from tests.live.ingesting import derived, insert, lacking, markets, stream
from tests.live.test_following import SECONDS, begun, end, stop
from tests.program import start, workers
from tests.wait import until

pytestmark = pytest.mark.services

HAND_OVER_SECONDS = 10.0


def holders(settings: Settings) -> set[str]:
    """Who has partitions of the log, by the beginning of their ids: their machines."""
    lane = Lane("betfair", LaneName.LOG, settings.topic_prefix)
    with closing(Groups(settings.kafka_config())) as groups:
        seen = groups.look([(lane.agents, lane.raw), (lane.sinks, lane.derived)])
    return {member.split("-")[0] if member else "" for one in seen.values() for member in one.holders}


def die(live: subprocess.Popen[str]) -> None:
    """What becomes of it when its machine loses power."""
    for process in [psutil.Process(live.pid), *psutil.Process(live.pid).children(recursive=True)]:
        process.kill()
    live.communicate()


def test_a_second_machine_shares_the_work_and_takes_it_over(
    settings: Settings, connection: psycopg.Connection, migrated: str, tmp_path: Path
) -> None:
    markets(connection)
    snapshots = stream()
    first = begun(settings, migrated)
    second = start(settings.model_copy(update={"home": tmp_path / "second"}), "live", "betfair")
    try:
        until(lambda: len(holders(settings) - {""}) == 2, SECONDS, "the work is not shared")
        insert(connection, next(snapshots))
        until(lambda: derived(connection) == 1, SECONDS, "nothing is derived")
        die(first)
        died = time.monotonic()
        insert(connection, next(snapshots))
        until(lambda: not lacking(connection), SECONDS, "the second does not take over")
        assert time.monotonic() - died < HAND_OVER_SECONDS
        until(lambda: len(holders(settings) - {""}) == 1, SECONDS, "partitions stay with who is gone")
        stop(second)
    finally:
        end(first)
        end(second)


@contextmanager
def supervised(settings: Settings, url: str, patience: float) -> Iterator[None]:
    """Live of Betfair on a thread of this process."""
    over = threading.Event()
    codes: list[int] = []
    supervisor = Supervisor(settings, url, ("betfair",), patience=patience)
    thread = threading.Thread(target=lambda: codes.append(supervisor(over)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(SECONDS)
        assert codes == [0]


def asleep(role: str) -> psutil.Process:
    """Stop a worker of this process, which then exists and does nothing."""
    own = psutil.Process().children(recursive=True)
    found = [one for one in own if ["rederive.worker", role] == one.cmdline()[2:4]]
    for process in found:
        process.send_signal(signal.SIGSTOP)
    return found[0]


@pytest.mark.parametrize("role", ["agent", pytest.param("sink", marks=pytest.mark.long), "producer"])
def test_what_hangs_is_ended_and_begun_again(
    settings: Settings, connection: psycopg.Connection, migrated: str, role: str
) -> None:
    markets(connection)
    snapshots = stream()
    alone = settings.model_copy(update={"workers": 1, "sinks": 1})
    with supervised(alone, migrated, patience=3.0):
        until(lambda: connection.execute("SELECT 1 FROM rederive.cursors").fetchone(), SECONDS, "it does not begin")
        insert(connection, next(snapshots))
        until(lambda: derived(connection) == 1, SECONDS, "nothing is derived")
        sleeping = asleep(role)
        insert(connection, next(snapshots))
        until(lambda: not lacking(connection), SECONDS, f"the {role} that hangs is waited for")
        assert not psutil.pid_exists(sleeping.pid) or sleeping.status() == psutil.STATUS_ZOMBIE


def test_stopped_it_lets_arrive_what_was_found(
    settings: Settings, connection: psycopg.Connection, migrated: str
) -> None:
    markets(connection)
    live = begun(settings, migrated)
    try:
        insert(connection, next(stream()))
        until(lambda: derived(connection) == 1, SECONDS, "nothing is derived")
        os.kill(live.pid, signal.SIGINT)
        _, said = live.communicate(timeout=SECONDS)
        assert live.returncode == 0, said
        assert not workers(live, "agent")
        assert connection.execute("SELECT count(*) FROM rederive.producers").fetchone() == (0,)
    finally:
        end(live)
