"""What FINRA's units have computed of which input: the ground of the skip rule (finra spec, section 5)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime

from psycopg import Connection

from producers.finra.picks import Partition, StageUnit, Wanted, of_weeks
from schemas.finra.versions import Stage


class History:
    """Applied units of weeks, as they count: not those of dry runs, not those that were rolled back."""

    def __init__(self, units: Iterable[StageUnit]) -> None:
        self._wrote: dict[str, list[StageUnit]] = defaultdict(list)
        self._read: dict[str, list[StageUnit]] = defaultdict(list)
        self._made: set[tuple[object, ...]] = set()
        self._units = list(units)
        for unit in self._units:
            for capture in unit.captures:
                self._wrote[capture.capture_id].append(unit)
            for capture_id in set(unit.inputs):
                self._read[capture_id].append(unit)
            self._made.add(_made(unit.stage, unit.week, unit.inputs, unit.versions))

    @classmethod
    def load(cls, connection: Connection, first: date, last: date) -> "History":
        """That of the weeks from `first` to `last`."""
        return cls(of_weeks(connection, first, last))

    def since(self, moment: datetime) -> set[Partition]:
        """The partitions that have captures later than a moment."""
        return {
            partition for unit in self._units for partition, one in unit.written.items() if one.captured_at > moment
        }

    def sha256(self, raw: str) -> str | None:
        """The content hash of the file that a capture's raw rows are of."""
        return next((unit.sha256 for unit in self._wrote[raw] if unit.sha256 and Stage.INGEST in unit.work), None)

    def rows(self, capture_id: str) -> int:
        """How many rows the unit has read that wrote a capture's raw or normalised rows."""
        return max((unit.rows for unit in self._wrote[capture_id] if unit.stage in ("file", "raw")), default=0)

    def normalized(self, raw: str, wanted: Wanted) -> bool:
        """Whether a capture's raw rows have been normalised in the way that is wanted."""
        units = [unit for unit in self._wrote[raw] if unit.stage == "file"]
        units += [unit for unit in self._read[raw] if unit.stage == "raw"]
        return any(
            Stage.NORMALIZE in unit.work and unit.reject_zero_volume == wanted.reject_zero_volume for unit in units
        )

    def calculated(self, volumes: str, calc: str, version: str) -> bool:
        """Whether a calculation's version has been computed of a capture's normalised rows."""
        units = [unit for unit in self._wrote[volumes] if unit.stage in ("file", "raw")]
        units += [unit for unit in self._read[volumes] if unit.stage == "venue_volume"]
        return any(unit.versions.get(calc) == version for unit in units)

    def made(self, stage: str, week: date, inputs: Iterable[str], versions: Mapping[str, str]) -> bool:
        """Whether a stage that reads several captures has read just these."""
        return _made(stage, week, tuple(sorted(inputs)), versions) in self._made


def _made(stage: str, week: date, inputs: tuple[str, ...], versions: Mapping[str, str]) -> tuple[object, ...]:
    return stage, week, inputs, tuple(sorted(versions.items()))
