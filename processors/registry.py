"""Which processor computes which domain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from processors import betfair, betfair_line
from schemas.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Processor:
    """A domain's pure functions.

    `process` makes a unit's value and the value columns asked for (none: all) into its outcome; ValueError when
    nothing can be made of the unit. `compute_line` answers one input line of `rederive compute` with one line that has
    at least the keys `skip` and `error`; it never raises.
    """

    process: Callable[[bytes, Sequence[str]], Outcome]
    compute_line: Callable[[bytes], bytes]


PROCESSORS: dict[str, Processor] = {
    "betfair": Processor(betfair.process, betfair_line.compute_line),
}
