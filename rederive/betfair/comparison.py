"""Two NULL audits side by side, and audits kept in files (betfair spec, section 8.1)."""

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from rederive.betfair.nulls import NullAudit
from rederive.cli.figures import change
from schemas.errors import Failed, UsageError

FORMAT = 1
_AUDIT: TypeAdapter[NullAudit] = TypeAdapter(NullAudit)


@dataclass(frozen=True, slots=True)
class NullChange:
    """A column's NULLs before and after; what one of the audits didn't look at is None there."""

    column: str
    before: int | None
    after: int | None
    before_percent: str | None
    after_percent: str | None
    change: str


@dataclass(frozen=True, slots=True)
class NullComparison:
    """Two audits: when they were taken, their derived rows, and each column of either."""

    before_at: datetime
    after_at: datetime
    before_rows: int
    after_rows: int
    rows_change: str
    columns: tuple[NullChange, ...]


def compare(before: NullAudit, after: NullAudit) -> NullComparison:
    """`after` against `before`, in the order of `after`'s columns, then those that only `before` has."""
    old = {found.column: found for found in before.columns}
    new = {found.column: found for found in after.columns}
    columns = []
    for name in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(name), new.get(name)
        columns.append(
            NullChange(
                column=name,
                before=was.nulls if was else None,
                after=now.nulls if now else None,
                before_percent=was.percent if was else None,
                after_percent=now.percent if now else None,
                change=change(was.nulls, now.nulls) if was and now else "",
            )
        )
    return NullComparison(
        before_at=before.taken_at,
        after_at=after.taken_at,
        before_rows=before.rows,
        after_rows=after.rows,
        rows_change=change(before.rows, after.rows),
        columns=tuple(columns),
    )


def as_json(audit: NullAudit) -> dict[str, Any]:
    """The audit as the JSON object that is printed and saved."""
    return {"report": "null-audit", "format": FORMAT, **asdict(audit)}


def save(audit: NullAudit, path: Path) -> None:
    """Write the audit to `path`, whole or not at all; Failed when that can't be done."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(orjson.dumps(as_json(audit), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise Failed(f"the audit can't be saved to {path}", why=error.strerror or str(error)) from error


def load(path: Path) -> NullAudit:
    """An audit that `save` wrote; UsageError when the file isn't there or holds something else."""
    mend = "save one with `rederive report null-audit --save FILE`"
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"no saved audit can be read from {path}", why=error.strerror or "", mend=mend) from error
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path} holds no saved audit", why="it isn't JSON", mend=mend) from error
    if not isinstance(content, dict) or content.get("report") != "null-audit" or content.get("format") != FORMAT:
        raise UsageError(f"{path} holds no saved audit", why=f"it isn't a null-audit of format {FORMAT}", mend=mend)
    try:
        return _AUDIT.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path} holds no saved audit", why=f"{where}: {first['msg']}", mend=mend) from error
