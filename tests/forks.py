"""Commands as forks of a process that has imported the program: to import takes longer than most commands do."""

import multiprocessing
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

from rederive import domains
from rederive.__main__ import main
from rederive.cli.root import COMMANDS
from tests import worker_forks

ROOT = Path(__file__).parents[1]

_PACKAGES = ("schemas", "store", "producers", "sinks", "rederive")
"""What commands import when they run: all but the formulas, which are their workers' to import."""

_LEFT_OUT = ("schemas.migrations", "rederive.__main__", "rederive.demo", "rederive.finra")
"""What does something when it is imported, and what brings polars, whose threads a fork would lose."""


@cache
def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    given = [*COMMANDS.values(), *(command for domain in domains.shipped() for command in domain.commands.values())]
    commands = sorted({command.part.partition(":")[0] for command in given})
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

    Its workers are forks too, unless what there is to import is what a test is about. It has ended when nothing holds
    its stdout and stderr any more. Raises subprocess.TimeoutExpired after `timeout` seconds.
    """
    (out, out_of_it), (err, err_of_it) = (_forks().Pipe(duplex=False) for _ in range(2))
    workers = "" if _in_the_way(folder, environment) else worker_forks.address()
    arguments = ([*words], folder, dict(environment), workers, out_of_it, err_of_it)
    process = _forks().Process(target=_command, args=arguments)
    with out, err:
        with out_of_it, err_of_it:
            process.start()
        try:
            said = _read([out.fileno(), err.fileno()], timeout)
        except BaseException as error:
            process.kill()
            if isinstance(error, TimeoutError):
                raise subprocess.TimeoutExpired([*words], timeout) from None
            raise
        finally:
            process.join()
    assert process.exitcode is not None
    return subprocess.CompletedProcess([*words], process.exitcode, *said)


def _in_the_way(folder: Path, environment: Mapping[str, str]) -> bool:
    """Whether a new interpreter would find what its forks don't."""
    ahead = environment.get("PYTHONPATH", "").split(os.pathsep)
    return (folder / "processors").exists() or any(Path(one, "sitecustomize.py").exists() for one in ahead if one)


def _read(pipes: Sequence[int], timeout: float) -> list[str]:
    """What each pipe gives to its end."""
    deadline = time.monotonic() + timeout
    found = {pipe: bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in selector.select(left):
                if more := os.read(key.fd, 65_536):
                    found[key.fd] += more
                else:
                    selector.unregister(key.fd)
    return [text.decode() for text in found.values()]


def _command(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], workers: str, out: Connection, err: Connection
) -> None:
    """What a new interpreter finds, and then what `python -m rederive` does."""
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place not in sys.path]
    os.chdir(folder)
    for pipe, place, name in ((out, 1, "stdout"), (err, 2, "stderr")):
        os.dup2(pipe.fileno(), place)
        pipe.close()
        # stderr by line
        setattr(sys, name, os.fdopen(place, "w", buffering=-1 if place == 1 else 1, encoding="utf-8", closefd=False))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["rederive", *words]
    if workers:
        worker_forks.for_spares(workers)
    main()
