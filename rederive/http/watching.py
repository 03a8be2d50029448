"""How everything is, for many who look at once: the services are asked once every two seconds at most."""

import threading
from dataclasses import dataclass, field

from rederive.http.cache import Cache
from rederive.settings import Settings
from rederive.status import Status, Watcher

_FRESH_SECONDS, _STALE_SECONDS = 2.0, 10.0
_CLOSE_SECONDS = 0.5


@dataclass(slots=True)
class Watching:
    """Looks for whoever asks. `close` it in the end."""

    settings: Settings
    _watcher: Watcher = field(init=False)
    _kept: Cache[Status] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._watcher = Watcher(self.settings)
        self._kept = Cache(_FRESH_SECONDS, _STALE_SECONDS)

    def close(self) -> None:
        """Leave the broker, unless somebody is looking: the program ends without waiting for that."""
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            try:
                self._watcher.close()
            finally:
                self._lock.release()

    def status(self) -> Status:
        """How everything is, or was some seconds ago: its `at` says when."""
        return self._kept.get("status", self._look)

    def _look(self) -> Status:
        with self._lock:
            return self._watcher.look()
