"""What a person should know of a plan for FINRA: missing weeks, what is passed over, files that can't be used."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from psycopg import Connection

from producers.finra import folder
from producers.finra.history import History
from producers.finra.locators import FileWork, StageWork
from producers.finra.picks import Partition
from producers.source import Request
from schemas.errors import Failed
from schemas.finra.partition import fridays
from schemas.plan import Plan
from schemas.words import counted, verb
from store import lineage

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
            yield f"{', '.join(of)}: {counted(len(missing), 'week')} missing, passed over: {_ranges(missing)}"


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
    yield from (f"can't be used: {folder.said_name(path.name)}: {reason}" for path, reason in found.refused)
    if same:
        what = f"{counted(len(same), 'file')} with the content of the latest capture"
        yield f"passed over: {what} (--force takes them): {_some(same)}"
    if found.unknown:
        what = f"{counted(len(found.unknown), 'file')} of another kind than .csv and .psv, plain or .gz"
        yield f"passed over: {what}: {_some([folder.said_name(name) for name in found.unknown])}"
    if found.outside:
        yield f"passed over: {counted(len(found.outside), 'file')} of other weeks or tiers"


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
        yield f"{counted(len(partitions), 'partition')} without normalised rows, normalize_week makes them: {named}"


def passed(stages: Collection[object]) -> Iterator[str]:
    """What needs no work."""
    if stages:
        what = f"{counted(len(stages), 'stage')} with output of the same input and version"
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


def stale(connection: Connection, plan: Plan[Any]) -> str | None:
    """Applied before, files changed, inputs gone, or partitions captured again since."""
    planned = [unit for unit in plan.units if isinstance(unit.locator, StageWork)]
    works: list[StageWork] = [unit.locator for unit in planned]
    if not works:
        return None
    if lineage.is_known(connection, {capture for unit in planned for capture in unit.writes}):
        return "it has been applied before: its captures exist"
    for work in works:
        if isinstance(work, FileWork) and (why := _changed(work)):
            return why
    planned_at = min(work.captured_at for work in works)
    partitions = {(work.week, tier) for work in works for tier in work.tiers}
    weeks = [week for week, _ in partitions]
    newer = History.load(connection, min(weeks), max(weeks)).since(planned_at)
    if again := sorted(newer & partitions):
        week, tier = again[0]
        since = f"{verb(len(again), 'has', 'have')} been captured since"
        return f"{counted(len(again), 'partition')} {since}, first {week}/{tier}"
    gone = lineage.taken_back(connection, {capture for unit in planned for capture in unit.reads})
    return f"{gone:,} of the captures it reads {verb(gone, 'has', 'have')} been rolled back" if gone else None


def _changed(work: FileWork) -> str | None:
    path = Path(work.path)
    try:
        same = folder.read(path).sha256 == work.sha256
    except ValueError as error:
        return f"{path.name}: {error}"
    return None if same else f"{path.name} has changed"
