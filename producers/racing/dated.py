"""Which answers of a record of the log are of a range of race days."""

from datetime import date, datetime

import orjson

from producers.source import start_of


def within(value: bytes, start: datetime | None, end: datetime | None) -> bytes | None:
    """The pages of race days that begin in [start, end), None where there is none.

    ValueError for what has no race day, as masters and horses.
    """
    lines = [line for line in value.split(b"\n") if line and not line.isspace()]
    try:
        said = [(line, start_of(date.fromisoformat(orjson.loads(line)["date"]))) for line in lines]
    except (KeyError, TypeError) as error:
        raise ValueError(f"it has no race day: {error}") from None
    wanted = [line for line, at in said if (start is None or at >= start) and (end is None or at < end)]
    return value if wanted and len(wanted) == len(lines) else b"\n".join(wanted) or None
