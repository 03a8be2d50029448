"""A replay gives way to live: it has less on its way while what arrives takes too long to be visible."""

import logging
import time
from dataclasses import dataclass

from psycopg import Connection

from store import latencies

log = logging.getLogger(__name__)

MOST_UNITS = 1_000
"""Units on their way at most: what stands in the queue is bounded however much is replayed."""

LIMIT_MS = 300.0
"""Live's p99 from commit to visible above which a replay beside it sends less."""

_FIRST_UNITS, _FEWEST_UNITS = 16, 1
_LOOK_SECONDS = 2.0
_OF_LAST_SECONDS = 10.0


@dataclass(slots=True)
class Window:
    """How many units a run may have on their way now: halved while live is late, grown by a quarter while it isn't.

    Live's own figures say so (store/latencies.py). Without live it is the most at once.
    """

    limit_ms: float = LIMIT_MS
    units: int = MOST_UNITS
    _looked: float = 0.0
    _beside: bool = False
    _said: bool = False

    def look(self, connection: Connection) -> int:
        """Look at live's latencies, every two seconds at most; the units."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return self.units
        self._looked = time.monotonic()
        found = latencies.of_last(connection, _OF_LAST_SECONDS)
        live = latencies.worst(of for (_, _, stage), of in found.items() if stage == "visible")
        self.take(None if live is None else live.p99)
        return self.units

    def take(self, p99: float | None) -> None:
        """Take note of live's p99 in milliseconds; None where nothing has arrived."""
        if p99 is None:
            self._beside, self.units = False, MOST_UNITS
        elif not self._beside:
            self._beside, self.units = True, _FIRST_UNITS
        elif p99 > self.limit_ms:
            self.units = max(_FEWEST_UNITS, self.units // 2)
        else:
            self.units = min(MOST_UNITS, self.units + max(1, self.units // 4))
        self._say(p99)

    def _say(self, p99: float | None) -> None:
        late = p99 is not None and p99 > self.limit_ms
        if late and not self._said:
            log.info("what arrives live takes %.0f ms until it is visible: this replay gives way", p99)
        elif self._said and not late:
            log.info("what arrives live is in time again: this replay goes on faster")
        self._said = late
