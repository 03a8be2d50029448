"""Forks in place of processes tell how they end, as processes do."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.program import ROOT
from tests.wait import until
from tests.worker_forks import Forked, address


def _worker(stdin: int) -> Forked:
    return Forked.begun(address(), "rederive.worker", ["sink", "racing"], os.environ, stdin, piped=True)


def test_a_worker_waits_for_its_work_until_its_run_is_gone() -> None:
    run, of_worker = socket.socketpair()
    with run:
        with of_worker:
            worker = _worker(of_worker.fileno())
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(0.2)
        assert worker.poll() is None
    assert worker.wait(60) == 0
    assert worker.stdout is not None
    with worker.stdout:
        assert worker.stdout.read() == b""


def test_one_that_is_killed_says_so() -> None:
    run, of_worker = socket.socketpair()
    with run, of_worker:
        worker = _worker(of_worker.fileno())
        worker.kill()
        assert worker.wait(60) == -signal.SIGKILL
        assert worker.stdout is not None
        worker.stdout.close()


def test_one_that_fails_does_not_end_with_0() -> None:
    assert Forked.begun(address(), "rederive.worker", ["nonsense"], os.environ).wait(60) == 1


_ASKS = """
from tests.worker_forks import _SERVING, address
print(address(), _SERVING[0].pid, flush=True)
"""


def test_what_forks_ends_with_the_process_that_it_forks_for() -> None:
    said = subprocess.run(
        [sys.executable, "-c", _ASKS], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL, text=True, check=True, timeout=60,
    ).stdout.split()  # fmt: skip
    until(lambda: not Path(said[0]).exists(), 60, "it outlives who has begun it")
    # whoever collects it, or nobody
    left = [one for one in psutil.process_iter() if one.pid == int(said[1])]
    until(lambda: all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in left), 60, "it stays")
