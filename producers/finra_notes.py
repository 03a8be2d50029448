"""What a person should know of a plan for FINRA: missing weeks, what is passed over, files that can't be used."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import Connection

from producers import finra_folder as folder
from producers.finra_history import History
from producers.finra_picks import Partition
from producers.source import Request
from schemas.errors import Failed
from schemas.finra_partition import fridays
from schemas.plan import Plan

_LISTED = 12
_WEEK = timedelta(weeks=1)


def missing_weeks(
    found: Collection[Partition], first: date | None, last: date | None, tiers: Collection[str]
) -> Iterator[str]:
    """The weeks of the range without files and rows, by tier: of the tiers named, else of those that are there."""
    weeks = {week for week, _ in found}
    if not weeks and not (first and last):
        return
    asked = fridays(first or min(weeks), last or max(weeks))
    lacking: dict[tuple[date, ...], list[str]] = {}
    for tier in tiers or sorted({tier for _, tier in found}):
        lacking.setdefault(tuple(week for week in asked if (week, tier) not in found), []).append(tier)
    for missing, of in lacking.items():
        if missing:
            yield f"{', '.join(of)}: {_count(missing, 'week')} missing, passed over: {_ranges(missing)}"


def _count(things: Collection[object], noun: str) -> str:
    return f"{len(things):,} {noun}" if len(things) == 1 else f"{len(things):,} {noun}s"


def _ranges(weeks: Sequence[date]) -> str:
    runs: list[list[date]] = []
    for week in weeks:
        if runs and week - runs[-1][-1] == _WEEK:
            runs[-1].append(week)
        else:
            runs.append([week])
    return _some([str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def files(found: folder.Folder, same: Sequence[str]) -> Iterator[str]:
    """What becomes of files that give no unit of work."""
    yield from (f"can't be used: {path.name}: {reason}" for path, reason in found.refused)
    if same:
        what = f"{_count(same, 'file')} with the content of the latest capture"
        yield f"passed over: {what} (--force takes them): {_some(same)}"
    if found.unknown:
        what = f"{_count(found.unknown, 'file')} of another kind than .csv and .psv, plain or .gz"
        yield f"passed over: {what}: {_some(found.unknown)}"
    if found.outside:
        yield f"passed over: {_count(found.outside, 'file')} of other weeks or tiers"


def left_out(pairs: Iterable[tuple[folder.Checked, folder.Checked]]) -> Iterator[str]:
    """Files in whose place another one of their partition is taken."""
    for one, taken in pairs:
        why = "has the same content" if one.sha256 == taken.sha256 else "is the newer one"
        week, tier = one.partition
        yield f"not taken: {one.file.path.name}: {taken.file.path.name} {why} of {tier} {week}"


def lacking(partitions: Sequence[Partition]) -> Iterator[str]:
    """Partitions that can't be computed: the stage before is missing."""
    if partitions:
        named = _some([f"{week}/{tier}" for week, tier in partitions])
        yield f"{_count(partitions, 'partition')} without normalised rows, normalize_week makes them: {named}"


def passed(stages: Collection[object]) -> Iterator[str]:
    """What needs no work."""
    if stages:
        what = f"{_count(stages, 'stage')} with output of the same input and version"
        yield f"passed over: {what} (--force computes them again)"


def nothing_stored(request: Request) -> Failed:
    """There is nothing to compute from."""
    if named := request.options.get("input_capture"):
        return Failed(
            f"there is nothing to read of capture {named}",
            why="no raw, normalised or summary rows of the range and tiers are stored under it",
            mend="`rederive captures list` shows the runs, `rederive report week` a week's captures",
        )
    last = (request.end - timedelta(microseconds=1)).date() if request.end else "the end"
    start = request.start.date() if request.start else "the beginning"
    return Failed(
        f"no week from {start} to {last} is stored" + (f" of {', '.join(request.keys)}" if request.keys else ""),
        why="the stages behind ingest_week read what it has stored",
        mend="ingest files first: `rederive replay finra --source FOLDER`",
    )


def stale(connection: Connection, plan: Plan) -> str | None:
    """Applied before, files changed, inputs gone, or partitions captured again since."""
    picks = [unit.picked for unit in plan.units if unit.picked.get("captures")]
    ids = {capture for picked in picks for capture in picked["captures"]}
    if _exists(connection, ids):
        return "it has been applied before: its captures exist"
    for picked in picks:
        if "path" in picked and (why := _changed(picked)):
            return why
    weeks = [date.fromisoformat(picked["week"]) for picked in picks]
    if not weeks:
        return None
    planned_at = min(datetime.fromisoformat(picked["captured_at"]) for picked in picks)
    partitions = {(picked["week"], tier) for picked in picks for tier in picked.get("tiers") or [picked["tier"]]}
    newer = History.load(connection, min(weeks), max(weeks)).since(planned_at)
    if again := sorted({(str(week), tier) for week, tier in newer} & partitions):
        return f"{len(again):,} partitions have been captured since, first {'/'.join(again[0])}"
    return _gone(connection, picks)


def _changed(picked: dict[str, Any]) -> str | None:
    path = Path(picked["path"])
    try:
        same = folder.read(path).sha256 == picked["sha256"]
    except ValueError as error:
        return f"{path.name}: {error}"
    return None if same else f"{path.name} has changed"


def _exists(connection: Connection, ids: Iterable[str]) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM rederive.units WHERE picked -> 'captures' ?| %s)", [sorted(ids)]
    ).fetchone()
    return bool(row and row[0])


def _gone(connection: Connection, picks: Sequence[dict[str, Any]]) -> str | None:
    row = connection.execute(
        """SELECT count(*) FROM unnest(%s::text[]) AS i(input)
           WHERE EXISTS (SELECT FROM rederive.units WHERE picked -> 'captures' ? input AND state = 'removed')
             AND NOT EXISTS (SELECT FROM rederive.units WHERE picked -> 'captures' ? input AND state = 'applied')""",
        [sorted({capture for picked in picks for capture in picked["inputs"]})],
    ).fetchone()
    return f"{row[0]:,} of the captures it reads have been rolled back" if row and row[0] else None
