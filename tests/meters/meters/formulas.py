"""What a unit of readings gives: pure."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from meters import BY_FILE, BY_TABLE, READINGS, TOTALS

from rederive import Outcome, RowProblem, TableRows

PENCE_PER_KWH = 28.0

_READING = ("meter", "at", "site", "kwh", "cost", "volts", "amps", "observed")
_TOTAL = ("span", "start", "meter", "capture_id", "captured_at", "kwh", "cost")


def process(value: bytes, columns: Sequence[str]) -> Outcome:  # noqa: ARG001 - every column is derived
    """The rows of a unit: its first line says what it is, each line behind it is a reading or a day's total.

    ValueError when the first line can't be read.
    """
    head, *lines = value.splitlines() or [b"null"]
    said = orjson.loads(head)
    if not isinstance(said, dict) or said.get("kind") not in ("table", "file", "month"):
        raise ValueError("the first line says no kind of unit")
    rows = [(number, line) for number, line in enumerate(lines, start=2) if line.strip()]
    return _month(said, rows) if said["kind"] == "month" else _readings(said, rows)


def within(value: bytes, start: datetime | None, end: datetime | None) -> bytes | None:
    """The readings of [start, end) behind the first line."""
    head, *lines = value.splitlines() or [b""]
    wanted = [
        line
        for line in lines
        if line.startswith(b"{")
        and (start is None or datetime.fromisoformat(orjson.loads(line)["at"]) >= start)
        and (end is None or datetime.fromisoformat(orjson.loads(line)["at"]) < end)
    ]
    return b"\n".join([head, *wanted]) if wanted else None


def _readings(said: dict[str, Any], lines: list[tuple[int, bytes]]) -> Outcome:
    outcome = Outcome(read=len(lines))
    rows: list[list[Any]] = []
    days: dict[tuple[str, str], float] = defaultdict(float)
    for number, line in lines:
        try:
            reading = orjson.loads(line)
            meter, at, kwh = str(reading["meter"]), str(reading["at"]), float(reading["kwh"])
        except (ValueError, KeyError, TypeError) as error:
            outcome.errors.append(RowProblem((number,), "error", f"line {number} is no reading: {error}"))
            continue
        if kwh < 0:
            outcome.skips.append(RowProblem((meter, at), "turned back", "the meter counts backwards"))
            continue
        days[at[:10], meter] += kwh
        cost = kwh * PENCE_PER_KWH / 100
        electric = (reading.get("volts"), reading.get("amps"))
        rows.append([meter, at, reading.get("site"), kwh, cost, *electric, said["observed"]])
    source = BY_TABLE if said["kind"] == "table" else BY_FILE
    outcome.tables.append(TableRows.of(READINGS, _READING, rows, source))
    if said["kind"] == "file":
        outcome.tables.append(TableRows.of(TOTALS, _TOTAL, _totals(said, "day", days)))
    return outcome


def _month(said: dict[str, Any], lines: list[tuple[int, bytes]]) -> Outcome:
    months: dict[tuple[str, str], float] = defaultdict(float)
    for _, line in lines:
        day, meter, kwh = orjson.loads(line)
        months[f"{day[:7]}-01", meter] += kwh
    return Outcome(read=len(lines), tables=[TableRows.of(TOTALS, _TOTAL, _totals(said, "month", months))])


def _totals(said: dict[str, Any], span: str, kwhs: dict[tuple[str, str], float]) -> list[list[Any]]:
    own = (said["capture"], said["observed"])
    return [[span, at, meter, *own, kwh, kwh * PENCE_PER_KWH / 100] for (at, meter), kwh in sorted(kwhs.items())]
