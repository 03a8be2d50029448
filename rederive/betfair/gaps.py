"""Gaps of Betfair: snapshots without a derived row, NULLs that stored payloads fill, rows of older versions."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from processors.betfair.process import process
from producers.betfair.live import CURSOR, SNAPSHOTS, to_take_up
from producers.gap import MISSING, NULL, OUTDATED, Fill, Gap, Looking, again, said_columns
from producers.source import Refusal, Request, Source, Split, end_of, is_within, open_source, start_of
from rederive.betfair.outdated import outdated
from schemas.betfair.tables import METRICS
from schemas.domain import TABLE
from schemas.errors import UsageError
from schemas.plan import PlannedUnit
from store.cursors import Position


def gaps(looking: Looking) -> Iterator[Gap]:
    """By UTC day of the snapshots: what a replay would pick, and of that what its formulas give a value for.

    The formulas are run on what is picked and nothing is written. Days of which rows are outdated in all columns are
    filled whole.
    """
    request = looking.request
    if request.kinds:
        raise UsageError("--kind means nothing to betfair", mend="leave it out; --key names a market")
    old = [one for one in _outdated(looking) if is_within(one[0], request)]
    anew = {day for day, _, columns in old if not columns}
    if not looking.nothing_else:
        missing, null, waiting = _fillable(looking)
        for kind, found in ((MISSING, missing), (NULL, null)):
            for day, rows in sorted(found.items()):
                fill = _fill_anew(request, day) if day in anew else _fill(request, day)
                yield Gap(kind=kind, day=day, count=rows, fill=fill, waiting=waiting[day] if kind == MISSING else 0)
    for day, rows, columns in old:
        if not columns or again(request, columns)[1]:
            why = said_columns(columns, len(METRICS))
            yield Gap(kind=OUTDATED, day=day, count=rows, why=why, fill=_fill_anew(request, day, columns))


def _outdated(looking: Looking) -> list[tuple[date, int, tuple[str, ...]]]:
    return outdated(looking.services.connection, looking.request.keys) if looking.outdated else []


def _fill(request: Request, day: date) -> Fill:
    """The day, as far as it lies in what was asked for."""
    starts, ends = start_of(day), end_of(day)
    start, end = max(starts, request.start or starts), min(ends, request.end or ends)
    return Fill(TABLE, replace(request, start=start, end=end))


def _fill_anew(request: Request, day: date, columns: tuple[str, ...] = ()) -> Fill:
    """All rows of the day are computed anew, in these columns, or all that were asked for."""
    mode, wanted = again(request, columns)
    source, asked = _fill(request, day)
    return Fill(source, replace(asked, mode=mode, columns=wanted, all_rows=True))


def _fillable(looking: Looking) -> tuple[Counter[date], Counter[date], Counter[date]]:
    """By day, snapshots that would get a row, rows that would get a value; of the first those that live comes to."""
    missing: Counter[date] = Counter()
    null: Counter[date] = Counter()
    waiting: Counter[date] = Counter()
    position = looking.cursors.get(CURSOR)
    lacking = set(to_take_up(looking.services.connection, looking.domain)) if position else set()
    with closing(open_source(looking.domain, TABLE, looking.services)) as source:
        for page in source.pages(looking.request):
            for unit in page.units:
                for key, day, has_row, is_new in _filled_by(source, unit, looking, position):
                    (null if has_row else missing)[day] += 1
                    waiting[day] += not has_row and (is_new or key in lacking)
    return missing, null, waiting


def _filled_by(
    source: Source[Any], unit: PlannedUnit[Any], looking: Looking, position: Position | None
) -> Iterator[tuple[int, date, bool, bool]]:
    """Of a unit's snapshots that its outcome gives a value for where there is none: id, day, whether it has a row.

    And whether live had yet to find it at the position.
    """
    read = source.read("", looking.request.columns, unit)
    if isinstance(read, Split):
        for part in read.parts:
            yield from _filled_by(source, part, looking, position)
    if read is None or isinstance(read, Split | Refusal):
        return
    (rows,) = process(read.value, ()).tables
    ids = rows.batch.column("snapshot_id").to_pylist()
    gives = np.column_stack([rows.batch.column(name).is_valid().to_numpy(zero_copy_only=False) for name in METRICS])
    stored = looking.services.connection.execute(
        f"""SELECT derived.snapshot_id, (s.snapshot_at AT TIME ZONE 'UTC')::date, d.snapshot_id IS NOT NULL,
                   {SNAPSHOTS.undelivered("s") if position else "false"},
                   ARRAY[{", ".join(f"d.{name} IS NULL" for name in METRICS)}]
            FROM unnest(%(ids)s::int8[]) WITH ORDINALITY AS derived(snapshot_id, place)
            LEFT JOIN market_book_snapshots s USING (snapshot_id) LEFT JOIN market_derived_metrics d USING (snapshot_id)
            ORDER BY place""",
        {"ids": ids, **(SNAPSHOTS.told(position) if position else {})},
    ).fetchall()
    fills = (gives & np.array([nulls for *_, nulls in stored], dtype=bool).reshape(gives.shape)).any(axis=1)
    for (key, day, has_row, is_new, _), filled in zip(stored, fills.tolist(), strict=True):
        # What has gone since it was read is no gap.
        if filled and day is not None:
            yield key, day, has_row, is_new
