"""FINRA's sources: weekly files of a folder, what is stored of them, what the log has kept (finra spec, section 5)."""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, cast

from psycopg import Connection

from producers.finra import folder
from producers.finra import notes as told
from producers.finra.due import FromStored, follow_ups_of_run
from producers.finra.history import History
from producers.finra.locators import FileWork, FinraLocator, StageWork, Unusable
from producers.finra.picks import SUMMARY_CALC, Minter, Partition, Wanted, numbered
from producers.finra.stored import (
    GoneError,
    bounds,
    captures_of,
    captures_of_run,
    payload,
)
from producers.source import Page, Refusal, Request, Services, Source
from schemas.capture import Capture, UnitState
from schemas.domain import Domain
from schemas.finra.partition import TIERS, fridays
from schemas.finra.tables import FINRA, RAW, SYMBOL_SUMMARY, VENUE_VOLUME
from schemas.lane import LaneName
from schemas.plan import Plan, PlannedUnit
from schemas.unit import Unit
from store import units

log = logging.getLogger(__name__)


class FinraStored(Source[FinraLocator]):
    """Stages 2 to 6 of weeks and tiers that are stored."""

    locator: ClassVar[Any] = FinraLocator

    def __init__(self, domain: Domain, services: Services) -> None:
        super().__init__(domain, services)
        self._notes: list[str] = []
        self._month = ""

    def span(self, request: Request) -> str:
        """The days that the weeks end in."""
        return request.days("of all weeks there are")

    def pages(self, request: Request) -> Iterator[Page[FinraLocator]]:
        """What is due of the weeks and tiers, a page a calendar month. Failed when nothing of them is stored."""
        wanted = Wanted.of(request.describe())
        first, last = days(request)
        tiers = request.keys or TIERS
        only: dict[str, Partition] | None = None
        if named := request.options.get("input_capture"):
            only = captures_of_run(self.connection, str(named))
            weeks = sorted({w for w, _ in only.values() if (not first or w >= first) and (not last or w <= last)})
        else:
            weeks = _stored_weeks(self.connection, first, last)
        raws = _newest(self.connection, RAW.name, weeks, tiers, only)
        volumes = _newest(self.connection, VENUE_VOLUME.name, weeks, tiers, only)
        summaries = captures_of(self.connection, SYMBOL_SUMMARY, weeks, tiers)
        stored = sorted({*raws, *volumes, *(summaries if only is None else ())})
        if not stored:
            raise told.nothing_stored(request)
        due = self._due(wanted, weeks)
        units = due.rows_of(raws, volumes, stored)
        if only is None:
            units += due.follow_ups(stored, _coming(units))
        yield from months(units)
        self._notes = [
            *told.missing_weeks(stored, first, last, request.keys),
            *told.lacking(due.lacking),
            *told.passed(due.passed),
        ]

    def _due(self, wanted: Wanted, weeks: Sequence[date]) -> FromStored:
        return FromStored(
            self.connection,
            wanted,
            Minter(self.connection, datetime.now(UTC)),
            History.load(self.connection, weeks[0], weeks[-1]),
        )

    def notes(self, request: Request, found: int) -> tuple[str, ...]:  # noqa: ARG002
        """What is missing, what is passed over and why, what can't be used."""
        return tuple(self._notes if found else [*self._notes, "nothing to do"])

    def stale(self, plan: Plan[FinraLocator]) -> str | None:
        """Why the plan no longer fits what is stored."""
        return told.stale(self.connection, plan)

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[FinraLocator]) -> Unit | Refusal:
        """The unit with its file or its rows; refused when they have changed, are gone or too large."""
        work = unit.locator
        if isinstance(work, Unusable):
            return Refusal(unit, work.refused)
        self._say_month(f"{work.week:%Y-%m}", unit.stage)
        try:
            value = (
                folder.payload(capture_id, unit)
                if isinstance(work, FileWork)
                else payload(self.connection, capture_id, cast("PlannedUnit[StageWork]", unit))
            )
        except GoneError as error:
            return Refusal(unit, f"{unit.key_range}: what it was to read is gone: {error}")
        except ValueError as error:
            return Refusal(unit, f"{unit.key_range}: {error}")
        return self.record(
            capture_id,
            columns,
            unit,
            value,
            kind=f"{self.domain.name}.{unit.stage}",
            key=f"{work.week}/{work.tier}".encode(),
            observed=work.captured_at.isoformat(),
            # On the log all files of a week and tier share a partition, so that they keep order.
            partition=None if unit.lane is LaneName.REPLAY else _log_partition(work),
        )

    def _say_month(self, month: str, stage: str) -> None:
        if self._month != f"{month} {stage}":
            self._month = f"{month} {stage}"
            log.info("%s: %s", month, stage.replace("_", " "))

    def more(self, connection: Connection, capture: Capture) -> Iterator[Sequence[PlannedUnit[FinraLocator]]]:
        """Tier splits, rolling figures and snapshots that the applied units have made due."""
        yield from follow_ups_of_run(connection, capture.capture_id, Wanted.of(capture.request))


