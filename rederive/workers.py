"""Agents and sinks of one lane: started, watched, started again, stopped."""

import fcntl
import logging
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rederive.settings import Settings
from rederive.spares import Role, Spares
from rederive.stopping import STOP_SECONDS
from rederive.worker import Work
from schemas.errors import Failed
from schemas.lane import Lane
from schemas.measures import UNMEASURED, Measures

log = logging.getLogger(__name__)

BEGIN_AGAIN = 70
"""Exit code of a worker that can't go on where starting again helps."""

NEEDS_A_PERSON = 78
"""Exit code of a worker that starting again won't help; its message is on its stdout."""

# A worker has ended itself by then.
_KILL_SECONDS = STOP_SECONDS + 4.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_HEALTHY_SECONDS = 30.0
_SHORT = "see what this machine is short of: memory, processes, open files, room on its disk"


@dataclass(slots=True)
class _Worker:
    role: Role
    member: str
    slot: IO[str]
    process: subprocess.Popen[bytes] | None = None
    parent: socket.socket | None = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    start_at: float = 0.0


@dataclass(slots=True)
class Workers:
    """The worker processes of a lane: of one run, or of live; a context manager that leaves none behind.

    With `producer` the domain's live producer is among them; it begins anew with `from_now`.

    A worker watches its stdin: when this process dies, however it dies, the socket closes and the worker stops.
    """

    settings: Settings
    lane: Lane
    agents: int
    sinks: int
    log_file: Path
    spares: Spares = field(default_factory=Spares)
    producer: bool = False
    from_now: str = ""
    measures: Measures = UNMEASURED
    _workers: list[_Worker] = field(default_factory=list)
    restarts: int = 0

    def __enter__(self) -> "Workers":
        self.start()
        return self

    def start(self) -> None:
        """Start all; none is left when one can't be started: Failed when it is this machine that can't."""
        try:
            counts: dict[Role, int] = {"agent": self.agents, "sink": self.sinks, "producer": int(self.producer)}
            wanted = [role for role, count in counts.items() for _ in range(count)]
            for role in wanted:
                self._add(role)
        except OSError as error:
            self.stop()
            raise Failed(f"workers of {self.lane.raw} can't be started", why=str(error), mend=_SHORT) from error
        except BaseException:
            self.stop()
            raise

    def grow(self, agents: int) -> None:
        """Start what is missing of so many agents; none is stopped."""
        while self.agents < agents:
            self._add("agent")
            self.agents += 1

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pids(self, role: Role) -> list[int]:
        """Process ids of the workers of a role that run now."""
        return [w.process.pid for w in self._workers if w.role == role and w.process and w.process.poll() is None]

    def members(self) -> dict[str, int]:
        """Process ids of the agents and sinks that run now, by their ids within their groups."""
        return {w.member: w.process.pid for w in self._workers if w.process and w.process.poll() is None}

    def age(self, member: str) -> float:
        """Seconds since a member was started."""
        return min((time.monotonic() - w.started for w in self._workers if w.member == member), default=0.0)

    def kill(self, member: str) -> None:
        """End a worker that hangs: it is started again with the next `check`, what it hasn't finished comes again."""
        for worker in self._workers:
            if worker.member == member and worker.process is not None:
                worker.process.kill()
                worker.process.wait()

    def stop_producer(self) -> None:
        """Stop the producer in order, agents and sinks go on: nothing new comes then."""
        leaving = [worker for worker in self._workers if worker.role == "producer"]
        self._stop(leaving)
        self._workers = [worker for worker in self._workers if worker not in leaving]

    def check(self) -> None:
        """Start again what has died, later each time. Failed when a worker says that only a person can mend it."""
        for worker in self._workers:
            if worker.process is not None and worker.process.poll() is not None:
                self._buried(worker, worker.process)
            if worker.process is None and time.monotonic() >= worker.start_at:
                self.restarts += 1
                try:
                    self._start(worker)
                except OSError as error:
                    self._put_off(worker)
                    log.warning(
                        "%s %s can't be started and is tried again in %.1f s: %s; %s",
                        worker.role, worker.member, worker.start_at - time.monotonic(), error, _SHORT,
                    )  # fmt: skip

    def stop(self) -> None:
        """Stop all in order, and by force what takes longer than 25 s."""
        self._stop(self._workers)
        self._workers.clear()

    @staticmethod
    def _stop(workers: Sequence[_Worker]) -> None:
        running = [worker.process for worker in workers if worker.process and worker.process.poll() is None]
        for worker in workers:
            if worker.parent is not None:
                worker.parent.close()
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _KILL_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker %d does not stop and is killed; its work comes again", process.pid)
                process.kill()
                process.wait()
        for worker in workers:
            if worker.process and worker.process.stdout:
                worker.process.stdout.close()
            worker.slot.close()

    def _add(self, role: Role) -> None:
        worker = self._take_slot(role)
        self._workers.append(worker)
        self._start(worker)

    def _buried(self, worker: _Worker, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert worker.parent is not None
        worker.parent.close()
        said = process.stdout.read().decode("utf-8", "replace").strip()
        process.stdout.close()
        worker.process = None
        if process.returncode == NEEDS_A_PERSON:
            raise Failed(said or f"{worker.role} {worker.member} stopped")
        if time.monotonic() - worker.started > _HEALTHY_SECONDS:
            worker.pause = _FIRST_PAUSE
        self.measures.restarted(worker.role, self.lane.name)
        if worker.role == "agent" and process.returncode == BEGIN_AGAIN:
            self.measures.failed("agent", self.lane.name)
        log.warning(
            "%s %s %s and is started again in %.1f s; what is merged stays, what it hadn't finished comes again (%s)",
            worker.role,
            worker.member,
            _how(process.returncode),
            worker.pause,
            self._why(process.returncode),
        )
        self._put_off(worker)

    @staticmethod
    def _put_off(worker: _Worker) -> None:
        worker.start_at = time.monotonic() + worker.pause
        worker.pause = min(worker.pause * 2, _LONGEST_PAUSE)

    def _why(self, code: int) -> str:
        if code == 0:
            return "somebody asked it to stop"
        return f"{self.log_file} says why" if code > 0 else "somebody's doing, or memory was short"

    def _take_slot(self, role: Role) -> _Worker:
        """A place in the consumer group that no other process of this machine holds.

        A static member id must not be used twice; the lock goes with the worker, which inherits it.
        """
        folder = self.settings.home / "run"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        group = {"agent": self.lane.agents, "sink": self.lane.sinks, "producer": f"{self.lane.raw}.producer"}[role]
        number = 0
        while True:
            slot = (folder / f"{group}-{number}.lock").open("w")
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                slot.close()
                number += 1
                continue
            return _Worker(role, f"{machine_id(self.settings.home)}-{group}-{number}", slot)

    def _start(self, worker: _Worker) -> None:
        spare = self.spares.take(worker.role, self.lane.domain)
        work = Work.of(self.settings, self.lane.domain, self.lane.name, worker.member, from_now=self.from_now)
        try:
            # One that has just died is buried with the next look, as any other.
            with suppress(BrokenPipeError):
                spare.tell(work, worker.slot, self.log_file)
        except BaseException:
            spare.end()
            raise
        worker.process, worker.parent = spare.process, spare.parent
        worker.started = time.monotonic()


def _how(code: int) -> str:
    """How a process ended, by its exit code."""
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def machine_id(home: Path) -> str:
    """A name for this machine's part in consumer groups, made once per home; one that a full disk has left empty, anew.

    Whoever else begins at the same time reads the whole of it.
    """
    path = home / "machine-id"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (path.exists() and path.read_text().strip()):
        made = path.with_name(f"machine-id.{os.getpid()}")
        made.write_text(uuid.uuid4().hex[:12])
        if path.exists():
            made.replace(path)
        else:
            with suppress(FileExistsError):
                path.hardlink_to(made)
            made.unlink()
    return path.read_text().strip()
