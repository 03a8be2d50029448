"""Measures: what a process tells of its work, batch by batch, to whoever keeps figures of it."""

from collections.abc import Callable, Mapping


class Measures:
    """Told by agents, sinks, producers and runs how they get on; this one keeps nothing.

    A batch's stage says what was done to its units: `sent`, `computed`, `delivered` or `merged`. Nothing is told row by
    row: it costs the same whatever a batch holds.
    """

    def begun(self, waits: Callable[[], int] = lambda: 0) -> None:
        """It has begun to work; `waits` gives how many records or units it has yet to do, as far as it knows."""

    def moving(self) -> None:
        """It gets on, or has found nothing to do."""

    def batch(
        self,
        stage: str,
        seconds: float,
        *,
        units: int = 0,
        rows: Mapping[str, int] | None = None,
        dead: int = 0,
    ) -> None:
        """A batch is done: how long it took, its units, its rows by outcome, the units that are dead letters now."""

    def failed(self, role: str, lane: str) -> None:
        """A batch of a process of that role has failed, and is done again."""

    def restarted(self, role: str, lane: str) -> None:
        """A worker of that role has died and is started again."""

    def took(self, bins: Mapping[str, Mapping[float, int]]) -> None:
        """Live rows have become visible: by stage, how many took at most so many milliseconds."""


UNMEASURED = Measures()
"""Of a process that nobody watches."""
