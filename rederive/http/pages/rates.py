"""How fast captures get on, from look to look, and how long they will take."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi import Request

from schemas.capture import CaptureState
from store.captures import Listed

_SECONDS = 30.0
_MOST_CAPTURES = 200


@dataclass(frozen=True, slots=True)
class Rate:
    """Rows/s, and the seconds that are left; None where nobody can tell."""

    rows: float
    left: float | None


@dataclass(slots=True)
class Rates:
    """What was processed of running captures at the last looks."""

    _seen: dict[str, deque[tuple[float, int, int]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, captures: Sequence[Listed]) -> dict[str, Rate]:
        """By capture, of those that are running: over the last half minute, or since they were made."""
        with self._lock:
            if len(self._seen) > _MOST_CAPTURES:
                self._seen.clear()
            return {one.capture_id: self._rate(one) for one in captures if one.state == CaptureState.RUNNING}

    def _rate(self, one: Listed) -> Rate:
        now = time.monotonic()
        processed = one.updated + one.unchanged + one.skipped + one.errors
        seen = self._seen.setdefault(one.capture_id, deque())
        seen.append((now, processed, one.units_done))
        while seen[0][0] < now - _SECONDS and len(seen) > 2:
            seen.popleft()
        before, rows, units = seen[0]
        passed = now - before
        if passed < 1:
            # Looked at for the first time: on average since it was made.
            passed = max(1.0, (datetime.now(UTC) - one.created_at).total_seconds())
            rows = units = 0
        per_unit = (one.units_done - units) / passed
        left = (one.units - one.units_done) / per_unit if per_unit > 0 else None
        return Rate((processed - rows) / passed, left)


def rates_of(request: Request) -> Rates:
    """Those of the application that a request came to."""
    found: Rates = request.app.state.rates
    return found
