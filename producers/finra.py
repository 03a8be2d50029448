"""FINRA's sources: weekly files of a folder, what is stored of them, what the log has kept (finra spec, section 5)."""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from psycopg import Connection

from producers import finra_folder as folder
from producers import finra_notes as told
from producers.finra_due import FromStored, follow_ups_of_run
from producers.finra_history import History
from producers.finra_picks import SUMMARY_CALC, Minter, Partition, Wanted, numbered
from producers.finra_stored import (
    GoneError,
    bounds,
    captures_of,
    captures_of_run,
    payload,
)
from producers.source import Page, Refusal, Request, Source
from schemas.capture import Capture
from schemas.finra import FINRA, RAW, SYMBOL_SUMMARY, VENUE_VOLUME
from schemas.finra_partition import TIERS, fridays
from schemas.lane import LaneName
from schemas.plan import Plan, PlanHead, PlannedUnit
from schemas.unit import ENVELOPE_BYTES, MAX_RECORD_BYTES, Unit, UnitHeaders

log = logging.getLogger(__name__)


class FinraStored(Source):
    """Stages 2 to 6 of weeks and tiers that are stored."""

    name: str = "table"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._notes: list[str] = []
        self._month = ""

    def head(self, request: Request) -> PlanHead:
        """The plan's head before anything is found."""
        return PlanHead(
            domain=FINRA.name,
            source="files" if self.name == "files" else "table",
            mode=request.mode,
            derivation_version=FINRA.derivation_version,
            columns=request.columns,
            request=request.describe(),
        )

    def pages(self, request: Request) -> Iterator[Page]:
        """What is due of the weeks and tiers, a page a calendar month. Failed when nothing of them is stored."""
        wanted = Wanted.of(request.describe())
        first, last = days(request)
        tiers = request.keys or TIERS
        only: dict[str, Partition] | None = None
        if named := request.options.get("input_capture"):
            only = captures_of_run(self._connection, str(named))
            weeks = sorted({w for w, _ in only.values() if (not first or w >= first) and (not last or w <= last)})
        else:
            weeks = _stored_weeks(self._connection, first, last)
        raws = _newest(self._connection, RAW.name, weeks, tiers, only)
        volumes = _newest(self._connection, VENUE_VOLUME.name, weeks, tiers, only)
        summaries = captures_of(self._connection, SYMBOL_SUMMARY, weeks, tiers)
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
            self._connection,
            wanted,
            Minter(self._connection, datetime.now(UTC)),
            History.load(self._connection, weeks[0], weeks[-1]),
        )

    def notes(self, request: Request, found: int) -> tuple[str, ...]:  # noqa: ARG002
        """What is missing, what is passed over and why, what can't be used."""
        return tuple(self._notes if found else [*self._notes, "nothing to do"])

    def stale(self, plan: Plan) -> str | None:
        """Why the plan no longer fits what is stored."""
        return told.stale(self._connection, plan)

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit) -> Unit | Refusal:
        """The unit with its file or its rows; refused when they have changed, are gone or too large."""
        picked = unit.picked
        if "refused" in picked:
            return Refusal(unit, picked["refused"])
        self._say_month(picked["week"][:7], picked["stage"])
        try:
            stored = picked["stage"] != "file"
            value = payload(self._connection, capture_id, picked) if stored else folder.payload(capture_id, picked)
        except GoneError as error:
            return Refusal(unit, f"{unit.key_range}: what it was to read is gone: {error}")
        except ValueError as error:
            return Refusal(unit, f"{unit.key_range}: {error}")
        return sized(unit, Unit(_headers(capture_id, columns, unit), *_keys(picked, unit.lane, value)))

    def _say_month(self, month: str, stage: str) -> None:
        if self._month != f"{month} {stage}":
            self._month = f"{month} {stage}"
            log.info("%s: %s", month, stage.replace("_", " "))

    def more(self, connection: Connection, capture: Capture) -> Iterator[Sequence[PlannedUnit]]:
        """Tier splits, rolling figures and snapshots that the applied units have made due."""
        yield from follow_ups_of_run(connection, capture.capture_id, Wanted.of(self._request(connection, capture)))

    def _request(self, connection: Connection, capture: Capture) -> dict[str, Any]:
        """What the capture's run was asked for, as `Request.describe` says it."""
        (found,) = connection.execute(
            "SELECT request FROM rederive.captures WHERE capture_id = %s", [capture.capture_id]
        )
        return dict(found[0])


