"""Workers that begin ahead of their work: they are used, and none is left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from pydantic import SecretStr

from rederive.settings import Settings
from rederive.spares import Spares
from rederive.worker import Work
from tests.program import ROOT
from tests.wait import until

_HOLDS_SPARES = """
import sys
from rederive.spares import Spares
with Spares.ahead("racing") as spares:
    print(*(spare.process.pid for waiting in spares._waiting.values() for spare in waiting), flush=True)
    sys.stdin.read()
"""


def _ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_spares_end_when_their_run_is_killed() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", _HOLDS_SPARES],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stdout is not None
        spares = [psutil.Process(int(pid)) for pid in run.stdout.readline().split()]
        assert len(spares) == 2
        assert not any(map(_ended, spares))
        run.send_signal(signal.SIGKILL)
    until(lambda: all(map(_ended, spares)), 60, "spares outlive their run")


def test_a_spare_is_taken_once_and_the_others_end() -> None:
    with Spares() as spares:
        spares.prepare("sink", "racing", 2)
        spares.prepare("sink", "racing", 2)
        one = spares.take("sink", "racing")
        (other,) = spares._waiting["sink", "racing"]
        assert one.process.poll() is None
    assert other.process.returncode is not None
    assert one.process.poll() is None
    one.end()
    assert one.process.returncode is not None


def test_in_place_of_a_dead_spare_comes_a_new_one() -> None:
    with Spares() as spares:
        spares.prepare("sink", "racing", 1)
        (dead,) = spares._waiting["sink", "racing"]
        dead.process.kill()
        dead.process.wait()
        taken = spares.take("sink", "racing")
        assert taken is not dead
        assert taken.process.poll() is None
        taken.end()


def test_a_worker_that_is_told_its_work_writes_to_the_log_and_holds_its_slot(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    with Spares() as spares, (tmp_path / "slot").open("w") as slot:
        told = spares.take("sink", "racing")
        # A URL that can't be read ends a sink before it has touched a service.
        settings = Settings(
            home=tmp_path, database_url=SecretStr("postgresql://u:p@x@h/d"), kafka_bootstrap="127.0.0.1:1"
        )
        told.tell(Work.of(settings, "racing", "replay", "one"), slot, log)
    assert told.process.wait(60) != 0
    assert "the database URL can't be read" in log.read_text()
    told.end()
