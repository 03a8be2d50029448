"""Which snapshots of a record of the log are of a range of their own times."""

from datetime import datetime

import orjson

from schemas.payload import aware


def within(value: bytes, start: datetime | None, end: datetime | None) -> bytes | None:
    """The lines of snapshots in [start, end), None where there is none; ValueError where no line says its time."""
    lines = [line for line in value.split(b"\n") if line and not line.isspace()]
    said = [(line, at) for line in lines if (at := _at(line)) is not None]
    if lines and not said:
        raise ValueError("no line of it says when its snapshot was taken")
    wanted = [line for line, at in said if (start is None or at >= start) and (end is None or at < end)]
    if len(wanted) == len(lines):
        return value if wanted else None
    return b"\n".join(wanted) or None


def _at(line: bytes) -> datetime | None:
    try:
        return aware(orjson.loads(line)["snapshot_at"])
    except (ValueError, KeyError, TypeError):
        return None
