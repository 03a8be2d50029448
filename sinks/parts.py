"""The parts of outcomes, put together from the records of one partition of the derived topic. Pure."""

from dataclasses import dataclass, field

from schemas.derived import joined
from schemas.unit import Origin
from schemas.wire import Given, decode_derived
from sinks.apply import Result


@dataclass(slots=True)
class Parts:
    """Where a partition stands: the next offset to read, and the parts of results that aren't whole yet."""

    next_offset: int = 0
    _waiting: dict[Origin, list[tuple[int, bytes]]] = field(default_factory=dict)

    @property
    def safe_offset(self) -> int:
        """The offset that may be committed once every whole result is in the database."""
        return min([self.next_offset, *(parts[0][0] for parts in self._waiting.values())])

    def take(self, offset: int, headers: Given, value: bytes, computed: int | None = None) -> Result | None:
        """Take the record at `offset`; the result that it makes whole, if any. ValueError when it is no outcome.

        `computed` is its Kafka timestamp in milliseconds.
        """
        self.next_offset = offset + 1
        said = decode_derived(headers)
        if said.capture is None:
            raise ValueError("header rederive-capture is missing: no run has asked for it")
        parts = self._kept(said.origin, said.part, offset, value)
        if parts is None or said.part != said.parts:
            return None
        self._waiting.pop(said.origin, None)
        return Result(
            said.origin,
            said.capture,
            said.unit,
            joined(piece for _, piece in parts),
            said.looked,
            said.sent,
            computed,
            said.first,
            said.attempt,
        )

    def _kept(self, origin: Origin, number: int, offset: int, value: bytes) -> list[tuple[int, bytes]] | None:
        """The parts up to this one; None when earlier ones are missing."""
        if number == 1:
            # An agent that died midway begins its result anew: what it had sent counts no more.
            self._waiting[origin] = []
        parts = self._waiting.get(origin)
        if parts is None or len(parts) != number - 1:
            return None
        parts.append((offset, value))
        return parts
