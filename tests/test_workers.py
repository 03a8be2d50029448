"""What a run says of a worker that died."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from rederive import worker
from rederive.settings import Settings
from rederive.spares import Role
from rederive.stopping import Stop
from rederive.worker import Work
from rederive.workers import BEGIN_AGAIN, Workers, machine_id
from schemas.errors import Away, Failed
from schemas.lane import Lane, LaneName
from tests.wait import until


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", "was killed by SIGKILL"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGRTMIN) + 2})", f"was killed by signal {signal.SIGRTMIN + 2}"),
        ("import os; os._exit(70)", "ended with 70"),
        ("", "ended with 0"),
    ],
)
def test_how_a_worker_died_and_what_becomes_of_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, script: str, said: str
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(_: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(popen([sys.executable, "-c", script], **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    log_file = tmp_path / "run.log"
    settings = Settings(home=tmp_path / "home", kafka_bootstrap="nowhere:1", database_url="postgresql://nowhere/none")
    with Workers(settings, Lane("made", LaneName.REPLAY, ""), 0, 1, log_file) as workers:
        os.waitid(os.P_PID, started[0].pid, os.WEXITED | os.WNOWAIT)
        workers.check()
        assert len(started) == 1, "not at once"
    (line,) = caplog.messages
    assert f" {said} and is started again in 0.2 s; what is merged stays, what it hadn't finished comes again (" in line
    assert (str(log_file) in line) == ("with 70" in said)
    assert ("somebody asked it to stop" in line) == ("with 0" in said)


@pytest.mark.parametrize("role", ["agent", "sink"])
def test_a_worker_that_begins_while_kafka_is_away_is_started_again(
    role: Role, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> str:
        raise Away("Kafka can't be asked", why="it does not answer")

    monkeypatch.setattr(worker, "_grown_up", away)
    settings = Settings(home=tmp_path, kafka_bootstrap="nowhere:1", database_url="postgresql://nowhere/none")
    # It doesn't come to be asked to stop.
    never = cast(Stop, None)
    assert worker.run(role, Work.of(settings, "betfair", "replay", "a"), never) == BEGIN_AGAIN
    (line,) = [record.getMessage() for record in caplog.records if record.name == "rederive.worker"]
    assert line == "it can't begin and is to be started again: Kafka can't be asked: it does not answer"


def test_a_machine_s_id_is_made_once_and_anew_where_a_full_disk_left_none(tmp_path: Path) -> None:
    (tmp_path / "machine-id").touch()
    made = machine_id(tmp_path)
    assert made
    assert machine_id(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == ["machine-id"]
    assert machine_id(tmp_path / "another") not in ("", made)


def test_a_worker_that_the_machine_can_t_start_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    popen = subprocess.Popen
    short = [False]

    def start(_: object, **options: object) -> subprocess.Popen[bytes]:
        if short[0]:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        made: subprocess.Popen[bytes] = popen(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            **options,  # type: ignore[call-overload]
        )
        return made

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr("rederive.workers._FIRST_PAUSE", 0.01)
    settings = Settings(home=tmp_path / "home", kafka_bootstrap="nowhere:1", database_url="postgresql://nowhere/none")
    log_file = tmp_path / "logs" / "run.log"
    with Workers(settings, Lane("made", LaneName.REPLAY, ""), 0, 1, log_file) as workers:

        def begun() -> bool:
            workers.check()
            return bool(workers.pids("sink"))

        (member,) = workers.members()
        short[0] = True
        workers.kill(member)
        until(lambda: not begun() and "can't be started" in caplog.text, 10, "it is not said")
        assert "Resource temporarily unavailable; see what this machine is short of" in caplog.text
        short[0] = False
        until(begun, 10, "it is not tried again")
        workers.kill(member)
        shutil.rmtree(log_file.parent)
        workers.check()
        until(begun, 10, "its log's folder is gone, and so is it")
        workers.kill(member)
    short[0] = True
    with pytest.raises(Failed, match=r"workers of made\.replay can't be started"):
        Workers(settings, Lane("made", LaneName.REPLAY, ""), 0, 1, log_file).start()
