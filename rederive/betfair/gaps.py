"""Gaps of Betfair: snapshots without a derived row, NULLs that stored payloads fill, rows of older versions."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time

import numpy as np

from processors.betfair.process import process
from producers.betfair.computed import outdated
from producers.gap import MISSING, NULL, OUTDATED, Fill, Gap, Looking
from producers.source import Refusal, Request, Source, Split, end_of, open_source
from schemas.betfair.tables import METRICS
from schemas.domain import TABLE
from schemas.errors import UsageError
from schemas.plan import PlannedUnit
from schemas.table import Mode


def gaps(looking: Looking) -> Iterator[Gap]:
    """By UTC day of the snapshots: what a replay would pick, and of that what its formulas give a value for.

    The formulas are run on what is picked and nothing is written. Days of which rows are outdated are filled whole.
    """
    request = looking.request
    if request.kinds:
        raise UsageError("--kind means nothing to betfair", mend="leave it out; --key names a market")
    old = [(day, rows) for day, rows in _outdated(looking) if _is_within(day, request)]
    again = {day for day, _ in old}
    missing, null = _fillable(looking)
    for kind, found in ((MISSING, missing), (NULL, null)):
        for day, rows in sorted(found.items()):
            yield Gap(kind=kind, day=day, count=rows, fill=_fill(request, day, whole=day in again))
    for day, rows in old:
        yield Gap(kind=OUTDATED, day=day, count=rows, fill=_fill(request, day, whole=True))


def _outdated(looking: Looking) -> list[tuple[date, int]]:
    return outdated(looking.services.connection, looking.request.keys) if looking.outdated else []


def _is_within(day: date, request: Request) -> bool:
    starts, ends = _day(day)
    return not ((request.start and ends <= request.start) or (request.end and starts >= request.end))


def _fill(request: Request, day: date, *, whole: bool) -> Fill:
    """The day, as far as it lies in what was asked for; with `whole` all its rows are computed anew."""
    starts, ends = _day(day)
    start, end = max(starts, request.start or starts), min(ends, request.end or ends)
    asked = replace(request, start=start, end=end)
    return Fill(TABLE, replace(asked, mode=Mode.SUPERSEDE, all_rows=True) if whole else asked)


def _day(day: date) -> tuple[datetime, datetime]:
    return datetime.combine(day, time(), UTC), end_of(day)


def _fillable(looking: Looking) -> tuple[Counter[date], Counter[date]]:
    """By day, snapshots that would get a row, and rows that would get a value."""
    missing: Counter[date] = Counter()
    null: Counter[date] = Counter()
    with closing(open_source(looking.domain, TABLE, looking.services)) as source:
        for page in source.pages(looking.request):
            for unit in page.units:
                for day, has_row in _filled_by(source, unit, looking):
                    (null if has_row else missing)[day] += 1
    return missing, null


def _filled_by(source: Source, unit: PlannedUnit, looking: Looking) -> Iterator[tuple[date, bool]]:  # type: ignore[type-arg]
    """Of a unit's snapshots that its outcome gives a value for where there is none: the day, whether it has a row."""
    read = source.read("", looking.request.columns, unit)
    if isinstance(read, Split):
        for part in read.parts:
            yield from _filled_by(source, part, looking)
    if read is None or isinstance(read, Split | Refusal):
        return
    (rows,) = process(read.value, ()).tables
    ids = rows.batch.column("snapshot_id").to_pylist()
    gives = np.column_stack([rows.batch.column(name).is_valid().to_numpy(zero_copy_only=False) for name in METRICS])
    stored = looking.services.connection.execute(
        f"""SELECT (s.snapshot_at AT TIME ZONE 'UTC')::date, d.snapshot_id IS NOT NULL,
                   ARRAY[{", ".join(f"d.{name} IS NULL" for name in METRICS)}]
            FROM unnest(%s::int8[]) WITH ORDINALITY AS derived(snapshot_id, place)
            LEFT JOIN market_book_snapshots s USING (snapshot_id) LEFT JOIN market_derived_metrics d USING (snapshot_id)
            ORDER BY place""",
        [ids],
    ).fetchall()
    fills = (gives & np.array([nulls for _, _, nulls in stored], dtype=bool).reshape(gives.shape)).any(axis=1)
    for (day, has_row, _), filled in zip(stored, fills.tolist(), strict=True):
        # What has gone since it was read is no gap.
        if filled and day is not None:
            yield day, has_row
