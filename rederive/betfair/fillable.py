"""How many NULLs the stored payloads could fill: the domain's own formulas, run and not written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from processors.betfair.general import derive
from rederive.betfair.payloads import PAGE, incomplete
from schemas.betfair.tables import METRICS


@dataclass(frozen=True, slots=True)
class Fillable:
    """What a replay of the incomplete snapshots would fill.

    `columns` counts per column the NULLs of stored rows that get a value. `rows` are the stored rows that would change.
    Snapshots without a derived row stand apart: `without_row` of them were read, `new_rows` would get one. `skipped`
    counts by reason those that can't be derived (betfair spec, section 5.6), `errors` those whose derivation fails.
    """

    examined: int
    rows: int
    without_row: int
    new_rows: int
    columns: Mapping[str, int]
    skipped: Mapping[str, int]
    errors: int


def fillable(connection: psycopg.Connection, columns: Sequence[str] = METRICS, *, page: int = PAGE) -> Fillable:
    """Derive every snapshot that lacks one of `columns` and count what it would fill; writes nothing.

    Reads in keyset pages, so that memory doesn't grow with the table.
    """
    places = [METRICS.index(column) for column in columns]
    filled, skipped = [0] * len(columns), Counter[str]()
    examined = rows = without_row = new_rows = errors = 0
    for stored in (stored for found in incomplete(connection, columns, page=page) for stored in found):
        examined += 1
        without_row += not stored.has_row
        derived = derive(stored.line)
        if derived.error is not None:
            errors += 1
            continue
        if derived.skip is not None:
            skipped[derived.skip] += 1
            continue
        if not stored.has_row:
            new_rows += 1
            continue
        gains = [
            index
            for index, (place, null) in enumerate(zip(places, stored.nulls, strict=True))
            if null and derived.values[place] is not None
        ]
        rows += bool(gains)
        for index in gains:
            filled[index] += 1
    return Fillable(
        examined, rows, without_row, new_rows, dict(zip(columns, filled, strict=True)), dict(skipped), errors
    )
