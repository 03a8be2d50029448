"""Processes that outlive the program that started them, and are known again later."""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

_STAGING = "new-"
_LOG_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Account:
    """The system user a process runs as, when it isn't the caller."""

    uid: int
    gid: int


def spawn(
    command: Sequence[str],
    log_file: Path,
    account: Account | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process on its own: own session, no terminal, none of the caller's open files; output goes to a file.

    It runs in that file's folder.
    """
    if log_file.exists() and log_file.stat().st_size > _LOG_LIMIT:
        log_file.replace(log_file.with_suffix(".old.log"))
    with log_file.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            close_fds=True,
            cwd=log_file.parent,
            env=environment,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def recorded(pid: int, created: float, is_ours: Callable[[psutil.Process], bool]) -> psutil.Process | None:
    """The process that was recorded, if it is still the same one."""
    if not pid:
        return None
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - created) < 1 and alive(process) and is_ours(process):
            return process
    except psutil.Error:
        pass
    return None


def search(is_ours: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Every running process that is ours: finds what a killed start left without a record."""
    found = []
    for process in psutil.process_iter():
        try:
            if alive(process) and is_ours(process):
                found.append(process)
        except psutil.Error:
            continue
    return found


def end(processes: Sequence[psutil.Process], seconds: float, ask: int | None) -> bool:
    """End processes: the signal `ask` asks them, after `seconds` they are killed. Whether none had to be killed."""
    if ask is not None:
        for process in processes:
            _signal(process, ask)
    left = _left(processes, seconds if ask is not None else 0)
    for process in left:
        log.warning("process %d did not stop within %.0f s and is killed", process.pid, seconds)
        _signal(process, signal.SIGKILL)
    _left(left, 10)
    return not left


def alive(process: psutil.Process) -> bool:
    """Whether it still does something: one that only waits to be collected by its parent doesn't."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _left(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    deadline = time.monotonic() + seconds
    while True:
        left = [process for process in processes if alive(process)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A place under `folder` where data is made before it is moved to where it counts.

    What a killed start left there is ended and removed; the place is a new one, since that may still be writing.
    """
    left = str(folder / _STAGING)
    end(search(lambda process: any(left in word for word in process.cmdline())), 5, signal.SIGTERM)
    for old in folder.glob(f"{_STAGING}*"):
        shutil.rmtree(old, ignore_errors=True)
    new = Path(tempfile.mkdtemp(dir=folder, prefix=_STAGING))
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def tail(path: Path, lines: int = 15, since: int = 0) -> str:
    """The last lines of a log, from byte `since` on."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= size else 0, size - 64 * 1024))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def wait_until(condition: Callable[[], bool], going_on: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition holds; False when the process is gone or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        if not going_on():
            return False
        time.sleep(0.03)
    return False
