"""FINRA's files as texts, units and tables, for tests."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from processors.finra.process import process
from samples.finra.files import HEADER
from schemas.derived import decode_outcome, encode_outcome
from schemas.finra.units import FileUnit
from schemas.finra.versions import PREFIX
from schemas.outcome import Outcome

WEEK = date(2025, 12, 26)
AT = datetime(2025, 12, 29, 14, 30, tzinfo=UTC)
NAME = "finra_otc_weekly_otc_20251229.csv"

EXAMPLE_A = (
    ("AABB", "NITE", 600000, 1200),
    ("AABB", "OTCN", 300000, 500),
    ("AABB", "OTCX", 100000, 0),
    ("FNMA", "NITE", 400000, 1600),
    ("FNMA", "CDEL", 600000, 2000),
)


def line(symbol: str, mpid: str, shares: object, trades: object) -> str:
    return f"OTC|{symbol}|{symbol} Common|{mpid} Venue|{mpid}|{shares}|{trades}|2025-12-29"


def content(rows: Iterable[tuple[str, str, object, object]], *more: str) -> str:
    return "\n".join([HEADER, *(line(*row) for row in rows), *more, ""])


def unit(text: str, **more: Any) -> FileUnit:
    given = {"file_name": NAME, "captured_at": AT, "content": text, **more}
    return FileUnit.model_validate(given)


def file_outcome(text: str, **more: Any) -> Outcome:
    return decode_outcome(encode_outcome(process(unit(text, **more).encode(), ())))


def table(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    """The rows of a table, all its columns by name; `name` without the prefix."""
    found = []
    for block in outcome.tables:
        if block.table in (name, PREFIX + name):
            found += [dict(zip(block.columns, row, strict=True)) for row in block.rows()]
    return found


def picked(rows: Iterable[Mapping[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def checks(outcome: Outcome) -> dict[str, str]:
    """The status of each quality check."""
    return {row["check_name"]: row["status"] for row in table(outcome, "core_quality")}
