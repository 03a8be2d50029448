"""Commands as forks of a process that has imported the program: to import takes longer than most commands do."""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import IO

from rederive import domains
from rederive.__main__ import COMMANDS, main

ROOT = Path(__file__).parents[1]

_PACKAGES = ("schemas", "store", "producers", "sinks", "rederive")
"""What commands import when they run: all but the formulas, which are their workers' to import."""

_LEFT_OUT = ("schemas.migrations", "rederive.__main__", "rederive.demo", "rederive.finra")
"""What does something when it is imported, and what brings polars, whose threads a fork would lose."""


@cache
def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    commands = [f"rederive.cli.{name}" for name in COMMANDS]
    commands += [module for domain in domains.shipped() for module in domain.commands]
    found = [
        path.relative_to(ROOT).with_suffix("") for name in _PACKAGES for path in sorted((ROOT / name).rglob("*.py"))
    ]
    modules = [".".join(path.parts).removesuffix(".__init__") for path in found]
    context.set_forkserver_preload([*commands, *(name for name in modules if not name.startswith(_LEFT_OUT))])
    return context


def run(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """A command of the program in a process, an environment and a working folder of its own, without stdin.

    Raises subprocess.TimeoutExpired after `timeout` seconds.
    """
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        process = _forks().Process(target=_command, args=(words, folder, dict(environment), out.name, err.name))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([*words], timeout, out.read(), err.read())
        return subprocess.CompletedProcess([*words], process.exitcode, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    return file.read().decode()


def _command(words: Sequence[str], folder: Path, environment: Mapping[str, str], out: str, err: str) -> None:
    """What a new interpreter finds, and then what `python -m rederive` does."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for path, place, name in ((out, 1, "stdout"), (err, 2, "stderr")):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, place)
        os.close(opened)
        setattr(sys, name, os.fdopen(place, "w", buffering=place, encoding="utf-8", closefd=False))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["rederive", *words]
    main()
