"""What a command's processes and the services use while it runs."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

from rederive import local
from rederive.settings import Settings

ROOT = Path(__file__).parents[1]

_LOOK_SECONDS = 0.2
_SAID_CHARS = 4_000
_ROLES = {"agent": "agents", "sink": "sinks", "producer": "producer"}


class Watch(threading.Thread):
    """Peak resident memory in MB of one process, and processor seconds of all, by the part they have in the work.

    `services` are the process ids of services by their names; all other parts are processes below this one.
    """

    def __init__(self, services: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, float] = {}
        self.ended = threading.Event()
        self._services = services
        self._began = {name: _service_seconds(pid) for name, pid in services.items()}
        self._used: dict[str, float] = {}
        self._parts: dict[int, str | None] = {}
        self._seconds: dict[int, float] = {}

    def run(self) -> None:
        """Look five times a second, and once more at the end."""
        while not self.ended.wait(_LOOK_SECONDS):
            self._look()
        self._look()
        self._used = {name: _service_seconds(pid) - self._began[name] for name, pid in self._services.items()}

    def seconds(self) -> dict[str, float]:
        """Processor seconds per part since the start, when the watch has ended."""
        found: dict[str, float] = {}
        for pid, seconds in self._seconds.items():
            if (part := self._parts[pid]) is not None:
                found[part] = found.get(part, 0.0) + seconds
        return {**found, **self._used}

    def _look(self) -> None:
        for process in psutil.Process().children(recursive=True):
            try:
                # Looked at each time: who has just been forked has its parent's command line, who has ended none.
                part = part_of(process.cmdline()) or self._parts.get(process.pid)
                self._parts[process.pid] = part
                if part is None:
                    continue
                times = process.cpu_times()
                self._seconds[process.pid] = times.user + times.system
                self.peaks[part] = max(self.peaks.get(part, 0.0), process.memory_info().rss / 1e6)
            except psutil.Error:
                continue


def part_of(words: Sequence[str]) -> str | None:
    """Which part a process has by its command line: producer, agents, sinks, script; None when it is none of ours."""
    if "-m" not in words:
        return None
    module, *others = words[list(words).index("-m") + 1 :] or [""]
    if module == "rederive.worker":
        return _ROLES[others[0]]
    if module == "rederive":
        return _ROLES[others[1]] if others[:1] == ["worker"] else "producer"
    if module.startswith(("bench.contenders.script", "bench.contenders.finra_script")):
        return "script"
    if module.startswith("bench.contenders."):
        return "producer" if module.endswith(".stream") else "agents"
    return None


def _service_seconds(pid: int) -> float:
    """Processor seconds of a service so far: its process, those below it, and those that have ended there."""
    try:
        parent = psutil.Process(pid)
        times = parent.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in parent.children(recursive=True):
            try:
                of_child = child.cpu_times()
                total += of_child.user + of_child.system
            except psutil.Error:
                continue
    except psutil.Error:
        return 0.0
    return float(total)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command took: seconds by the clock, processor seconds and peak MB of one process by part, its output."""

    seconds: float
    cpu: dict[str, float]
    peaks: dict[str, float]
    output: bytes


def measure(settings: Settings, command: Sequence[str], ahead: Path | None = None) -> Measured:
    """Run a command from its start to its end. CalledProcessError when it fails; a note says its stderr.

    Modules in the folder `ahead` come before all others.
    """
    services = {one.service: one.pid for one in local.status(settings) if one.pid}
    watch = Watch(services)
    # An interpreter that keeps no compiled files compiles every module in every process.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join(str(folder) for folder in (ahead, ROOT) if folder is not None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    watch.start()
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            env={**environment, **settings.environment(), "PYTHONPATH": path},
            capture_output=True,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        error.add_note(error.stderr.decode(errors="replace")[-_SAID_CHARS:])
        raise
    finally:
        seconds = time.perf_counter() - started
        watch.ended.set()
        watch.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    exact = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(seconds, _with_ends(watch.seconds(), exact, services), watch.peaks, done.stdout)


def _with_ends(parts: dict[str, float], exact: float, services: Container[str]) -> dict[str, float]:
    """The parts with what their processes used after they were last seen, in proportion: `exact` in all."""
    seen = sum(seconds for part, seconds in parts.items() if part not in services)
    more = max(1.0, exact / seen) if seen else 1.0
    return {part: seconds if part in services else seconds * more for part, seconds in parts.items()}


def run(settings: Settings, *words: str, ahead: Path | None = None) -> tuple[Measured, dict[str, int]]:
    """A whole `rederive` command, and the object that it ends with; `ahead` is as of `measure`."""
    measured = measure(settings, [sys.executable, "-m", "rederive", *words, "--json"], ahead)
    return measured, orjson.loads(measured.output.splitlines()[-1])


def show(measured: Measured | Watch, rows: int) -> None:
    """Print peak memory and processor time by part."""
    used = measured.cpu if isinstance(measured, Measured) else measured.seconds()
    for part, peak in sorted(measured.peaks.items()):
        print(f"peak memory, {part:12} {peak:10,.0f} MB")
    for part, seconds in sorted(used.items()):
        print(f"processor, {part:14} {seconds / rows * 1e6:10,.1f} µs a row")
