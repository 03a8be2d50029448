"""What a snapshot's line says it is, such that Postgres takes it: one bad text must not stop a whole unit's merge."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.payload import TOO_DEEP, aware, read_json, sendable, shown

MAX_MARKET_ID = 2_000
"""Bytes of a market's id at most: it stands in an index, whose entries Postgres limits to a third of a page."""

_INT8 = 2**63


class NotJsonError(ValueError):
    """A line that is no JSON object at all."""


_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Identity = tuple[int, int, str]
"""A derived row's snapshot_id, its snapshot_at in microseconds since 1970, and its market_id."""


def read_line(line: bytes) -> dict[str, Any]:
    """By the standard library's JSON, whose numbers are the ones meant: large integers, NaN. NotJsonError."""
    try:
        row = read_json(line)
    except ValueError as error:
        raise NotJsonError(str(error)) from None
    if not isinstance(row, dict):
        raise NotJsonError("not a JSON object")
    return row


def identity(row: dict[str, Any]) -> Identity:
    """ValueError when something is missing or can't be stored."""
    snapshot_id, market_id = readable_id(row), row.get("market_id")
    if snapshot_id is None:
        raise _wrong(row, "snapshot_id", f"is {shown(row.get('snapshot_id'))}, not a 64-bit integer")
    try:
        at = (aware(row.get("snapshot_at")) - _ZERO) // _MICROSECOND
    except ValueError as error:
        raise _wrong(row, "snapshot_at", str(error)) from None
    if type(market_id) is not str or not market_id or not market_id.isprintable():
        raise _wrong(row, "market_id", f"is {shown(market_id)}, not a printable text")
    if len(market_id) > MAX_MARKET_ID // 4 and (size := len(market_id.encode())) > MAX_MARKET_ID:
        raise ValueError(f"market_id is {market_id[:40]!r}…, of {size:,} bytes, more than {MAX_MARKET_ID:,}")
    return snapshot_id, at, market_id


def _wrong(row: dict[str, Any], name: str, why: str) -> ValueError:
    return ValueError(f"{name} {why}" if name in row else f"there is no {name}")


def readable_id(row: dict[str, Any]) -> int | None:
    """The snapshot's id if it is an integer of 64 bits, whatever else is wrong with the row."""
    found = row.get("snapshot_id")
    return found if type(found) is int and -_INT8 <= found < _INT8 else None


def told(error: Exception) -> str:
    """An error as one line; characters that can't be sent are escaped."""
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if isinstance(error, ArithmeticError):
        return "a figure leaves the range of decimal arithmetic"
    text = str(error) or type(error).__name__
    if not isinstance(error, ValueError):
        text = f"{type(error).__name__}: {text}"
    return sendable(text)