class FinraFiles(FinraStored):
    """Weekly files of a folder; of those that are stored already, what is due of them."""

    name = "files"

    def pages(self, request: Request) -> Iterator[Page]:
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
        minter = Minter(self._connection, datetime.now(UTC))
        history = History.load(self._connection, weeks[0], weeks[-1])
        raws = _newest(self._connection, RAW.name, weeks, TIERS)
        volumes = _newest(self._connection, VENUE_VOLUME.name, weeks, TIERS)
        latest = {partition: history.sha256(raw) for partition, raw in raws.items()}
        new, same = (files, []) if wanted.force else folder.fresh(files, latest)
        units = [folder.refused(*one) for one in found.refused]
        units += [folder.planned_file(one, minter, wanted) for one in new]
        due = FromStored(self._connection, wanted, minter, history)
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

    def planned_again(self, connection: Connection, capture: Capture) -> Iterator[PlannedUnit]:
        """Dead files as they are now, each under a new capture of the partition that it says now.

        One that still can't be used is refused with the reason of now; so is one of a partition that another file of
        the run has: which of them is the week, only the user knows.
        """
        asked = self._request(connection, capture)
        first, last = _days(*(datetime.fromisoformat(asked[end]) if asked[end] else None for end in ("start", "end")))
        file_date = date.fromisoformat(asked["file_date"]) if asked.get("file_date") else None
        minter = Minter(connection, datetime.now(UTC))
        rows = connection.execute(
            """SELECT unit, key_range, state, picked FROM rederive.units
               WHERE capture_id = %s AND picked ->> 'stage' = 'file' AND state <> 'removed' ORDER BY unit""",
            [capture.capture_id],
        ).fetchall()
        taken = {
            (date.fromisoformat(picked["week"]), picked["tier"]): Path(picked["path"]).name
            for _, _, state, picked in rows
            if state != "dead"
        }
        for number, before, state, picked in rows:
            if state != "dead" or "path" not in picked:
                continue
            path = Path(picked["path"])
            try:
                alone = path.name == Path(asked["source"]).name
                checked = folder.look_again(path, asked["keys"], file_date, first, last, alone=alone)
                if other := taken.get(checked.partition):
                    raise ValueError(f"the run has {other} of its week and tier already; take it in a run of its own")
            except ValueError as error:
                unit = folder.refused(path, str(error))
            else:
                taken[checked.partition] = path.name
                unit = folder.planned_file(checked, minter, Wanted.of(asked))
                log.info("unit %d (%s) is planned again as %s", number, before, unit.key_range)
            yield unit.model_copy(update={"unit": number})


def days(request: Request) -> tuple[date | None, date | None]:
    """The first and the last day of a request."""
    return _days(request.start, request.end)


def _days(start: datetime | None, end: datetime | None) -> tuple[date | None, date | None]:
    return start.date() if start else None, (end - timedelta(microseconds=1)).date() if end else None


def months(units: Iterable[PlannedUnit]) -> Iterator[Page]:
    """The units, numbered, a page a calendar month; what has no week stands first."""
    number = 0

    def month_of(unit: PlannedUnit) -> str:
        return str(unit.picked.get("week", ""))[:7]

    for _, month in groupby(sorted(units, key=month_of), key=month_of):
        page = numbered(number, month)
        number += len(page)
        yield Page(page, {})


def sized(planned_unit: PlannedUnit, unit: Unit) -> Unit | Refusal:
    """The unit, or its refusal when it is too large for a record."""
    size = len(unit.value) + len(unit.key or b"")
    if size + ENVELOPE_BYTES > MAX_RECORD_BYTES:
        limit = MAX_RECORD_BYTES - ENVELOPE_BYTES
        return Refusal(
            planned_unit,
            f"{planned_unit.key_range}: its {size:,} bytes are over the limit of {limit:,} bytes a record",
        )
    return unit


def _headers(capture_id: str, columns: tuple[str, ...], unit: PlannedUnit) -> UnitHeaders:
    return UnitHeaders(
        kind=f"{FINRA.name}.{unit.picked['stage']}",
        capture=capture_id,
        unit=unit.unit,
        columns=columns,
        key_range=unit.key_range,
        observed=unit.picked["captured_at"],
    )


def _keys(picked: dict[str, Any], lane: LaneName, value: bytes) -> tuple[bytes, bytes, int | None]:
    """Key, value and Kafka partition: on the log all files of a week and tier share one, so that they keep order."""
    tier = picked.get("tier", "all")
    key = f"{picked['week']}/{tier}".encode()
    if lane is LaneName.REPLAY:
        return key, value, None
    return key, value, date.fromisoformat(picked["week"]).toordinal() // 7 * len(TIERS) + TIERS.index(tier)


def _coming(units: Iterable[PlannedUnit]) -> set[Partition]:
    """The partitions that get new summaries from these units."""
    return {
        (date.fromisoformat(unit.picked["week"]), unit.picked["tier"])
        for unit in units
        if SUMMARY_CALC in unit.picked.get("work", ())
    }


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
