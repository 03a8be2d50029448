"""How fast a run sends: what it has sent a second, at most."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """So many rows or records a second, None without bound. What has been sent at once is waited for afterwards."""

    rate: int | None = None
    _due: float = field(default_factory=time.monotonic)

    def waits(self) -> bool:
        """Whether the next is still to wait."""
        return self.rate is not None and time.monotonic() < self._due

    def take(self, number: int) -> None:
        """Take note of what was sent. What could have been sent before and wasn't isn't made up for."""
        if self.rate is not None:
            self._due = max(self._due, time.monotonic()) + number / self.rate
