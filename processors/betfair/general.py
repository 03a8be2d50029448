"""The general reading: the 52 values of one snapshot of any shape, exactly, in plain Python (betfair spec, section 5).

What the array expressions of `metrics.py` don't take, or are in doubt about, is read here; and what they take has the
same bits (tests/betfair/test_exactness.py holds them against each other).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from processors.betfair.book import Book, Runner, Skipped, read_book
from processors.betfair.coercion import to_float
from processors.betfair.impedance import Level, decimal_inputs
from processors.betfair.snapshot import Identity, NotJsonError, identity, read_line, readable_id, told
from schemas.betfair.tables import DEPTH_LIMIT

Values = list[float | None]


@dataclass(frozen=True, slots=True)
class Derived:
    """What became of one snapshot.

    Exactly one holds: `values` has all 52 figures in the order of schemas.betfair.METRICS, `skip` names the reason of
    section 5.6, `error` says what was wrong. snapshot_id and identity are None where the line didn't say them.
    """

    snapshot_id: int | None
    identity: Identity | None
    skip: str | None = None
    error: str | None = None
    values: Values = field(default_factory=list)


def derive(line: bytes) -> Derived:
    """The figures of one snapshot: of one JSON object, an input line of `rederive compute betfair`.

    Never raises: whatever goes wrong is the `error` of this snapshot.
    """
    try:
        return derive_row(read_line(line))
    except NotJsonError as error:
        return Derived(None, None, error=str(error))


def derive_row(row: dict[str, Any]) -> Derived:
    """As `derive`, of a line that is read."""
    if type(refused := row.get("refused")) is str:
        return Derived(readable_id(row), None, error=refused)
    try:
        said = identity(row)
    except Exception as error:
        return Derived(readable_id(row), None, error=told(error))
    try:
        values = book_values(read_book(row.get("raw_payload"), row.get("selection_ids")))
    except Skipped as skipped:
        return Derived(said[0], said, skip=skipped.reason)
    except Exception as error:
        return Derived(said[0], said, error=told(error))
    return Derived(said[0], said, values=values)


def book_values(book: Book) -> Values:
    """The 52 values of a book, in the order of METRICS.

    A figure beyond the range of float64 is None: nothing is known of it.
    """
    first: dict[Hashable, Runner] = {}
    for runner in book.runners:
        first.setdefault(runner.id, runner)
    last = {runner.id: runner for runner in book.runners}
    home, away, draw = (last[identifier] for identifier in book.roles)
    ordered = sorted(first.values(), key=lambda runner: str(runner.id))
    inputs = dict(zip((r.id for r in ordered), decimal_inputs([(r.back, r.lay) for r in ordered]), strict=True))
    wins = [_folds(runner) for runner in (home, away, draw)]
    values: Values = []
    for place, runner in enumerate((home, away, draw)):
        (win, _), (one_win, one_size), (two_win, two_size) = wins[place], *wins[:place], *wins[place + 1 :]
        impedance, norm, *stakes = inputs[runner.id]
        values += (win - (one_win + two_win), impedance, norm, win - (one_size + two_size), *stakes)
        values += (runner.best_back, runner.best_lay, runner.best_lay - runner.best_back)
        values += (shown_level(runner.back, 0)[1], shown_level(runner.lay, 0)[1])
        values += (*shown_level(runner.back, 1), *shown_level(runner.back, 2))
    values.append(book.total_volume)
    return [value if value is not None and isfinite(value) else None for value in values]


def _folds(runner: Runner) -> tuple[float, float]:
    """W and S of section 5.3; W is L of section 5.1 too."""
    win = backed = 0.0
    for level in runner.back[:DEPTH_LIMIT]:
        price, size = _floats(level)
        if price > 1 and size > 0:
            win += size * (price - 1.0)
            backed += size
    return win, backed


def shown_level(levels: Sequence[Level], place: int) -> tuple[float | None, float | None]:
    """Price and size of a level when it is valid (section 5.5)."""
    if place < len(levels):
        price, size = _floats(levels[place])
        if price > 1 and size > 0:
            return price, size
    return None, None


def _floats(level: Level) -> tuple[float, float]:
    return to_float(level[0]), to_float(level[1])
