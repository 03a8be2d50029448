"""Where readings are read from: a table, and a folder of JSON Lines files, one a day."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import orjson
from meters import TOTALS
from psycopg import Connection

from rederive import (
    Capture,
    Failed,
    LaneName,
    Locator,
    Page,
    Plan,
    PlannedUnit,
    Refusal,
    Request,
    Source,
    Unit,
    units_of,
)  # fmt: skip

UNIT_ROWS = 100


class Readings(Locator):
    """Readings of the table, by id."""

    ids: tuple[int, ...]


class ReadingTable(Source[Readings]):
    """`meter_readings` (reading_id, at, payload, stored_at), oldest first."""

    locator = Readings

    def pages(self, request: Request) -> Iterator[Page[Readings]]:
        rows = self.connection.execute(
            """SELECT reading_id FROM meter_readings WHERE at >= coalesce(%s, '-infinity'::timestamptz)
               AND at < coalesce(%s, 'infinity'::timestamptz) ORDER BY at, reading_id LIMIT %s""",
            [request.start, request.end, request.limit],
        )
        ids = tuple(key for (key,) in rows)
        parts = [ids[at : at + UNIT_ROWS] for at in range(0, len(ids), UNIT_ROWS)]
        for number, part in enumerate(parts):
            named = f"{part[0]}..{part[-1]}"
            unit = PlannedUnit(unit=number, key_range=named, locator=Readings(ids=part), rows=len(part))
            yield Page([unit])

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[Readings]) -> Unit | Refusal:
        rows = self.connection.execute(
            "SELECT payload::text, stored_at FROM meter_readings WHERE reading_id = ANY(%s) ORDER BY at, reading_id",
            [list(unit.locator.ids)],
        ).fetchall()
        observed = max(stored for _, stored in rows).isoformat() if rows else ""
        head = orjson.dumps({"kind": "table", "observed": observed})
        value = b"\n".join([head, *(payload.encode() for payload, _ in rows)])
        return self.record(capture_id, columns, unit, value, observed=observed)


class DayFile(Locator):
    """A file as it was when it was planned."""

    path: str
    sha256: str
    observed: datetime


class Month(Locator):
    """The totals of days that a month is added up from: the unit reads their captures."""

    observed: datetime


class ReadingFiles(Source[DayFile | Month]):
    """The `*.jsonl` of `--option folder=FOLDER`, one a day, by name; then the months that they belong to."""

    locator: ClassVar[Any] = DayFile | Month

    def pages(self, request: Request) -> Iterator[Page[DayFile | Month]]:
        folder = Path(str(request.options.get("folder", ".")))
        if not folder.is_dir():
            raise Failed(f"there is no folder {folder}", mend="say --option folder=FOLDER")
        observed = datetime.now(UTC)
        for number, path in enumerate(sorted(folder.glob("*.jsonl"))):
            locator = DayFile(path=str(path.absolute()), sha256=_sha256(path), observed=observed)
            yield Page(
                [
                    PlannedUnit(
                        unit=number,
                        key_range=path.name,
                        locator=locator,
                        lane=LaneName.LOG,
                        stage="file",
                        writes=(f"meters:{path.stem}:{locator.sha256[:8]}:{observed:%Y%m%d%H%M%S%f}",),
                    )
                ]
            )

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[DayFile | Month]) -> Unit | Refusal:
        said = {"kind": unit.stage, "capture": unit.writes[0], "observed": unit.locator.observed}
        if isinstance(unit.locator, DayFile):
            path = Path(unit.locator.path)
            if not path.exists() or _sha256(path) != unit.locator.sha256:
                return Refusal(unit, f"{path}: it is gone or has changed since it was planned")
            lines = [path.read_bytes()]
        else:
            rows = self.connection.execute(
                f"SELECT start, meter, kwh FROM {TOTALS.everywhere} t WHERE capture_id = ANY(%s) ORDER BY start, meter",
                [list(unit.reads)],
            )
            lines = [orjson.dumps(row) for row in rows]
        return self.record(capture_id, columns, unit, b"\n".join([orjson.dumps(said), *lines]))

    def more(self, connection: Connection, capture: Capture) -> Iterator[Sequence[PlannedUnit[DayFile | Month]]]:
        planned = units_of(connection, capture.capture_id)
        known = {unit.reads for unit in planned if unit.stage == "month"}
        days = {unit.key_range[:7] for unit in planned if unit.stage == "file" and unit.state == "applied"}
        own = [capture for unit in planned for capture in unit.writes]
        observed = datetime.now(UTC)
        due: list[PlannedUnit[DayFile | Month]] = []
        for month in sorted(days):
            newest = connection.execute(
                f"""SELECT DISTINCT ON (start) start, capture_id FROM {TOTALS.everywhere} t
                    WHERE span = 'day' AND to_char(start, 'YYYY-MM') = %s
                      AND (capture_id = ANY(%s) OR capture_id IN (SELECT capture_id FROM meter_totals_latest))
                    ORDER BY start, captured_at DESC""",
                [month, own],
            )
            reads = tuple(capture for _, capture in newest)
            if reads and reads not in known:
                writes = (f"meters:{month}:{observed:%Y%m%d%H%M%S%f}",)
                locator = Month(observed=observed)
                due.append(
                    PlannedUnit(unit=0, key_range=month, locator=locator, stage="month", reads=reads, writes=writes)
                )
        if due:
            yield due

    def stale(self, plan: Plan[DayFile | Month]) -> str | None:
        files = [Path(unit.locator.path) for unit in plan.units if isinstance(unit.locator, DayFile)]
        gone = [path.name for path in files if not path.exists()]
        return f"{', '.join(gone)} is gone" if gone else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
