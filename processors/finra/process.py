"""FINRA's weekly OTC files: a unit of any kind in, rows of its tables out (finra spec, sections 1 and 3 to 6)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import polars as pl

from processors.finra import checks, rows
from processors.finra.normalize import VOLUME_SCHEMA, Normalized, normalize
from processors.finra.parse import RAW_SCHEMA, Failure, Parsed, parse, record_hashes
from processors.finra.rolling import ROLLING_SCHEMA, WEEKS_SCHEMA, missing_weeks, rolling, snapshot
from processors.finra.volume import (
    SUMMARY_SCHEMA,
    concentrations,
    summarize,
    symbol_venue_shares,
    tier_shares,
    venue_shares,
)
from schemas.finra import tables
from schemas.finra.file import content_hash, first_update
from schemas.finra.partition import WINDOW_WEEKS
from schemas.finra.units import (
    Batch,
    FileUnit,
    FinraUnit,
    RawUnit,
    RollingUnit,
    SnapshotUnit,
    StoredRow,
    TierSplitUnit,
    VolumeUnit,
    decode,
)
from schemas.finra.versions import TIER_SPLIT, Stage, check_deprecation_warning
from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.table import Table

_TIER_VOLUMES: dict[str, pl.DataType] = {"tier": pl.String(), "symbol": pl.String(), "total_volume": pl.Int64()}
_AGGREGATES: dict[str, tuple[Table, Callable[[pl.DataFrame], pl.DataFrame]]] = {
    "symbol_summary": (tables.SYMBOL_SUMMARY, summarize),
    "weekly_symbol_venue_share": (tables.SYMBOL_VENUE_SHARE, symbol_venue_shares),
    "weekly_symbol_venue_concentration_hhi": (tables.CONCENTRATION, concentrations),
}
_SHOWN = "weekly_symbol_venue_volume"
_HHI = "weekly_symbol_venue_concentration_hhi"
_NO_VERSION = {"calc_name": "research_snapshot", "calc_version": "v1"}
_NULLABLE = {"issue_name", "venue_name", "source_last_update_date", "avg_trade_size"} | (
    ROLLING_SCHEMA.keys() - {"symbol"}
)


def process(value: bytes, columns: Sequence[str]) -> Outcome:
    """The outcome of a unit (schemas/finra/units.py).

    Of a file's rows each is either normalised or a skip with its reason, and a row of core_rejects besides. A rolling
    unit counts symbols. ValueError when nothing can be made of the unit: it is no unit, its file is no such file,
    its week or tier is unknown, its sums leave 64 bits, or single columns are asked for.
    """
    if columns:
        raise ValueError("finra's rows are derived whole, not by column")
    unit, stored = decode(value)
    return outcome_of(unit, stored)


def outcome_of(unit: FinraUnit, stored: Sequence[StoredRow]) -> Outcome:
    """The outcome of a decoded unit; ValueError as `process`."""
    match unit:
        case FileUnit():
            return of_file(unit)
        case RawUnit():
            return _of_raw(unit, frame_of(stored, RAW_SCHEMA, unit.ROWS))
        case VolumeUnit():
            return _of_volumes(unit, frame_of(stored, VOLUME_SCHEMA, unit.ROWS))
        case TierSplitUnit():
            return of_tiers(unit, frame_of(stored, _TIER_VOLUMES, unit.ROWS))
        case RollingUnit():
            return of_weeks(unit, frame_of(stored, WEEKS_SCHEMA, unit.ROWS))
        case SnapshotUnit():
            return of_summaries(unit, frame_of(stored, SUMMARY_SCHEMA | ROLLING_SCHEMA, unit.ROWS))


def batch_of(unit: FileUnit) -> Batch:
    """The batch that a file's rows belong to; ValueError, which names the file, when nothing says it."""
    with _named(unit):
        return unit.batch(lambda: first_update(unit.content))


def of_file(unit: FileUnit) -> Outcome:
    """Stages 1 to 4 of a file; ValueError, which names it, when nothing can be made of it."""
    batch = batch_of(unit)
    with _named(unit):
        parsed = parse(unit.content)
        outcome = Outcome(read=parsed.read)
        if Stage.INGEST in unit.work:
            outcome.tables += _ingested(unit, batch, parsed)
        _normalized(unit, batch, parsed.rows, parsed.failures, unit.file_name, outcome)
    return outcome


@contextmanager
def _named(unit: FileUnit) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{unit.file_name}: {error}") from None


def _ingested(unit: FileUnit, batch: Batch, parsed: Parsed) -> list[TableRows]:
    metrics = {
        "source_file": unit.file_name,
        "content_sha256": content_hash(unit.content),
        "read": parsed.read,
        "rejected": len(parsed.failures),
    }
    return [
        rows.rows_of(tables.RAW, parsed.rows, batch, {"source_file": unit.file_name}),
        rows.manifest(batch, "INGESTED", parsed.rows.height, metrics),
    ]