class FinraFiles(FinraStored):
    """Weekly files of a folder; of those that are stored already, what is due of them."""

    def pages(self, request: Request) -> Iterator[Page[FinraLocator]]:
        """A unit per file with content that isn't the latest of its partition, then what is due of the others."""
        wanted = Wanted.of(request.describe())
        first, last = days(request)
        said = request.options.get("file_date")
        file_date = date.fromisoformat(str(said)) if said else None
        found = folder.look(Path(str(request.options["source"])), request.keys, file_date, first, last)
        files, left = folder.one_each(
            folder.check(found), file_date, take_newest=bool(request.options.get("take_newest"))
        )
        partitions = {(one.week, one.tier) for one in found.files}
        weeks = sorted({week for week, _ in partitions}) or [date.max]
        minter = Minter(self.connection, datetime.now(UTC))
        history = History.load(self.connection, weeks[0], weeks[-1])
        raws = _newest(self.connection, RAW.name, weeks, TIERS)
        volumes = _newest(self.connection, VENUE_VOLUME.name, weeks, TIERS)
        latest = {partition: history.sha256(raw) for partition, raw in raws.items()}
        new, same = (files, []) if wanted.force else folder.fresh(files, latest)
        units = [folder.refused(*one) for one in found.refused]
        units += [folder.planned_file(one, minter, wanted) for one in new]
        due = FromStored(self.connection, wanted, minter, history)
        stored = sorted({one.partition for one in same})
        units += due.rows_of(raws, volumes, stored)
        units += due.follow_ups(stored, _coming(units))
        yield from months(units)
        self._notes = [
            *told.files(found, [one.file.path.name for one in same]),
            *told.left_out(left),
            *told.missing_weeks({*partitions, *raws}, first, last, request.keys),
            *told.passed(due.passed),
        ]

    def planned_again(self, connection: Connection, capture: Capture) -> Iterator[PlannedUnit[FinraLocator]]:
        """Dead files as they are now, each under a new capture of the partition that it says now.

        One that still can't be used is refused with the reason of now; so is one of a partition that another file of
        the run has: which of them is the week, only the user knows.
        """
        asked = dict(capture.request)
        first, last = _days(*(datetime.fromisoformat(asked[end]) if asked[end] else None for end in ("start", "end")))
        file_date = date.fromisoformat(asked["file_date"]) if asked.get("file_date") else None
        minter = Minter(connection, datetime.now(UTC))
        files = [
            (unit, self.located(unit.locator))
            for unit in units.of_capture(connection, capture.capture_id)
            if unit.stage == "file" and unit.state is not UnitState.REMOVED
        ]
        taken = {
            (work.week, work.tier): Path(work.path).name
            for unit, work in files
            if unit.state is not UnitState.DEAD and isinstance(work, FileWork)
        }
        for unit, work in files:
            if unit.state is not UnitState.DEAD or not isinstance(work, FileWork | Unusable) or not work.path:
                continue
            path = Path(work.path)
            try:
                alone = path.name == Path(asked["source"]).name
                checked = folder.look_again(path, asked["keys"], file_date, first, last, alone=alone)
                if other := taken.get(checked.partition):
                    raise ValueError(f"the run has {other} of its week and tier already; take it in a run of its own")
            except ValueError as error:
                again = folder.refused(path, str(error))
            else:
                taken[checked.partition] = path.name
                again = folder.planned_file(checked, minter, Wanted.of(asked))
                log.info("unit %d (%s) is planned again as %s", unit.unit, unit.key_range, again.key_range)
            yield again.model_copy(update={"unit": unit.unit})


def days(request: Request) -> tuple[date | None, date | None]:
    """The first and the last day of a request."""
    return _days(request.start, request.end)


def _days(start: datetime | None, end: datetime | None) -> tuple[date | None, date | None]:
    return start.date() if start else None, (end - timedelta(microseconds=1)).date() if end else None


def months(units: Iterable[PlannedUnit[FinraLocator]]) -> Iterator[Page[FinraLocator]]:
    """The units, numbered, a page a calendar month; what has no week stands first."""
    number = 0

    def month_of(unit: PlannedUnit[FinraLocator]) -> str:
        return f"{unit.locator.week:%Y-%m}" if isinstance(unit.locator, StageWork) else ""

    for _, month in groupby(sorted(units, key=month_of), key=month_of):
        page = numbered(number, month)
        number += len(page)
        yield Page(page)


def _log_partition(work: StageWork) -> int:
    return work.week.toordinal() // 7 * len(TIERS) + TIERS.index(work.tier)


def _coming(units: Iterable[PlannedUnit[FinraLocator]]) -> set[Partition]:
    """The partitions that get new summaries from these units."""
    works = [unit.locator for unit in units if isinstance(unit.locator, StageWork)]
    return {(work.week, work.tier) for work in works if SUMMARY_CALC in work.work}


def _stored_weeks(connection: Connection, first: date | None, last: date | None) -> list[date]:
    held = bounds(connection)
    if held is None:
        return []
    return fridays(max(held[0], first or held[0]), min(held[1], last or held[1]))


def _newest(
    connection: Connection, table: str, weeks: Sequence[date], tiers: Iterable[str], only: Collection[str] | None = None
) -> dict[Partition, str]:
    """The newest capture of each partition in a table, of those in `only`."""
    found = captures_of(connection, FINRA.table(table), weeks, tiers)
    kept = {
        partition: [one.capture_id for one in captures if only is None or one.capture_id in only]
        for partition, captures in found.items()
    }
    return {partition: captures[0] for partition, captures in kept.items() if captures}
