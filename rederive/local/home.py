"""The home folder: what the embedded services keep between starts, and the lock that makes starts take turns."""

import fcntl
import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from schemas.errors import Failed

# Below the range from which kernels take ports for outgoing connections: nobody gets ours while we are down.
_PORTS = range(20_000, 32_000)
_DYING_SECONDS = 3


@dataclass(slots=True)
class State:
    """What local.json keeps; losing it costs a restart. A pid counts only with its process' creation time."""

    kafka_port: int = 0
    controller_port: int = 0
    kafka_pid: int = 0
    kafka_created: float = 0.0
    postgres_port: int = 0
    postgres_pid: int = 0
    postgres_created: float = 0.0


class Home:
    """The folder `path` with `local.json`, `kafka/` and `postgres/` in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kafka = path / "kafka"
        self.postgres = path / "postgres"
        self._state_file = path / "local.json"
        self._saving = threading.Lock()

    def make(self) -> None:
        """Create the folder, closed to others. Raises Failed when that isn't possible."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.kafka.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Failed(
                f"the folder for the embedded services can't be made: {self.path}",
                why=str(error),
                mend="set REDERIVE_HOME to a folder that can be written",
            ) from error

    def load(self) -> State:
        """The kept state; a fresh one when there is none or it can't be read."""
        try:
            kept = json.loads(self._state_file.read_text())
            return State(**kept)
        except (OSError, ValueError, TypeError):
            return State()

    def save(self, state: State) -> None:
        """Keep the state, whole or not at all."""
        new = self._state_file.with_suffix(".new")
        with self._saving:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(state), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._state_file)

    @contextmanager
    def locked(self, seconds: float = 180) -> Iterator[None]:
        """One start or stop at a time. Raises Failed when another holds the lock longer than `seconds`."""
        self.make()
        with locked(self.path / "local.lock", seconds):
            yield


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system lets go of it when the holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Failed(
                        f"another process has held {path} for {seconds:.0f} s",
                        mend="end that process, then try again",
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def free_port(kept: int, taken: set[int]) -> int:
    """The kept port when nobody listens on it, else a free one outside `taken`."""
    if kept and kept not in taken:
        # a server that was just killed holds its port until its last thread is gone; clients know that port
        deadline = time.monotonic() + _DYING_SECONDS
        while not _bindable(kept):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return kept
    for port in random.sample(_PORTS, 200):
        if port not in taken and _bindable(port):
            return port
    raise Failed("no free port was found", why=f"200 ports of 127.0.0.1 from {_PORTS.start} on were tried")


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