def _of_raw(unit: RawUnit, raw: pl.DataFrame) -> Outcome:
    batch = unit.batch
    # The hash is of the row's own week: with the batch's it comes out the same, or the weeks differ.
    as_batch = raw.with_columns(pl.lit(batch.week_ending).alias("own_week"))
    same = record_hashes(as_batch, "own_week", "total_shares", "total_trades") == raw["record_hash"]
    own_week = pl.when(pl.lit(same)).then(pl.lit(batch.week_ending)).alias("own_week")
    outcome = Outcome(read=raw.height)
    _normalized(unit, batch, raw.with_columns(own_week), [], unit.source_file, outcome)
    return outcome


def _normalized(
    unit: FileUnit | RawUnit,
    batch: Batch,
    raw: pl.DataFrame,
    failures: Sequence[Failure],
    source_file: str,
    outcome: Outcome,
) -> None:
    """Stage 2 and those that follow from it, of raw rows with their `own_week`."""
    made = normalize(raw, reject_zero_volume=unit.reject_zero_volume)
    outcome.skips += rows.reject_problems(failures, made.rejected, source_file)
    outcome.tables.append(rows.rejects(batch, source_file, failures, made.rejected))
    found: list[checks.Check] = []
    if Stage.NORMALIZE in unit.work:
        outcome.tables += _normalized_rows(batch, made, failures)
        found = _row_checks(batch, raw, made, outcome.read, len(failures))
    _aggregate(unit, batch, made.rows, found, outcome)


def _normalized_rows(batch: Batch, made: Normalized, failures: Sequence[Failure]) -> list[TableRows]:
    reasons = rows.reject_counts(failures, made.rejected)
    read = made.rows.height + made.rejected.height
    return [
        rows.rows_of(tables.VENUE_VOLUME, made.rows, batch),
        rows.manifest(batch, "NORMALIZED", made.rows.height, {"read": read, "rejected": reasons}),
    ]


def _row_checks(batch: Batch, raw: pl.DataFrame, made: Normalized, read: int, failures: int) -> list[checks.Check]:
    rejected = made.rejected.height + failures
    mismatched = int((raw["own_week"].ne_missing(pl.Series([batch.week_ending]))).sum())
    return [
        checks.week_mismatch(mismatched, batch.week_ending),
        checks.record_count_balance(read, made.rows.height, rejected),
        checks.reject_rate(read, rejected),
    ]


def _of_volumes(unit: VolumeUnit, volumes: pl.DataFrame) -> Outcome:
    if volumes.select((pl.col("total_shares", "total_trades") < 0).any()).row(0) != (False, False):
        raise ValueError("a row has negative shares or trades")
    if volumes.select("symbol", "mpid").is_duplicated().any():
        raise ValueError("a symbol has two rows of one venue")
    outcome = Outcome(read=volumes.height)
    _aggregate(unit, unit.batch, volumes, [], outcome)
    return outcome


def _aggregate(
    unit: FileUnit | RawUnit | VolumeUnit,
    batch: Batch,
    volumes: pl.DataFrame,
    found: list[checks.Check],
    outcome: Outcome,
) -> None:
    """Stages 3 and 4, and the checks `found` until now with those made here."""
    wanted = unit.work - {Stage.INGEST, Stage.NORMALIZE}
    if wanted:
        found.append(checks.stage_input(volumes.height))
    if volumes.height:
        found += _calculate(unit, batch, volumes, sorted(wanted), outcome)
    warnings = [check_deprecation_warning(calc, unit.version(calc)) for calc in sorted(wanted)]
    if told := [warning for warning in warnings if warning]:
        found.append(checks.deprecated_version(told))
    outcome.tables.append(rows.quality(batch, found))


def _calculate(
    unit: FileUnit | RawUnit | VolumeUnit, batch: Batch, volumes: pl.DataFrame, wanted: list[str], outcome: Outcome
) -> list[checks.Check]:
    found: list[checks.Check] = []
    for calc, (table, calculate) in _AGGREGATES.items():
        if calc in wanted:
            made = calculate(volumes)
            outcome.tables.append(rows.calculated(table, calc, unit.version(calc), made, batch))
            if calc == _HHI:
                found.append(checks.concentration_bounds(made))
    if _SHOWN in wanted:
        read = (isinstance(unit, VolumeUnit) and batch.input_capture_id) or batch.capture_id
        outcome.tables.append(
            rows.shown(tables.SYMBOL_VENUE_VOLUME, _SHOWN, unit.version(_SHOWN), read, batch),
        )
    if versions := {calc: unit.version(calc) for calc in wanted if calc in _AGGREGATES or calc == _SHOWN}:
        symbols = volumes["symbol"].n_unique()
        outcome.tables.append(rows.manifest(batch, "AGGREGATED", symbols, {"calcs": versions}))
    if "venue_share" in wanted:
        version = unit.version("venue_share")
        shares = venue_shares(volumes, version)
        outcome.tables.append(rows.calculated(tables.VENUE_SHARE, "venue_share", version, shares, batch))
        found += checks.market_shares(shares, version)
    return found


