"""Worker processes that begin ahead of their work: they import while their run is still being planned."""

import json
import os
import socket
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Self

from rederive import safe_path

if TYPE_CHECKING:
    from rederive.worker import Work

Role = Literal["agent", "sink", "producer"]


@dataclass(slots=True)
class Spare:
    """A worker process that waits to be told whose work it does, and its run's end of the socket that is its stdin."""

    process: subprocess.Popen[bytes]
    parent: socket.socket

    @classmethod
    def begun(cls, role: Role, domain: str) -> Self:
        """A new one."""
        parent, child = socket.socketpair()
        with child:
            process = subprocess.Popen(
                [sys.executable, "-m", "rederive.worker", role, domain],
                stdin=child.fileno(),
                stdout=subprocess.PIPE,
                # Where it writes to is told with the work; what goes wrong before goes wrong again then.
                stderr=subprocess.DEVNULL,
                env={**os.environ, **safe_path.environment()},
                start_new_session=True,
            )
        return cls(process, parent)

    def tell(self, work: "Work", slot: IO[str], log_file: Path) -> subprocess.Popen[bytes]:
        """Have it begin its work; it inherits the lock of its slot. BrokenPipeError when it has died.

        Logs are a person's to clear away, with their folder, whatever runs meanwhile.
        """
        said = json.dumps(asdict(work)).encode() + b"\n"
        log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log_file.open("ab") as log:
            socket.send_fds(self.parent, [said], [slot.fileno(), log.fileno()])
        return self.process

    def end(self) -> None:
        """End it; it has nothing to lose."""
        self.parent.close()
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@dataclass(slots=True)
class Spares:
    """Spare workers by role and domain; a context manager that leaves none behind.

    Each notices by its stdin that this process is gone.
    """

    _waiting: dict[tuple[Role, str], list[Spare]] = field(default_factory=lambda: defaultdict(list))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for waiting in self._waiting.values():
            while waiting:
                waiting.pop().end()

    @classmethod
    def ahead(cls, domain: str) -> Self:
        """With what the first unit of any run needs, an agent and a sink; further ones begin when units are known."""
        spares = cls()
        spares.prepare("agent", domain, 1)
        spares.prepare("sink", domain, 1)
        return spares

    def prepare(self, role: Role, domain: str, count: int) -> None:
        """Begin what is missing of so many."""
        waiting = self._waiting[role, domain]
        while len(waiting) < count:
            waiting.append(Spare.begun(role, domain))

    def take(self, role: Role, domain: str) -> Spare:
        """One that waits, or a new one."""
        waiting = self._waiting[role, domain]
        while waiting:
            spare = waiting.pop(0)
            if spare.process.poll() is None:
                return spare
            spare.end()
        return Spare.begun(role, domain)
