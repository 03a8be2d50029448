"""Which processor computes which domain."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from processors.betfair import line as betfair_line
from processors.betfair import process as betfair
from processors.computed import Computed
from processors.racing import line as racing_line
from processors.racing import process as racing
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
    from processors.finra import process as finra

    return finra.process(value, columns)


def _finra_lines(lines: Iterable[bytes]) -> Iterator[Computed]:
    from processors.finra import line as finra_line

    return finra_line.compute(lines)


PROCESSORS: dict[str, Processor] = {
    "betfair": Processor(betfair.process, betfair_line.compute),
    "racing": Processor(racing.process, racing_line.compute),
    "finra": Processor(_finra, _finra_lines),
}
