"""What a command's processes and the services use while it runs."""

import os
import subprocess
import sys
import threading
import time

import orjson
import psutil

from rederive import local
from rederive.settings import Settings


class Watch(threading.Thread):
    """Peak resident memory in MB and processor seconds of a replay's processes and of the services, by what they do."""

    def __init__(self, services: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, float] = {}
        self.ended = threading.Event()
        self._services = services
        self._cpu: dict[tuple[str, int], tuple[float, float]] = {}

    def run(self) -> None:
        """Sample five times a second."""
        while not self.ended.wait(0.2):
            for role, process in self._processes():
                try:
                    times = process.cpu_times()
                    used = times.user + times.system
                    first, _ = self._cpu.get((role, process.pid), (used if role in self._services else 0.0, 0.0))
                    self._cpu[role, process.pid] = (first, used)
                    if role not in self._services:
                        self.peaks[role] = max(self.peaks.get(role, 0.0), process.memory_info().rss / 1e6)
                except psutil.Error:
                    continue

    def seconds(self) -> dict[str, float]:
        """Processor seconds per role since the start."""
        found: dict[str, float] = {}
        for (role, _), (first, last) in self._cpu.items():
            found[role] = found.get(role, 0.0) + last - first
        return found

    def _processes(self) -> list[tuple[str, psutil.Process]]:
        found = []
        for process in psutil.Process().children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if "rederive.worker" in words:
                found.append((words[words.index("rederive.worker") + 1], process))
            elif "rederive" in words:
                found.append(("producer", process))
        for name, pid in self._services.items():
            parent = psutil.Process(pid)
            found += [(name, process) for process in (parent, *parent.children(recursive=True))]
        return found


def run(settings: Settings, *words: str) -> tuple[float, Watch, dict[str, int]]:
    """Seconds of a whole `rederive` command, what its processes used, and the object that it ends with."""
    watch = Watch({one.service: one.pid for one in local.status(settings) if one.pid})
    watch.start()
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "rederive", *words, "--json"],
        env={**os.environ, **settings.environment()},
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds = time.perf_counter() - started
    watch.ended.set()
    watch.join()
    return seconds, watch, orjson.loads(done.stdout.splitlines()[-1])


def show(watch: Watch, rows: int) -> None:
    """Print peak memory and processor time by role."""
    for role, peak in sorted(watch.peaks.items()):
        print(f"peak memory, {role:12} {peak:10,.0f} MB")
    for role, used in sorted(watch.seconds().items()):
        print(f"processor, {role:14} {used / rows * 1e6:10,.1f} µs a row")
