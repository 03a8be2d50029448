"""FINRA's log as a source: files that arrived are derived again, each under a capture of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from psycopg import Connection

from producers import finra_notes as told
from producers.finra import FinraStored, sized
from producers.finra_folder import file_unit
from producers.finra_picks import Captured, Minter, Wanted, planned, within_calendar
from producers.log import LogSource
from producers.source import Page, Refusal, Request
from schemas.capture import Capture
from schemas.finra import FINRA
from schemas.finra_file import content_hash, first_update, read_header
from schemas.finra_units import Batch, FileUnit, decode
from schemas.lane import LaneName
from schemas.plan import Plan, PlannedUnit
from schemas.unit import Unit


@dataclass(frozen=True, slots=True)
class _Kept:
    """A record of the log: when it was sent, and the file it holds, or why it holds none."""

    unit: PlannedUnit
    sent: tuple[int, int, int]
    batch: Batch | None
    sha256: str = ""
    rows: int = 0
    reject_zero_volume: bool = True
    problem: str = ""


class FinraLog(LogSource):
    """The log by send time. Files of one partition get one capture each, in the order in which they were sent."""

    def __init__(self, connection: Connection, prefix: str, kafka: Mapping[str, str]) -> None:
        super().__init__(FINRA, prefix, kafka)
        self._connection = connection
        self._stored = FinraStored(connection)

    def pages(self, request: Request) -> Iterator[Page]:
        """A unit per record sent in [start, end), in the log's order."""
        wanted = Wanted.of(request.describe())
        minter = Minter(self._connection, datetime.now(UTC))
        pages = [[kept for unit in page.units if (kept := self._look(unit))] for page in super().pages(request)]
        captures: dict[int, Captured] = {}
        for kept in sorted((one for page in pages for one in page), key=lambda one: one.sent):
            if kept.batch is not None:
                captures[kept.unit.unit] = minter.another((kept.batch.week_ending, kept.batch.tier))
        for page in pages:
            yield Page([_planned(kept, captures.get(kept.unit.unit), wanted) for kept in page], {})

    def _look(self, unit: PlannedUnit) -> _Kept | None:
        """What stands at a place of the log; None for nothing."""
        partition, offset = unit.picked["partition"], unit.picked["offset"]
        message = self._logs[LaneName.LOG].at(partition, offset)
        if message is None:
            return None
        _, sent = message.timestamp()
        order = (sent, partition, offset)
        try:
            file = _file(message.value() or b"")
            batch = file.batch(lambda: first_update(file.content))
            within_calendar(batch.week_ending)
        except ValueError as error:
            return _Kept(unit, order, None, problem=str(error))
        return _Kept(unit, order, batch, content_hash(file.content), _rows(file.content), file.reject_zero_volume)

    def stale(self, plan: Plan) -> str | None:
        """Planned records that retention has dropped, or what has happened to the partitions since."""
        return super().stale(plan) or told.stale(self._connection, plan)

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit) -> Unit | Refusal:
        """The record with its first line under the planned capture; the stages that follow read what is stored."""
        if "refused" in unit.picked or "offset" not in unit.picked:
            return self._stored.read(capture_id, columns, unit)
        read = super().read(capture_id, columns, unit)
        if isinstance(read, Refusal):
            return read
        try:
            value = file_unit(capture_id, unit.picked, _file(read.value)).encode()
        except ValueError as error:
            return Refusal(unit, f"{unit.key_range}: {error}")
        return sized(unit, replace(read, value=value))

    def more(self, connection: Connection, capture: Capture) -> Iterator[Sequence[PlannedUnit]]:
        """Tier splits, rolling figures and snapshots that the applied units have made due."""
        yield from self._stored.more(connection, capture)


def _file(value: bytes) -> FileUnit:
    unit, _ = decode(value)
    if not isinstance(unit, FileUnit):
        raise ValueError(f"it holds stored rows of kind {unit.kind}, no file")
    return unit


def _rows(content: str) -> int:
    """Rows of a file for a plan's estimate, 0 when its header can't be read: deriving it says so."""
    try:
        return content.rstrip().count("\n") + 1 - read_header(content).line_number
    except ValueError:
        return 0


def _planned(kept: _Kept, capture: Captured | None, wanted: Wanted) -> PlannedUnit:
    """The unit with what FINRA's picks say of a file."""
    place: dict[str, Any] = kept.unit.picked
    if kept.batch is None or capture is None:
        reason = f"{kept.unit.key_range}: {kept.problem}"
        return kept.unit.model_copy(
            update={"picked": {**place, "stage": "file", "refused": reason, "captures": [], "inputs": []}}
        )
    own = replace(wanted, reject_zero_volume=kept.reject_zero_volume)
    week: date = kept.batch.week_ending
    unit = planned("file", week, [kept.batch.tier], [capture], wanted=own, work=FileUnit.CAN, sha256=kept.sha256,
                   found=kept.rows)  # fmt: skip
    return unit.model_copy(
        update={
            "unit": kept.unit.unit,
            "key_range": f"{unit.key_range}/{kept.unit.key_range}",
            "picked": {**unit.picked, **place},
        }
    )
