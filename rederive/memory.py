"""How much memory the processes of a run take, as the kernel measures it (finra spec, section 10)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_EVERY_SECONDS = 1.0
_MOST_SAMPLES = 1_000


def peak(pid: int) -> int:
    """The most resident memory that a process has had, in bytes; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    kibibytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), "0")
    return int(kibibytes) * 1024


@dataclass(slots=True)
class Memory:
    """The peak of the largest process of each role, followed over a run."""

    _samples: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    _every: float = _EVERY_SECONDS

    def look(self, processes: Mapping[str, Sequence[int]], *, last: bool = False) -> None:
        """Measure the processes of each role, at most once a second unless it is the last time."""
        now = time.monotonic()
        if self._samples and not last and now - self._samples[-1][0] < self._every:
            return
        before = self._samples[-1][1] if self._samples else {}
        self._samples.append(
            (now, {role: max([before.get(role, 0), *map(peak, pids)]) for role, pids in processes.items()})
        )
        if len(self._samples) > _MOST_SAMPLES:
            del self._samples[1::2]
            self._every *= 2

    def describe(self) -> dict[str, dict[str, int]]:
        """By role: `peak`, and `half`, what it was in the first half of the time; in bytes."""
        if not self._samples:
            return {}
        (begun, _), (ended, peaks) = self._samples[0], self._samples[-1]
        half = [found for at, found in self._samples if at <= (begun + ended) / 2][-1]
        return {role: {"half": half.get(role, 0), "peak": most} for role, most in peaks.items()}
