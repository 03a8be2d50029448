"""Which processor computes which domain."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from processors import betfair, betfair_line, racing, racing_line
from processors.computed import Computed
from schemas.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Processor:
    """A domain's pure functions.

    `process` makes a unit's value and the value columns asked for (none: all) into its outcome; ValueError when
    nothing can be made of the unit. `compute` makes the input lines of `rederive compute` into its output lines, and
    says what was wrong with which; it never raises.
    """

    process: Callable[[bytes, Sequence[str]], Outcome]
    compute: Callable[[Iterable[bytes]], Iterator[Computed]]


def _finra(value: bytes, columns: Sequence[str]) -> Outcome:
    # polars takes a while to import, and a pool of threads: only for whom it works.
    from processors import finra

    return finra.process(value, columns)


def _finra_lines(lines: Iterable[bytes]) -> Iterator[Computed]:
    from processors import finra_line

    return finra_line.compute(lines)


PROCESSORS: dict[str, Processor] = {
    "betfair": Processor(betfair.process, betfair_line.compute),
    "racing": Processor(racing.process, racing_line.compute),
    "finra": Processor(_finra, _finra_lines),
}
