"""Betfair match odds: a unit of snapshots in, rows of market_derived_metrics out (betfair spec, sections 3 to 6)."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from operator import itemgetter
from typing import Any

import orjson

from processors.betfair.book import Book, Runner, Skipped, read_book
from processors.betfair.coercion import to_float
from processors.betfair.fast_path import straight_values
from processors.betfair.impedance import Inputs, Level, decimal_inputs, exact_inputs, sums_in_hundredths
from schemas.betfair.tables import CALCULATION_VERSION, DEPTH_LIMIT, METRICS, METRICS_TABLE, ROLES, SKIPS
from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.payload import TOO_DEEP, aware, read_json, sendable, shown

Values = list[float | None]

MAX_LINES = 50_000
"""Lines of a unit at most: a payload of a usual size is 1 kB and more, far more lines are no snapshots."""

_INT8 = 2**63
_RISKS = frozenset(f"{role}_risk" for role in ROLES)


@dataclass(frozen=True, slots=True)
class Derived:
    """What became of one snapshot.

    Exactly one holds: `values` has all 52 figures in the order of schemas.betfair.METRICS, `skip` names the reason of
    section 5.6, `error` says what was wrong. snapshot_id, snapshot_at (ISO 8601 text with offset) and market_id
    are None where the line didn't say them.
    """

    snapshot_id: int | None
    snapshot_at: str | None
    market_id: str | None
    skip: str | None = None
    error: str | None = None
    values: Values = field(default_factory=list)


class NotJsonError(ValueError):
    """A line that is no JSON object at all."""


def derive(line: bytes) -> Derived:
    """The figures of one snapshot: of one JSON object, an input line of `rederive compute betfair`.

    Never raises: whatever goes wrong is the `error` of this snapshot.
    """
    try:
        return _derive(line)
    except NotJsonError as error:
        return Derived(None, None, None, error=str(error))


def process(value: bytes, columns: Sequence[str]) -> Outcome:
    """The outcome of a unit: JSON Lines of snapshots, each derived alone, blank lines passed over.

    `columns` are the value columns to emit, in the order of METRICS whatever theirs is; empty means all 52.
    Snapshots that are skipped or fail have the key (snapshot_id,), or (None,) when the line didn't say it; whatever is
    wrong with a row stays with this row. An empty value is a unit of no rows. ValueError when nothing can be made of
    the unit: unknown columns, bytes of which no line is text, or more than MAX_LINES lines.
    """
    if (lines := value.count(b"\n")) > MAX_LINES:
        raise ValueError(f"the unit has {lines:,} lines, at most {MAX_LINES:,} are taken")
    chosen, pick = _selection(columns)
    version = CALCULATION_VERSION if _RISKS.intersection(chosen) else None
    outcome = Outcome()
    rows: list[list[Any]] = []
    readable = False
    for number, line in enumerate(value.split(b"\n"), start=1):
        if not line or line.isspace():
            continue
        outcome.read += 1
        try:
            derived = _derive(line)
        except NotJsonError as error:
            outcome.errors.append(RowProblem((None,), "error", f"line {number}: {error}"))
            continue
        readable = True
        if derived.error is not None:
            text = derived.error if derived.snapshot_id is not None else f"line {number}: {derived.error}"
            outcome.errors.append(RowProblem((derived.snapshot_id,), "error", text))
        elif derived.skip is not None:
            outcome.skips.append(RowProblem((derived.snapshot_id,), derived.skip, SKIPS[derived.skip]))
        else:
            rows.append(
                [
                    derived.snapshot_id,
                    derived.snapshot_at,
                    derived.market_id,
                    DEPTH_LIMIT,
                    version,
                    *(derived.values if pick is None else pick(derived.values)),
                ]
            )
    if outcome.read and not readable:
        _check_text(value)
    keys = (*METRICS_TABLE.key, *METRICS_TABLE.attributes)
    outcome.tables.append(TableRows(METRICS_TABLE.name, (*(column.name for column in keys), *chosen), rows))
    return outcome


def _selection(columns: Sequence[str]) -> tuple[tuple[str, ...], Callable[[Values], Sequence[float | None]] | None]:
    """The columns in the order of METRICS, and what picks their values; None picks all."""
    if not columns:
        return METRICS, None
    unknown = sorted(set(columns).difference(METRICS))
    if unknown:
        raise ValueError(f"betfair derives no column {', '.join(map(repr, unknown))}")
    places = [place for place, name in enumerate(METRICS) if name in set(columns)]
    chosen = tuple(METRICS[place] for place in places)
    if len(places) == 1:
        only = places[0]
        return chosen, lambda values: (values[only],)
    return chosen, itemgetter(*places)


def _check_text(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"the unit's value is no UTF-8 text: {error}") from None


def _derive(line: bytes) -> Derived:
    """As `derive`, but raises NotJsonError."""
    try:
        row = orjson.loads(line)
        values = straight_values(row["raw_payload"], row["selection_ids"])
        if values is not None:
            snapshot_id, snapshot_at, market_id = _identity(row)
            return Derived(snapshot_id, snapshot_at, market_id, None, None, values)
    except (ValueError, KeyError, TypeError):
        # What only looks usual; the general reading says what is wrong with the row, if anything is.
        pass
    return _derive_generally(line)


def _derive_generally(line: bytes) -> Derived:
    """By the standard library's JSON, whose numbers are the ones meant (large integers, NaN)."""
    row = _row(line)
    snapshot_id = row.get("snapshot_id")
    if type(snapshot_id) is not int or not -_INT8 <= snapshot_id < _INT8:
        snapshot_id = None
    try:
        _, snapshot_at, market_id = _identity(row)
    except Exception as error:
        return Derived(snapshot_id, None, None, error=_told(error))
    try:
        values = book_values(read_book(row.get("raw_payload"), row.get("selection_ids")))
    except Skipped as skipped:
        return Derived(snapshot_id, snapshot_at, market_id, skip=skipped.reason)
    except Exception as error:
        return Derived(snapshot_id, snapshot_at, market_id, error=_told(error))
    return Derived(snapshot_id, snapshot_at, market_id, values=values)


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = read_json(line)
    except ValueError as error:
        raise NotJsonError(str(error)) from None
    if not isinstance(row, dict):
        raise NotJsonError("not a JSON object")
    return row


