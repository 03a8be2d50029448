"""Time as a heap of events, and the two things that work waits for: cores and pipes."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

Then = Callable[[], None]

_SLICE = 0.02


class Clock:
    """Simulated seconds. Events of one moment come in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Then]] = []
        self._number = 0

    def at(self, when: float, then: Then) -> None:
        """Have something happen at a moment, now at the earliest."""
        self._number += 1
        heappush(self._events, (max(when, self.now), self._number, then))

    def after(self, seconds: float, then: Then) -> None:
        """Have something happen so much later."""
        self.at(self.now + seconds, then)

    def run(self, going: Callable[[], bool]) -> None:
        """Go from event to event while `going` says so and there are any."""
        while self._events and going():
            self.now, _, then = heappop(self._events)
            then()


class Cores:
    """Processor cores that jobs share in turns of 20 ms, first come, first served."""

    def __init__(self, clock: Clock, count: int) -> None:
        self.count = count
        self.busy = 0.0
        self._clock = clock
        self._free = count
        self._waiting: deque[tuple[float, Then]] = deque()

    def run(self, seconds: float, then: Then) -> None:
        """Work so many seconds of one core, then go on."""
        self._waiting.append((seconds, then))
        self._next()

    def _next(self) -> None:
        while self._free and self._waiting:
            seconds, then = self._waiting.popleft()
            self._free -= 1
            now = min(seconds, _SLICE)
            self._clock.after(now, lambda now=now, left=seconds - now, then=then: self._done(now, left, then))  # type: ignore[misc]

    def _done(self, worked: float, left: float, then: Then) -> None:
        self.busy += worked
        self._free += 1
        if left > 0:
            self._waiting.append((left, then))
        else:
            then()
        self._next()

    def capacity(self, seconds: float) -> float:
        """Seconds of work that fit in so many seconds."""
        return self.count * seconds


class Pipe:
    """A disk or a network link: so many bytes a second, one after another."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self.rate = rate
        self._sent = 0.0
        self._clock = clock
        self._free_at = 0.0

    def send(self, size: float, then: Then | None = None, *, ahead: float = 0.0) -> None:
        """Pass so many bytes, then go on; `ahead` seconds before they are through, where something buffers them."""
        self._free_at = max(self._free_at, self._clock.now) + size / self.rate
        self._sent += size / self.rate
        if then is not None:
            self._clock.at(self._free_at - ahead, then)

    @property
    def busy(self) -> float:
        """Seconds at work until now."""
        return self._sent - max(0.0, self._free_at - self._clock.now)

    def capacity(self, seconds: float) -> float:
        """Seconds of work that fit in so many seconds."""
        return seconds
