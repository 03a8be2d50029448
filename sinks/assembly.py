"""Put results together from the records of one partition of the derived topic. Pure."""

from dataclasses import dataclass, field

from schemas.outcome import Outcome
from schemas.unit import KafkaHeaders, Origin, check_format, number, texts
from sinks.apply import Result


@dataclass(slots=True)
class Assembly:
    """Where a partition stands: the next offset to read, and the parts of results that aren't whole yet."""

    next_offset: int = 0
    _parts: dict[Origin, list[tuple[int, bytes]]] = field(default_factory=dict)

    @property
    def safe_offset(self) -> int:
        """The offset that may be committed once every whole result is in the database."""
        return min([self.next_offset, *(parts[0][0] for parts in self._parts.values())])

    def take(self, offset: int, headers: KafkaHeaders, value: bytes) -> Result | None:
        """Take the record at `offset`; the result that it makes whole, if any.

        ValueError or KeyError when it is no part of an outcome.
        """
        self.next_offset = offset + 1
        said = texts(headers)
        check_format(said)
        origin = Origin(
            said["rederive-origin-topic"], int(said["rederive-origin-partition"]), int(said["rederive-origin-offset"])
        )
        part, _, count = said.get("rederive-part", "1/1").partition("/")
        parts = self._kept(origin, int(part), offset, value)
        if parts is None or part != count:
            return None
        self._parts.pop(origin, None)
        decoded = [Outcome.decode(piece) for _, piece in parts]
        outcome = decoded[-1]
        outcome.tables = [block for piece in decoded for block in piece.tables]
        return Result(origin, said["rederive-capture"], number(said, "rederive-unit", 2**31), outcome)

    def _kept(self, origin: Origin, number: int, offset: int, value: bytes) -> list[tuple[int, bytes]] | None:
        """The parts up to this one; None when earlier ones are missing."""
        if number == 1:
            # An agent that died midway begins its result anew: what it had sent counts no more.
            self._parts[origin] = []
        parts = self._parts.get(origin)
        if parts is None or len(parts) != number - 1:
            return None
        parts.append((offset, value))
        return parts
