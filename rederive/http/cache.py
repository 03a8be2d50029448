"""Values that take long to find out, kept for a while: who asks gets the last one while the next is looked for."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

V = TypeVar("V")

_MOST = 64


@dataclass(slots=True)
class _Entry(Generic[V]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: V | None = None
    found: float = float("-inf")
    version: object = None
    looking: bool = False


class Cache(Generic[V]):
    """Values by key. One that is younger than `fresh` seconds, or of the same version, is given as it is.

    One younger than `stale` is given, too, and looked for again behind it; an older one is waited for. One caller looks
    at a time.
    """

    def __init__(self, fresh: float, stale: float) -> None:
        self._fresh, self._stale = fresh, stale
        self._entries: dict[Hashable, _Entry[V]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, find: Callable[[], V], version: object = None) -> V:
        """The value of a key; `find` finds it out. It counts as fresh as long as a version that isn't None stays."""
        with self._lock:
            entry = self._entries.pop(key, None) or _Entry()
            # The last asked for stand last; nobody has asked for the first ones for long.
            self._entries[key] = entry
            while len(self._entries) > _MOST:
                self._entries.pop(next(iter(self._entries)))
        if self._is_fresh(entry, version):
            return entry.value  # type: ignore[return-value]
        if time.monotonic() - entry.found < self._stale:
            with self._lock:
                begin, entry.looking = not entry.looking, True
            if begin:
                # What is still being looked for when the program ends is wanted by nobody.
                threading.Thread(target=self._look, args=(entry, find, version), daemon=True).start()
            return entry.value  # type: ignore[return-value]
        with entry.lock:
            if not self._is_fresh(entry, version):
                self._set(entry, find(), version)
            return entry.value  # type: ignore[return-value]

    def _is_fresh(self, entry: _Entry[V], version: object) -> bool:
        same = version is not None and entry.version == version
        return same or time.monotonic() - entry.found < self._fresh

    def _look(self, entry: _Entry[V], find: Callable[[], V], version: object) -> None:
        try:
            self._set(entry, find(), version)
        except Exception:
            # Whoever asks next once it is too old is told why.
            entry.found = float("-inf")
        finally:
            entry.looking = False

    @staticmethod
    def _set(entry: _Entry[V], value: V, version: object) -> None:
        entry.value, entry.version, entry.found = value, version, time.monotonic()