def _identity(row: dict[str, Any]) -> tuple[int, str, str]:
    """The row's key and attributes, such that Postgres takes them: one bad text must not stop a whole unit's merge."""
    snapshot_id, snapshot_at, market_id = row.get("snapshot_id"), row.get("snapshot_at"), row.get("market_id")
    if type(snapshot_id) is not int or not -_INT8 <= snapshot_id < _INT8:
        raise _wrong(row, "snapshot_id", f"is {shown(snapshot_id)}, not a 64-bit integer")
    try:
        aware(snapshot_at)
    except ValueError as error:
        raise _wrong(row, "snapshot_at", str(error)) from None
    if type(market_id) is not str or not market_id or not market_id.isprintable():
        raise _wrong(row, "market_id", f"is {shown(market_id)}, not a printable text")
    return snapshot_id, str(snapshot_at), market_id


def _wrong(row: dict[str, Any], name: str, why: str) -> ValueError:
    return ValueError(f"{name} {why}" if name in row else f"there is no {name}")


def _told(error: Exception) -> str:
    """An error as one line; characters that can't be sent are escaped."""
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if isinstance(error, ArithmeticError):
        return "a figure leaves the range of decimal arithmetic"
    text = str(error) or type(error).__name__
    if not isinstance(error, ValueError):
        text = f"{type(error).__name__}: {text}"
    return sendable(text)


def book_values(book: Book) -> Values:
    """The 52 values of a book, in the order of METRICS: the general reading.

    A figure beyond the range of float64 is None: nothing is known of it.
    """
    first: dict[Hashable, Runner] = {}
    for runner in book.runners:
        first.setdefault(runner.id, runner)
    last = {runner.id: runner for runner in book.runners}
    home, away, draw = (last[identifier] for identifier in book.roles)
    inputs = _inputs(first, book.roles)
    wins = [_folds(runner) for runner in (home, away, draw)]
    values: Values = []
    for place, runner in enumerate((home, away, draw)):
        (win, _), (one_win, one_size), (two_win, two_size) = wins[place], *wins[:place], *wins[place + 1 :]
        impedance, norm, *stakes = inputs[place]
        values += (win - (one_win + two_win), impedance, norm, win - (one_size + two_size), *stakes)
        values += (runner.best_back, runner.best_lay, runner.best_lay - runner.best_back)
        values += (_shown(runner.back, 0)[1], _shown(runner.lay, 0)[1])
        values += (*_shown(runner.back, 1), *_shown(runner.back, 2))
    values.append(book.total_volume)
    return [value if value is not None and isfinite(value) else None for value in values]


def _inputs(first: dict[Hashable, Runner], roles: Sequence[Hashable]) -> list[Inputs]:
    """Impedance and its inputs of the three roles, from every distinct runner's first entry (section 5.4)."""
    others = [runner for identifier, runner in first.items() if identifier not in roles]
    sums = [_sums(runner) for runner in (*(first[role] for role in roles), *others)]
    known = [each for each in sums if each is not None]
    if len(known) == len(sums):
        inputs = exact_inputs(known[: len(roles)], known[len(roles) :])
        if inputs is not None:
            return inputs
    ordered = sorted(first.values(), key=lambda runner: str(runner.id))
    found = dict(zip((r.id for r in ordered), decimal_inputs([(r.back, r.lay) for r in ordered]), strict=True))
    return [found[role] for role in roles]


def _sums(runner: Runner) -> tuple[float, float, float, float] | None:
    back, lay = sums_in_hundredths(runner.back), sums_in_hundredths(runner.lay)
    return None if back is None or lay is None else (*back, *lay)


def _folds(runner: Runner) -> tuple[float, float]:
    """W and S of section 5.3; W is L of section 5.1 too."""
    win = backed = 0.0
    for level in runner.back[:DEPTH_LIMIT]:
        price, size = _floats(level)
        if price > 1 and size > 0:
            win += size * (price - 1.0)
            backed += size
    return win, backed


def _shown(levels: Sequence[Level], place: int) -> tuple[float | None, float | None]:
    """Price and size of a level when it is valid (section 5.5)."""
    if place < len(levels):
        price, size = _floats(levels[place])
        if price > 1 and size > 0:
            return price, size
    return None, None


def _floats(level: Level) -> tuple[float, float]:
    return to_float(level[0]), to_float(level[1])
