"""How pages write figures: the words of the command line, and what a page needs besides."""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson

from rederive.cli.figures import amount, clock, count, percent
from rederive.cli.status_text import said

_SHOWN_CHARS = 120
_LEVELS = 10


def number(value: float | None, digits: int = 4) -> str:
    """A figure with its significant digits: `1,234`, `0.01235`; empty for NULL."""
    if value is None:
        return ""
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.{max(0, 2 if abs(value) < 1e6 else 0)}f}"
    return f"{value:,.{digits}g}"


def share(part: float, whole: float) -> str:
    """A part of a whole in percent; empty of nothing."""
    return (percent(round(part), round(whole)) or "").replace(".0%", "%")


def level(part: float, whole: float) -> int:
    """How much of a whole a part is: 0 nothing, 10 all, 1 to 9 between."""
    if not whole or not part:
        return 0
    return _LEVELS if part >= whole else min(_LEVELS - 1, 1 + int((_LEVELS - 1) * part / whole))


def value(stored: Any) -> str:  # noqa: ANN401 - whatever is stored
    """A stored value as text, cut where it is long; NULL by its name."""
    if stored is None:
        return "NULL"
    if isinstance(stored, datetime):
        return clock(stored)
    text = stored if isinstance(stored, str) else orjson.dumps(stored, default=str).decode()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago something was; empty for never."""
    if moment is None:
        return ""
    return f"{said(max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds()))} ago"


def iso(moment: datetime | date | float | None) -> str:
    """A time as machines read it, and a number as it is."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).isoformat()
    if isinstance(moment, date):
        return moment.isoformat()
    return "" if moment is None else str(moment)


def command(words: Sequence[str]) -> str:
    """A command line as a person types it."""
    return shlex.join(["rederive", *words])


def scaled(values: Sequence[float], width: int = 120, height: int = 24) -> str:
    """The points of a line through values, from left to right, for SVG."""
    most = max([*values, 1e-9])
    step = width / max(1, len(values) - 1)
    return " ".join(
        f"{place * step:.1f},{height - 1 - (height - 2) * one / most:.1f}" for place, one in enumerate(values)
    )


def span_end(start: date, by: str) -> date:
    """The last day of a day, week or month that begins then."""
    try:
        if by == "day":
            return start
        if by == "week":
            return start + timedelta(days=6)
        return (start.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    except OverflowError:
        return date.max


FILTERS: Mapping[str, Callable[..., Any]] = {
    "ago": ago,
    "amount": amount,
    "clock": clock,
    "command": command,
    "count": count,
    "duration": said,
    "figure": number,
    "iso": iso,
    "level": level,
    "scaled": scaled,
    "share": share,
    "span_end": span_end,
    "stored": value,
}
"""By the names that templates use."""
