"""Betfair match odds: a unit of snapshots in, rows of market_derived_metrics out (betfair spec, sections 3 to 6)."""

from collections.abc import Sequence

import numpy as np

from processors.betfair.general import Derived, derive_row
from processors.betfair.rows import Rows
from processors.betfair.snapshot import NotJsonError, read_line
from schemas.betfair.tables import METRICS, METRICS_TABLE, SKIPS
from schemas.outcome import Outcome, RowProblem, TableRows

MAX_LINES = 50_000
"""Lines of a unit at most: a payload of a usual size is 1 kB and more, far more lines are no snapshots."""


def process(value: bytes, columns: Sequence[str]) -> Outcome:
    """The outcome of a unit: JSON Lines of snapshots, each derived alone, blank lines passed over.

    `columns` are the value columns to emit, in the order of METRICS whatever theirs is; empty means all 52.
    Snapshots that are skipped or fail have the key (snapshot_id,), or (None,) when the line didn't say it; whatever is
    wrong with a row stays with this row. An empty value is a unit of no rows. ValueError when nothing can be made of
    the unit: unknown columns, bytes of which no line is text, or more than MAX_LINES lines.
    """
    if (lines := value.count(b"\n")) > MAX_LINES:
        raise ValueError(f"the unit has {lines:,} lines, at most {MAX_LINES:,} are taken")
    chosen = _chosen(columns)
    given = value.split(b"\n")
    outcome = Outcome(read=len(given))
    rows = Rows.of(given)
    unreadable = 0
    for place in np.flatnonzero(~rows.known).tolist():
        line, number = given[place], place + 1
        if not line or line.isspace():
            outcome.read -= 1
            continue
        try:
            derived = derive_row(read_line(line))
        except NotJsonError as error:
            derived = Derived(None, None, error=str(error))
            unreadable += 1
        if derived.identity is not None and derived.values:
            rows.put(place, derived.identity, derived.values)
        elif derived.skip is not None:
            outcome.skips.append(RowProblem((derived.snapshot_id,), derived.skip, SKIPS[derived.skip]))
        else:
            text = derived.error if derived.snapshot_id is not None else f"line {number}: {derived.error}"
            outcome.errors.append(RowProblem((derived.snapshot_id,), "error", text or ""))
    if outcome.read and unreadable == outcome.read:
        _check_text(value)
    outcome.tables.append(TableRows(METRICS_TABLE.name, rows.batch(chosen)))
    return outcome


def _chosen(columns: Sequence[str]) -> tuple[str, ...]:
    """The columns in the order of METRICS, all of them when none are named."""
    if unknown := sorted(set(columns).difference(METRICS)):
        raise ValueError(f"betfair derives no column {', '.join(map(repr, unknown))}")
    return tuple(name for name in METRICS if name in set(columns)) or METRICS


def _check_text(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"the unit's value is no UTF-8 text: {error}") from None
