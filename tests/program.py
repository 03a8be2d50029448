"""The program as a person runs it: a process of its own, with settings of a test."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import psutil

from rederive.settings import Settings
from tests import forks, worker_forks

ROOT = Path(__file__).parents[1]


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a command has these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REDERIVE_")}
    ahead = [os.environ["TEST_PYTHONPATH"]] if "TEST_PYTHONPATH" in os.environ else []
    return {**inherited, "PYTHONPATH": os.pathsep.join([*ahead, str(ROOT)]), **settings.environment()}


_WITH_FORKS = """
import sys
from tests import worker_forks
worker_forks.for_spares(sys.argv.pop(1))
from rederive.__main__ import main
main()
"""


def start(settings: Settings, *words: str, forked: bool = False) -> subprocess.Popen[str]:
    """Start a command; its output is piped. With `forked` its workers are forks (`tests/worker_forks.py`)."""
    begun = ["-c", _WITH_FORKS, worker_forks.address()] if forked else ["-m", "rederive"]
    return subprocess.Popen(
        [sys.executable, *begun, *words],
        cwd=settings.home.parent,
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rederive(settings: Settings, *words: str, code: int = 0, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and check its exit code."""
    done = forks.run(words, settings.home.parent, environment(settings), timeout)
    assert done.returncode == code, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


SHADOWS = ("statistics", "random", "typing", "orjson", "cyclopts", "signal", "processors", "schemas")


def shadow(folder: Path) -> None:
    """Put modules into a folder that bear the names of what the program imports, and break whoever imports them."""
    for name in SHADOWS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise SystemExit('the current folder is imported from')")


def last_object(output: str) -> dict[str, object]:
    """The JSON object on the last line of stdout."""
    found = orjson.loads(output.strip().splitlines()[-1])
    assert isinstance(found, dict)
    return found


def workers(run: subprocess.Popen[str], role: str) -> list[psutil.Process]:
    """The worker processes of a role below a run."""
    try:
        children = psutil.Process(run.pid).children(recursive=True)
        return [child for child in children if child.is_running() and ["rederive.worker", role] == child.cmdline()[2:4]]
    except psutil.Error:
        return []
