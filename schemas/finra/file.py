"""FINRA's weekly file as text: its bytes, its header, its first row (finra spec, section 1.2)."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from schemas.finra.partition import parse_date

SEPARATOR = "|"

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "tier_description": ("tierDescription", "Tier"),
    "symbol": ("issueSymbolIdentifier", "Symbol"),
    "issue_name": ("issueName",),
    "venue_name": ("marketParticipantName",),
    "mpid": ("MPID", "mpid"),
    "total_shares": ("totalWeeklyShareQuantity", "TotalShares"),
    "total_trades": ("totalWeeklyTradeCount", "TotalTrades"),
    "last_update": ("lastUpdateDate",),
    "week_ending": ("weekEnding", "WeekEnding"),
}
"""What a row says, and the columns that say it: the first of them that the header has."""

_REQUIRED = ("tier_description", "symbol", "mpid", "total_shares", "total_trades")
_DATES = ("last_update", "week_ending")
_MAX_COLUMNS = 100

MAX_LINES = 500_000
"""Lines of a file at most: ten times what a week has; many more are no such file."""

BLANKS = "".join(character for character in map(chr, range(0x3001)) if character.isspace())
"""What trimming takes away."""

_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a file: which field of a row stands where, and on which line it stands itself."""

    line_number: int
    columns: Mapping[str, int]


def decode_file(data: bytes) -> str:
    """A file's bytes as text, with its BOM; ValueError when they are no UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text: {error.reason} at byte {error.start:,}") from None


def content_hash(text: str) -> str:
    """What tells changed content from the same: SHA-256 of the file (section 5)."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_header(text: str) -> Header:
    """The header of a file: its first line that isn't blank.

    ValueError when there is none, when it lacks columns or has one twice, or the file has more than MAX_LINES.
    """
    if (count := text.count("\n")) > MAX_LINES:
        raise ValueError(f"it has {count:,} lines, at most {MAX_LINES:,} are taken")
    for number, line in _lines(text):
        return Header(number, _columns(line))
    raise ValueError("it is empty")


def first_update(text: str) -> date | None:
    """The first row's lastUpdateDate, None when it says none; ValueError as `read_header`."""
    place = read_header(text).columns.get("last_update")
    if place is None:
        return None
    rows = _lines(text)
    next(rows)
    fields = next(rows, (0, ""))[1].split(SEPARATOR)
    return parse_date(fields[place]) if place < len(fields) else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that aren't blank, with their numbers from 1."""
    start, number = len(_BOM) if text.startswith(_BOM) else 0, 0
    while start <= len(text):
        end = text.find("\n", start)
        line = text[start : end if end >= 0 else len(text)]
        number += 1
        if line and not line.isspace():
            yield number, line
        if end < 0:
            return
        start = end + 1


def _columns(line: str) -> Mapping[str, int]:
    names = [name.strip() for name in line.split(SEPARATOR)]
    if len(names) > _MAX_COLUMNS:
        raise ValueError(f"its header has {len(names):,} columns, at most {_MAX_COLUMNS} are taken")
    found = {}
    for field, accepted in COLUMNS.items():
        name = next((name for name in accepted if name in names), None)
        if name is None:
            continue
        if names.count(name) > 1:
            raise ValueError(f"its header has the column {name} twice")
        found[field] = names.index(name)
    missing = [COLUMNS[field][0] for field in _REQUIRED if field not in found]
    if not any(field in found for field in _DATES):
        missing.append("lastUpdateDate (or weekEnding)")
    if missing:
        said = SEPARATOR.join(names)
        raise ValueError(f"its header lacks {', '.join(missing)}; it is {said[:200]!r}")
    return found
