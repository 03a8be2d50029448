"""A batch: results that were read together, made ready for the database while it is busy with those before."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.domain import Domain
from schemas.outcome import Outcome
from schemas.table import Mode
from sinks.apply import Result, living
from sinks.ready import UNFIT, Ready, make_ready

_WIDTH = 50


@dataclass(frozen=True, slots=True)
class Share:
    """A capture's results of a batch; `ready` is None where they couldn't be staged ahead."""

    capture_id: str
    results: Sequence[Result]
    ready: Ready | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Shares of captures, and by partition the offset that may be committed when all of them are written."""

    shares: Sequence[Share]
    offsets: Mapping[int, int]


def weight(outcome: Outcome) -> int:
    """How many rows of the usual width an outcome is worth: a batch of narrow rows may hold more of them."""
    return sum(len(block) * len(block.columns) for block in outcome.tables) // _WIDTH + 1


def make_batch(
    domain: Domain, results: Sequence[Result], offsets: Mapping[int, int], modes: Mapping[str, Mode]
) -> Batch:
    """Group results by capture, and stage them where the capture's mode is known. Pure.

    What fits no table is left for the transaction, which finds the unit that it belongs to.
    """
    by_capture: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_capture[result.capture_id].append(result)
    return Batch([_share(domain, capture, of, modes.get(capture)) for capture, of in by_capture.items()], offsets)


def _share(domain: Domain, capture_id: str, results: Sequence[Result], mode: Mode | None) -> Share:
    ready = None
    if mode is not None:
        try:
            ready = make_ready(domain, [result.outcome for result in living(results)], mode)
        except UNFIT:
            ready = None
    return Share(capture_id, results, ready)
