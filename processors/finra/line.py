"""`rederive compute finra`: weekly files in, rows of all tables out (finra spec, sections 5 and 6)."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import orjson
import polars as pl
import pyarrow as pa

from processors.computed import Computed
from processors.finra.process import batch_of, of_file, of_summaries, of_tiers, of_weeks
from processors.finra.rolling import ROLLING_SCHEMA, facts_of, join_rolling
from processors.finra.volume import SUMMARY_SCHEMA
from schemas import arrow
from schemas.finra.partition import window
from schemas.finra.tables import FINRA, ROLLING, SKIPS, SYMBOL_SUMMARY
from schemas.finra.units import (
    Batch,
    FileUnit,
    RollingUnit,
    SnapshotUnit,
    TierCapture,
    TierSplitUnit,
    decode,
)
from schemas.outcome import Outcome, TableRows
from schemas.table import SHOWN, Shown, Table
from schemas.words import counted

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What later stages need of a file: the batch it made, its summaries, and the line it stood on."""

    batch: Batch
    summaries: pl.DataFrame
    line: int

    @property
    def order(self) -> tuple[float, str]:
        """The latest capture is the greatest."""
        return self.batch.captured_at.timestamp(), self.batch.capture_id


# By (tier, week), the latest capture last.
_Weeks = dict[tuple[str, date], list[_Kept]]


def compute(lines: Iterable[bytes]) -> Iterator[Computed]:
    """The rows of each file as it is read, then what needs several: tier splits, rolling figures, snapshots.

    A row is {"table", "key", "row"}, as `rederive compute racing` gives it. Rolling figures and snapshots are those of
    the weeks whose whole window the input holds. Never raises: a line that can't be read is an error.
    """
    weeks: _Weeks = {}
    minted: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        try:
            unit = _fresh(_file(line), minted)
            outcome = of_file(unit)
        except ValueError as error:
            yield Computed(line=number, error=str(error))
            continue
        yield from _written(outcome)
        for reason, count in sorted(Counter(problem.reason for problem in outcome.skips).items()):
            yield Computed(
                line=number,
                skip=f"{unit.file_name}: {counted(count, 'row')} {reason}: {SKIPS[reason]}",
            )
        _keep(weeks, _Kept(batch_of(unit), _summaries(outcome), number))
    yield from _tier_splits(weeks)
    for tier, week in sorted(weeks, key=lambda key: (key[1], key[0])):
        if all((tier, each) in weeks for each in window(week)):
            yield from _windowed(weeks, tier, week)


def _file(line: bytes) -> FileUnit:
    unit, _ = decode(line)
    if not isinstance(unit, FileUnit):
        raise ValueError(f"a unit of kind {unit.kind} is no file")
    return unit


def _fresh(unit: FileUnit, minted: set[str]) -> FileUnit:
    """The unit under a capture of its own: one whose id was minted before is drawn again, a microsecond later."""
    while unit.capture_id is None and batch_of(unit).capture_id in minted:
        unit = unit.model_copy(update={"captured_at": unit.captured_at + _MICROSECOND})
    minted.add(batch_of(unit).capture_id)
    return unit


def _keep(weeks: _Weeks, kept: _Kept) -> None:
    if not kept.summaries.is_empty():
        captures = weeks.setdefault((kept.batch.tier, kept.batch.week_ending), [])
        captures.append(kept)
        captures.sort(key=lambda each: each.order)


def _summaries(outcome: Outcome) -> pl.DataFrame:
    """The symbol summaries of a file's outcome."""
    found = [_frame(block, SUMMARY_SCHEMA) for block in outcome.tables if block.table == SYMBOL_SUMMARY.name]
    return found[0] if found else pl.DataFrame(schema=SUMMARY_SCHEMA)


def _frame(block: TableRows, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    rows = block.batch.select(list(schema))
    return pl.DataFrame(pa.Table.from_batches([rows])).cast(pl.Schema(schema))


def _tier_splits(weeks: _Weeks) -> Iterator[Computed]:
    for week in sorted({week for _, week in weeks}):
        latest = {tier: captures[-1] for (tier, each), captures in sorted(weeks.items()) if each == week}
        unit = TierSplitUnit(
            captured_at=max(kept.batch.captured_at for kept in latest.values()),
            week_ending=week,
            tiers={
                tier: TierCapture(captured_at=kept.batch.captured_at, capture_id=kept.batch.capture_id)
                for tier, kept in latest.items()
            },
        )
        volumes = pl.concat(
            kept.summaries.select(pl.lit(tier).alias("tier"), "symbol", "total_volume") for tier, kept in latest.items()
        )
        try:
            yield from _written(of_tiers(unit, volumes))
        except ValueError as error:
            yield Computed(line=max(kept.line for kept in latest.values()), error=f"tier split of {week}: {error}")


def _windowed(weeks: _Weeks, tier: str, week: date) -> Iterator[Computed]:
    """The rolling figures of a tier's week and its snapshots, under the week's latest capture."""
    kept = weeks[tier, week][-1]
    latest = [weeks[tier, each][-1] for each in window(week)]
    inputs = pl.concat(map(_inputs, latest))
    captured_at = {each.batch.capture_id: each.batch.captured_at for each in latest}
    partition = {
        "captured_at": kept.batch.captured_at,
        "capture_id": kept.batch.capture_id,
        "week_ending": week,
        "tier": tier,
    }
    rolled = of_weeks(
        RollingUnit.model_validate({**partition, "facts": facts_of(inputs, week, captured_at)}),
        inputs.drop("capture_id"),
    )
    yield from _written(rolled)
    (rolling_rows,) = (_frame(block, ROLLING_SCHEMA) for block in rolled.tables if block.table == ROLLING.name)
    joined = join_rolling(kept.summaries, rolling_rows)
    yield from _written(of_summaries(SnapshotUnit.model_validate(partition), joined))


def _inputs(kept: _Kept) -> pl.DataFrame:
    """A capture's summaries, as rolling figures read them."""
    return kept.summaries.select(
        "symbol",
        pl.lit(kept.batch.week_ending).alias("week_ending"),
        "total_volume",
        "total_trades",
        pl.lit(kept.batch.capture_id).alias("capture_id"),
    )


def _written(outcome: Outcome) -> Iterator[Computed]:
    for given in outcome.tables:
        table = FINRA.table(given.table)
        block = _shown(table, table.shows, given, outcome) if table.shows else given
        place = {name: index for index, name in enumerate(block.columns)}
        # Absent columns take the None appended to a row.
        key = [(column.name, place.get(column.name, -1)) for column in table.key]
        values = [(column.name, place.get(column.name, -1)) for column in table.columns]
        for values_given in block.rows():
            row = (*values_given, None)
            yield Computed(
                output=orjson.dumps(
                    {
                        "table": table.name,
                        "key": {name: row[index] for name, index in key},
                        "row": {name: row[index] for name, index in values},
                    }
                )
            )


def _shown(table: Table, shows: Shown, block: TableRows, outcome: Outcome) -> TableRows:
    """The rows that a table shows: a file's are in the same outcome."""
    (source,) = (each.batch for each in outcome.tables if each.table == shows.table.name)
    rows = source.select(list(shows.columns.values())).rename_columns(list(shows.columns))
    (said,) = block.rows()
    shared = {name: value for name, value in zip(block.columns, said, strict=True) if name != SHOWN}
    return TableRows(table.name, arrow.with_shared(table, arrow.fitted(table, rows), rows.num_rows, shared))