def of_tiers(unit: TierSplitUnit, summaries: pl.DataFrame) -> Outcome:
    """The tier split of a week's summaries."""
    batches = unit.batches()
    if not summaries["tier"].is_in(list(batches)).all():
        raise ValueError(f"a summary is of a tier that the unit doesn't name; it names {', '.join(batches)}")
    made = tier_shares(summaries)
    outcome = Outcome(read=summaries.height)
    check = checks.tier_share_sum(made, list(batches))
    for tier, batch in batches.items():
        own = made.filter(pl.col("tier") == tier).drop("tier")
        outcome.tables += [
            rows.calculated(tables.TIER_VOLUME_SHARE, TIER_SPLIT, unit.version(TIER_SPLIT), own, batch),
            rows.quality(batch, [check]),
        ]
    return outcome


def of_weeks(unit: RollingUnit, weeks: pl.DataFrame) -> Outcome:
    """Stage 5 of summaries (finra_rolling.WEEKS_SCHEMA)."""
    batch, facts = unit.batch, unit.facts
    version = unit.version("rolling_6w")
    symbols = weeks["symbol"].unique().sort()
    outcome = Outcome(read=symbols.len())
    lacking = missing_weeks(facts, unit.week_ending)
    made = rolling(weeks.clear() if lacking else weeks, unit.week_ending)
    reason = tables.HISTORY_WINDOW if lacking else tables.PARTIAL_COVERAGE
    outcome.skips = [
        RowProblem((symbol,), reason, tables.SKIPS[reason])
        for symbol in symbols.filter(~symbols.is_in(made["symbol"].implode()))
    ]
    found = [checks.history_window(facts, unit.week_ending)]
    if not lacking:
        complete = {"weeks_in_window": WINDOW_WEEKS, "is_complete": True, **_inputs(unit)}
        outcome.tables.append(rows.calculated(tables.ROLLING, "rolling_6w", version, made, batch, complete))
        found.append(checks.partial_coverage(facts))
    if warning := check_deprecation_warning("rolling_6w", version):
        found.append(checks.deprecated_version([warning]))
    if unit.part[0] == 1:
        outcome.tables.append(rows.quality(batch, found))
        if not lacking:
            outcome.tables.append(rows.manifest(batch, "ROLLING", facts.complete, {"symbols": facts.symbols}))
    return outcome


def _inputs(unit: RollingUnit) -> dict[str, str | None]:
    """The captures of all rows read, as the columns say them."""
    facts = unit.facts
    first, last = facts.input_min_captured_at, facts.input_max_captured_at
    return {
        "input_min_capture_id": facts.input_min_capture_id,
        "input_max_capture_id": facts.input_max_capture_id,
        "input_min_captured_at": first.isoformat() if first else None,
        "input_max_captured_at": last.isoformat() if last else None,
    }


def of_summaries(unit: SnapshotUnit, joined: pl.DataFrame) -> Outcome:
    """Stage 6 of a week's summaries joined with their rolling rows."""
    made = snapshot(joined)
    outcome = Outcome(read=made.height)
    with_rolling = made.height - made["rolling_avg_volume"].null_count()
    outcome.tables = [
        rows.rows_of(tables.SNAPSHOT, made, unit.batch, _NO_VERSION),
        rows.manifest(unit.batch, "SNAPSHOT", made.height, {"with_rolling": with_rolling}),
    ]
    return outcome


def frame_of(stored: Sequence[StoredRow], schema: dict[str, pl.DataType], names: tuple[str, ...]) -> pl.DataFrame:
    """Stored rows as a frame; ValueError when a value is of another type, missing, or a negative sum."""
    columns = zip(*stored, strict=True) if stored else ((),) * len(names)
    try:
        # Column by column: rows as such are cast without a word, 1.5 to 1.
        frame = pl.DataFrame([_series(name, values, schema[name]) for name, values in zip(names, columns, strict=True)])
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        raise ValueError(f"a stored row doesn't fit {', '.join(names)}: {error}") from None
    for name in names:
        if name not in _NULLABLE and frame[name].null_count():
            raise ValueError(f"a stored row has no {name}")
    return frame


def _series(name: str, values: Sequence[object], dtype: pl.DataType) -> pl.Series:
    if dtype == pl.Date:
        return pl.Series(name, values, pl.String, strict=True).str.to_date("%Y-%m-%d")
    return pl.Series(name, values, dtype, strict=True)
