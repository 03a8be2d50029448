"""Workers as forks of a process that has imported what they need: a run starts up to eight, each imports for a second.

    Forked.begun(address(), "rederive.worker", ["sink", "betfair"], environment)

Runs that a test kills or looks into (`tests/program.py`, `start`) start their workers as everybody does.
"""

import gc
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).parents[1]

_CODE = struct.Struct("!i")
_MOST_SAID = 256 * 1024
_SERVING: list["subprocess.Popen[bytes]"] = []
"""What forks for this process: at most one."""


class Forked:
    """A process that was forked elsewhere: what is used here of subprocess.Popen."""

    def __init__(self, pid: int, told: socket.socket, stdout: IO[bytes] | None) -> None:
        self.pid, self.stdout = pid, stdout
        self.returncode: int | None = None
        self._told = told

    @classmethod
    def begun(
        cls,
        address: str,
        module: str,
        words: Sequence[str],
        environment: Mapping[str, str],
        stdin: int | None = None,
        *,
        piped: bool = False,
    ) -> Self:
        """`python -m module words…` in this environment and folder, with no stderr; stdin is given, or is empty."""
        told = socket.socket(socket.AF_UNIX)
        told.connect(address)
        read, write = os.pipe() if piped else (-1, os.open(os.devnull, os.O_WRONLY))
        given = os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin)
        asked = {"module": module, "words": [*words], "environment": dict(environment), "folder": os.getcwd()}  # noqa: PTH109
        said = json.dumps(asked).encode() + b"\n"
        try:
            sent = socket.send_fds(told, [said], [given, write])
            told.sendall(said[sent:])
        finally:
            os.close(given)
            os.close(write)
        (pid,) = _CODE.unpack(told.recv(_CODE.size, socket.MSG_WAITALL))
        return cls(pid, told, os.fdopen(read, "rb") if piped else None)

    def poll(self) -> int | None:
        """Its exit code, minus a signal's number; None while it runs."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code as soon as it has ended. subprocess.TimeoutExpired after `timeout` seconds."""
        code = self._ended(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("a forked process", timeout)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._told, selectors.EVENT_READ)
                if not selector.select(timeout):
                    return None
            code = self._told.recv(_CODE.size, socket.MSG_WAITALL)
            assert code, "what has forked it is gone"
            (self.returncode,) = _CODE.unpack(code)
            self._told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            # It may have ended and not be told of yet.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def address() -> str:
    """Where this process of the tests has its workers forked; what forks them ends when this process does, however."""
    folder = tempfile.mkdtemp(prefix="rederive-forks-")
    # the other end is closed with this process
    life, _ = os.pipe()
    path = f"{folder}/socket"
    # one thread: those of a library would be lost in its forks
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1"}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        command = [sys.executable, "-m", "tests.worker_forks", str(listening.fileno()), folder]
        _SERVING.append(
            subprocess.Popen(
                command,
                stdin=life,
                cwd=ROOT,
                env=environment,
                pass_fds=[listening.fileno()],
                start_new_session=True,
            )
        )
    os.close(life)
    return path


def for_spares(address: str) -> None:
    """Have the runs of this process take their workers from there."""
    from rederive import safe_path
    from rederive.spares import Role, Spare

    def begun(role: Role, domain: str) -> Spare:
        parent, child = socket.socketpair()
        with child:
            environment = {**os.environ, **safe_path.environment()}
            process = Forked.begun(address, "rederive.worker", [role, domain], environment, child.fileno(), piped=True)
        return Spare(process, parent)  # type: ignore[arg-type]

    Spare.begun = begun  # type: ignore[method-assign]


def _get_ready() -> None:
    from rederive import worker

    # FINRA's formulas are left to those who compute by them: they bring polars, and its threads.
    for domain in ("betfair", "racing"):
        worker._get_ready("agent", domain)
        worker._get_ready("sink", domain)
    assert "polars" not in sys.modules
    gc.collect()
    gc.freeze()


def _serve(listening: socket.socket) -> None:
    """Fork what is asked for, and tell how it has ended, until stdin is closed."""
    heard, told = os.pipe()
    for end in (heard, told):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for one in (0, heard, listening):
            selector.register(one, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if 0 in ready:
                return
            if heard in ready:
                os.read(heard, 4096)
                _tell(running)
            if listening.fileno() in ready:
                asked, _ = listening.accept()
                pid = _forked(asked, [heard, told, listening.fileno(), *(each.fileno() for each in running.values())])
                running[pid] = asked
                _send(asked, pid)


def _tell(running: dict[int, socket.socket]) -> None:
    """Collect those that have ended."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as asked:
            _send(asked, os.waitstatus_to_exitcode(status))


def _send(asked: socket.socket, number: int) -> None:
    # who asked may be gone
    with suppress(BrokenPipeError, ConnectionResetError):
        asked.sendall(_CODE.pack(number))


def _forked(asked: socket.socket, not_its: Sequence[int]) -> int:
    """The process id of a new child, which never comes back from here."""
    said, descriptors = b"", []
    while not said.endswith(b"\n"):
        more, given, *_ = socket.recv_fds(asked, _MOST_SAID, 2)
        if not more:
            raise RuntimeError("who asked is gone")
        said += more
        descriptors += given
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for descriptor in (*not_its, asked.fileno()):
            os.close(descriptor)
        code = _run(descriptors, **json.loads(said))
    finally:
        os._exit(code)


def _run(
    descriptors: Sequence[int], module: str, words: Sequence[str], environment: Mapping[str, str], folder: str
) -> int:
    """What `python -m` does, to the end of all threads; the exit code."""
    os.setsid()
    stdin, stdout = descriptors
    for descriptor, place in ((stdin, 0), (stdout, 1), (os.open(os.devnull, os.O_WRONLY), 2)):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    if more := [one for one in environment.get("PYTHONPATH", "").split(os.pathsep) if one and one not in sys.path]:
        _find_more(more)
    os.chdir(folder)
    sys.argv = [module, *words]
    code: Any = 0
    try:
        with warnings.catch_warnings():
            # it has been imported, and is run all the same
            warnings.simplefilter("ignore", RuntimeWarning)
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    threading._shutdown()  # type: ignore[attr-defined]
    sys.stdout.flush()
    return code if isinstance(code, int) else int(code is not None)


def _find_more(folders: Sequence[str]) -> None:
    """As if the folders had been on the search path from the beginning: domains may lie there."""
    from rederive import domains

    sys.path[:0] = folders
    for known in (domains.find, domains._loaded, domains._offered):
        known.cache_clear()


if __name__ == "__main__":
    try:
        _get_ready()
        _serve(socket.socket(fileno=int(sys.argv[1])))
    finally:
        shutil.rmtree(sys.argv[2], ignore_errors=True)
