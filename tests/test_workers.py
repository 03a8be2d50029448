"""What a run says of a worker that died."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rederive.settings import Settings
from rederive.workers import Workers
from schemas.lane import Lane, LaneName


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", "was killed by SIGKILL"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGRTMIN) + 2})", f"was killed by signal {signal.SIGRTMIN + 2}"),
        ("import os; os._exit(70)", "ended with 70"),
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
    assert (str(log_file) in line) == ("ended" in said)
