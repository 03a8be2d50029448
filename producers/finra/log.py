"""FINRA's log as a source: files that arrived are derived again, each under a capture of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from psycopg import Connection

from producers.finra import notes as told
from producers.finra.folder import file_unit
from producers.finra.locators import LoggedFile, StageWork, Unusable
from producers.finra.picks import Captured, Minter, Wanted, numbered, planned
from producers.finra.sources import FinraStored
from producers.log import LogSource
from producers.places import Place
from producers.source import Page, Refusal, Request, Services, Split, start_of
from schemas.capture import Capture
from schemas.domain import Domain
from schemas.finra.file import content_hash, first_update, read_header
from schemas.finra.units import Batch, FileUnit, decode
from schemas.lane import LaneName
from schemas.plan import Plan, PlannedUnit
from schemas.unit import Unit
from schemas.wire import oversize
from schemas.words import counted, verb


@dataclass(frozen=True, slots=True)
class _Kept:
    """A record of the log: when it was sent, and the file it holds, or why it holds none."""

    unit: PlannedUnit[Place]
    sent: tuple[int, int, int]
    batch: Batch | None
    sha256: str = ""
    rows: int = 0
    reject_zero_volume: bool = True
    problem: str = ""
    is_stage: bool = False


class FinraLog(LogSource):
    """The log by send time. Files of one partition get one capture each, in the order in which they were sent."""

    locator: ClassVar[Any] = LoggedFile | StageWork | Unusable

    def __init__(self, domain: Domain, services: Services) -> None:
        super().__init__(domain, services)
        self._stored = FinraStored(domain, services)
        self._stages = 0

    def pages(self, request: Request) -> Iterator[Page[Any]]:
        """A unit per record of the ranges, in the log's order; of the queue those that hold a file."""
        wanted = Wanted.of(request.describe())
        minter = Minter(self.connection, datetime.now(UTC))
        pages = [[kept for unit in page.units if (kept := self._look(unit))] for page in super().pages(request)]
        self._stages = sum(kept.is_stage for page in pages for kept in page)
        pages = [[kept for kept in page if not kept.is_stage] for page in pages]
        captures: dict[int, Captured] = {}
        for kept in sorted((one for page in pages for one in page), key=lambda one: one.sent):
            if kept.batch is not None:
                captures[kept.unit.unit] = minter.another((kept.batch.week_ending, kept.batch.tier))
        number = 0
        for page in pages:
            units = [_planned(kept, captures.get(kept.unit.unit), wanted) for kept in page]
            yield Page(numbered(number, units), {})
            number += len(units)

    def notes(self, request: Request, found: int) -> tuple[str, ...]:
        """As of any log; and of the queue, which records hold no file."""
        said = super().notes(request, found)
        if not self._stages:
            return said
        of = f"{counted(self._stages, 'record')} {verb(self._stages, 'holds', 'hold')} stored rows"
        return (f"{of}: stages that follow from the files compute them again", *said)

    def source_words(self, request: Request) -> list[str]:  # noqa: ARG002
        """The folder that the files are in."""
        return ["--source", "FOLDER", "--force"]

    def _look(self, unit: PlannedUnit[Place]) -> _Kept | None:
        """What stands at a place of the log; None for nothing."""
        place = unit.locator
        message = self.log(place.log).at(place.partition, place.offset)
        if message is None:
            return None
        _, sent = message.timestamp()
        order = (sent, place.partition, place.offset)
        try:
            file = _file(message.value() or b"")
            batch = file.batch(lambda: first_update(file.content))
        except ValueError as error:
            is_stage = place.log is LaneName.REPLAY and isinstance(error, _NoFileError)
            return _Kept(unit, order, None, problem=str(error), is_stage=is_stage)
        return _Kept(unit, order, batch, content_hash(file.content), _rows(file.content), file.reject_zero_volume)

    def stale(self, plan: Plan[Any]) -> str | None:
        """Planned records that retention has dropped, or what has happened to the partitions since."""
        return super().stale(plan) or told.stale(self.connection, plan)

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[Any]) -> Unit | Refusal | Split:
        """The record with its first line under the planned capture; the stages that follow read what is stored."""
        if not isinstance(unit.locator, LoggedFile):
            return self._stored.read(capture_id, columns, unit)
        read = super().read(capture_id, columns, unit)
        if not isinstance(read, Unit):
            return read
        try:
            value = file_unit(capture_id, unit, _file(read.value)).encode()
        except ValueError as error:
            return Refusal(unit, f"{unit.key_range}: {error}")
        too_large = oversize(value, read.key)
        return Refusal(unit, f"{unit.key_range}: {too_large}") if too_large else replace(read, value=value)

    def more(self, connection: Connection, capture: Capture) -> Iterator[Sequence[PlannedUnit[Any]]]:
        """Tier splits, rolling figures and snapshots that the applied units have made due."""
        yield from self._stored.more(connection, capture)


def within(value: bytes, start: datetime | None, end: datetime | None) -> bytes | None:
    """The file itself where its week ends in [start, end), else None; ValueError for what is no file of a week."""
    file = _file(value)
    ends = start_of(file.batch(lambda: first_update(file.content)).week_ending)
    return value if (start is None or ends >= start) and (end is None or ends < end) else None


class _NoFileError(ValueError):
    """A record of the queue may hold what is stored: stages are computed of it."""


def _file(value: bytes) -> FileUnit:
    unit, _ = decode(value)
    if not isinstance(unit, FileUnit):
        raise _NoFileError(f"it holds stored rows of kind {unit.kind}, no file")
    return unit


def _rows(content: str) -> int:
    """Rows of a file for a plan's estimate, 0 when its header can't be read: deriving it says so."""
    try:
        return content.rstrip().count("\n") + 1 - read_header(content).line_number
    except ValueError:
        return 0


def _planned(kept: _Kept, capture: Captured | None, wanted: Wanted) -> PlannedUnit[Any]:
    """The unit that derives the file again, or says why it can't."""
    if kept.batch is None or capture is None:
        why = Unusable(refused=f"{kept.unit.key_range}: {kept.problem}")
        return PlannedUnit(unit=kept.unit.unit, key_range=kept.unit.key_range, locator=why, stage="file")
    own = replace(wanted, reject_zero_volume=kept.reject_zero_volume)
    place = kept.unit.locator
    unit = planned(
        "file",
        kept.batch.week_ending,
        [kept.batch.tier],
        [capture],
        wanted=own,
        work=FileUnit.CAN,
        locator=LoggedFile,
        sha256=kept.sha256,
        found=kept.rows,
        log=place.log,
        partition=place.partition,
        offset=place.offset,
    )
    return unit.model_copy(update={"unit": kept.unit.unit, "key_range": f"{unit.key_range}/{kept.unit.key_range}"})
