"""How figures are written in reports (betfair spec, section 8): percents, counts, signed amounts, times."""

from datetime import UTC, datetime

NONE = "—"
"""What stands where there is nothing to say: no change, a percent of nothing."""

_SIGNED = ("risk", "risk_l3", "impedance", "impedance_norm", "spread")


def count(number: int | None) -> str:
    """A count with thousands separators; empty when there is none."""
    return "" if number is None else f"{number:,}"


def percent(part: int, total: int) -> str | None:
    """`part` of `total` in percent, rounded half up: `0%`, `7.9%`, `0.01%`; None when `total` is 0.

    One decimal, and two where one would show 0.0 for a part that isn't 0.
    """
    if total == 0:
        return None
    if part == 0:
        return "0%"
    tenths = _half_up(1_000 * part, total)
    if tenths:
        return f"{tenths // 10:,}.{tenths % 10}%"
    hundredths = _half_up(10_000 * part, total)
    return f"0.{hundredths:02d}%"


def change(before: int, after: int) -> str:
    """The change of a count: `-100%`, `-99.9%`, `+12.5%`, `—` for none, `+3` where there was nothing before."""
    if before == after:
        return NONE
    if before == 0:
        return f"{after:+,}"
    sign = "+" if after > before else "-"
    size = abs(after - before)
    if size % before == 0:
        return f"{sign}{100 * (size // before):,}%"
    return f"{sign}{percent(size, before)}"


def amount(value: float | None, column: str) -> str:
    """A value with thousands separators and 2 decimals; empty when NULL.

    Columns that can be negative (risks, impedances, spreads) carry a sign when positive too.
    """
    if value is None:
        return ""
    text = f"{value:,.2f}"
    if text == "-0.00":
        text = "0.00"
    signed = any(column == name or column.endswith(f"_{name}") for name in _SIGNED)
    return f"+{text}" if signed and float(text.replace(",", "")) > 0 else text


def clock(moment: datetime | None) -> str:
    """A time in UTC, cut (not rounded) to seconds; empty when there is none."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """A length of time, cut to seconds: `2 h 5 min 0 s`, `33 min 1 s`, `8 s`."""
    minutes, rest = divmod(int(abs(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h"] if hours else []
    if hours or minutes:
        parts.append(f"{minutes} min")
    return " ".join([*parts, f"{rest} s"])


def distance(seconds: float) -> str:
    """How far from a target: `33 min 1 s before`, `1 min 50 s after`, `on time` under a second."""
    if abs(seconds) < 1:
        return "on time"
    return f"{span(seconds)} {'after' if seconds > 0 else 'before'}"


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
