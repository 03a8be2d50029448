"""FINRA's derived rows as an outcome holds them: a partition's tables and the core tables (finra spec, section 4)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa

from processors.finra.checks import Check
from processors.finra.parse import Failure
from schemas import arrow
from schemas.finra.file import SEPARATOR
from schemas.finra.partition import partition_key
from schemas.finra.tables import CORE_DOMAIN, MANIFEST, PARSE_ERROR, QUALITY, REASONS, REJECTS, STAGE_RANKS
from schemas.finra.units import Batch
from schemas.outcome import RowProblem, TableRows
from schemas.table import SHOWN, Table

_AS_TEXT = (
    "tier_description",
    "symbol",
    "issue_name",
    "venue_name",
    "mpid",
    "total_shares",
    "total_trades",
    "source_last_update_date",
)


def rows_of(table: Table, frame: pl.DataFrame, batch: Batch, shared: Mapping[str, Any] | None = None) -> TableRows:
    """A frame's rows of a table: those of its columns that the table has, and what all rows share."""
    names = [column.name for column in (*table.key, *table.columns) if column.name in frame.columns]
    own = arrow.fitted(table, _batch(frame.select(names)))
    common = {**_of(batch), **(shared or {})}
    return TableRows(table.name, arrow.with_shared(table, own, frame.height, common))


def _batch(frame: pl.DataFrame) -> pa.RecordBatch:
    columns = frame.to_arrow().columns
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in columns], names=frame.columns)


def calculated(
    table: Table, calc: str, version: str, frame: pl.DataFrame, batch: Batch, shared: Mapping[str, Any] | None = None
) -> TableRows:
    """A frame's rows of a calculation's table, computed by a version."""
    return rows_of(table, frame, batch, {"calc_name": calc, "calc_version": version, **(shared or {})})


def shown(table: Table, calc: str, version: str, capture: str, batch: Batch) -> TableRows:
    """That the rows of a calculation's table, which has none of its own, are those of a capture of another one."""
    shared = {**_of(batch), "calc_name": calc, "calc_version": version}
    return replace(TableRows.of(table.written, (SHOWN,), [[capture]], shared=shared), table=table.name)


def rejects(batch: Batch, source_file: str, failures: Sequence[Failure], rejected: pl.DataFrame) -> TableRows:
    """The rejected rows: those that could not be read, then those that failed a test or were duplicates.

    Their text is the file's line; of stored raw rows it is put together from their columns again.
    """
    rows: list[list[Any]] = [
        [
            each.line_number,
            "INGEST",
            PARSE_ERROR,
            each.detail,
            {"text": each.text},
            f"{each.symbol}{SEPARATOR}{each.mpid}",
        ]
        for each in failures
    ]
    text = "text" if "text" in rejected.columns else _joined_text()
    rows += [
        [number, "NORMALIZE", code, detail, {"text": line}, f"{symbol}{SEPARATOR}{mpid}"]
        for number, code, detail, line, symbol, mpid in rejected.select(
            "line_number", "reason_code", "reason_detail", text, "symbol", "mpid"
        ).iter_rows()
    ]
    return TableRows.of(
        REJECTS,
        ("line_number", "stage", "reason_code", "reason_detail", "raw_json", "record_key"),
        rows,
        shared={**_core(batch), "capture_id": batch.capture_id, "source_locator": source_file},
    )


def reject_problems(failures: Sequence[Failure], rejected: pl.DataFrame, source_file: str) -> list[RowProblem]:
    """The rejected rows as the outcome counts them, by file and line; core_rejects says more of each."""
    found = [(each.line_number, PARSE_ERROR) for each in failures]
    found += rejected.select("line_number", "reason_code").iter_rows()
    return [RowProblem((source_file, line), code, REASONS[code]) for line, code in found]


def reject_counts(failures: Sequence[Failure], rejected: pl.DataFrame) -> dict[str, int]:
    """How many rows were rejected, by reason."""
    counts = Counter(rejected["reason_code"].to_list())
    counts[PARSE_ERROR] += len(failures)
    return {reason: count for reason, count in sorted(counts.items()) if count}


def quality(batch: Batch, checks: Sequence[Check]) -> TableRows:
    """The checks of a batch."""
    return TableRows.of(
        QUALITY,
        ("check_name", *(column.name for column in QUALITY.values)),
        [
            [each.name, each.category, each.status, each.message, each.actual, each.expected, each.details]
            for each in checks
        ],
        shared={**_core(batch), "capture_id": batch.capture_id},
    )


def manifest(batch: Batch, stage: str, row_count: int, metrics: Mapping[str, Any]) -> TableRows:
    """That a partition has reached a stage (a name of STAGE_RANKS), and with what."""
    read = {"input_capture_id": batch.input_capture_id} if batch.input_capture_id else {}
    said = {"capture_id": batch.capture_id, "captured_at": batch.captured_at.isoformat(), **read, **metrics}
    return TableRows.of(
        MANIFEST,
        ("stage", "stage_rank", "row_count", "metrics_json"),
        [[stage, STAGE_RANKS[stage], row_count, said]],
        shared=_core(batch),
    )


def _of(batch: Batch) -> dict[str, Any]:
    read = {"input_capture_id": batch.input_capture_id} if batch.input_capture_id else {}
    partition = {"week_ending": batch.week_ending, "tier": batch.tier}
    return {**partition, "capture_id": batch.capture_id, **_run(batch), **read}


def _core(batch: Batch) -> dict[str, Any]:
    return {
        "domain": CORE_DOMAIN,
        "partition_key": partition_key(batch.week_ending, batch.tier),
        **_run(batch),
    }


def _run(batch: Batch) -> dict[str, Any]:
    said = {"execution_id": batch.execution_id, "batch_id": batch.batch_id}
    return {"captured_at": batch.captured_at.isoformat(), **{name: value for name, value in said.items() if value}}


def _joined_text() -> pl.Expr:
    """A raw row as its line in a file of the usual columns."""
    date = pl.col("source_last_update_date").dt.to_string("%Y-%m-%d")
    fields = [date if name == "source_last_update_date" else pl.col(name).cast(pl.String) for name in _AS_TEXT]
    return pl.concat_str([field.fill_null("") for field in fields], separator=SEPARATOR).alias("text")
