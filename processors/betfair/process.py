"""Betfair match odds: a unit of snapshots in, rows of market_derived_metrics out (betfair spec, sections 3 to 6)."""

from collections.abc import Sequence

import numpy as np
import orjson
import pyarrow as pa

from processors.betfair.general import Derived, derive_row
from processors.betfair.impedance import Array
from processors.betfair.ladders import LadderCells
from processors.betfair.metrics import metrics
from processors.betfair.snapshot import Identity, NotJsonError, identity, read_line
from schemas import arrow
from schemas.betfair.tables import CALCULATION_VERSION, DEPTH_LIMIT, METRICS, METRICS_TABLE, ROLES, SKIPS
from schemas.outcome import Outcome, RowProblem, TableRows

MAX_LINES = 50_000
"""Lines of a unit at most: a payload of a usual size is 1 kB and more, far more lines are no snapshots."""

_RISKS = frozenset(f"{role}_risk" for role in ROLES)


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
    numbered = [
        (number, line) for number, line in enumerate(value.split(b"\n"), start=1) if line and not line.isspace()
    ]
    outcome = Outcome(read=len(numbered))
    identities, figures = arrays([line for _, line in numbered])
    unreadable = 0
    for place, said in enumerate(identities):
        if said is not None:
            continue
        number, line = numbered[place]
        try:
            derived = derive_row(read_line(line))
        except NotJsonError as error:
            derived = Derived(None, None, error=str(error))
            unreadable += 1
        if derived.error is not None:
            text = derived.error if derived.snapshot_id is not None else f"line {number}: {derived.error}"
            outcome.errors.append(RowProblem((derived.snapshot_id,), "error", text))
        elif derived.skip is not None:
            outcome.skips.append(RowProblem((derived.snapshot_id,), derived.skip, SKIPS[derived.skip]))
        else:
            identities[place] = derived.identity
            figures[:, place] = derived.values
    if numbered and unreadable == len(numbered):
        _check_text(value)
    outcome.tables.append(TableRows(METRICS_TABLE.name, _batch(identities, figures, chosen)))
    return outcome


def arrays(lines: Sequence[bytes]) -> tuple[list[Identity | None], Array]:
    """The figures of many snapshots at once, shape (52, line), NaN for NULL.

    A line without an identity is in doubt: it has any figures, and the general reading says what becomes of it.
    """
    identities: list[Identity | None] = [None] * len(lines)
    cells = LadderCells(len(lines))
    for place, line in enumerate(lines):
        try:
            row = orjson.loads(line)
            cells.fill(place, row["raw_payload"], row["selection_ids"])
            identities[place] = identity(row)
        except (ValueError, KeyError, TypeError):
            # What is wrong with the row, if anything is, the general reading says.
            pass
    figures, sure = metrics(cells.ladders())
    for place in np.flatnonzero(~sure).tolist():
        identities[place] = None
    return identities, figures


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


def _batch(identities: Sequence[Identity | None], figures: Array, chosen: Sequence[str]) -> pa.RecordBatch:
    """The rows of the snapshots that have an identity."""
    rows = [said for said in identities if said is not None]
    if len(rows) < len(identities):
        figures = figures[:, [said is not None for said in identities]]
    fields = arrow.fields(METRICS_TABLE)
    keys = zip(*rows, strict=True) if rows else ([], [], [])
    columns = {
        name: pa.array(said, fields[name].type)
        for name, said in zip(("snapshot_id", "snapshot_at", "market_id"), keys, strict=True)
    }
    columns |= {name: pa.array(figures[METRICS.index(name)], from_pandas=True) for name in chosen}
    batch = pa.RecordBatch.from_arrays(list(columns.values()), schema=pa.schema([fields[name] for name in columns]))
    version = CALCULATION_VERSION if _RISKS.intersection(chosen) else None
    shared = {"depth_limit": DEPTH_LIMIT, "calculation_version": version}
    return arrow.with_shared(METRICS_TABLE, batch, len(rows), shared)
