"""What FINRA's runs plan: what is wanted, units of stages, and the captures that they write."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Self

from psycopg import Connection
from pydantic import TypeAdapter

from producers.finra.locators import FileWork, FinraLocator, LoggedFile, StageWork
from schemas.finra.partition import capture_id
from schemas.finra.tables import FINRA
from schemas.finra.units import FileUnit
from schemas.finra.versions import CALCS, TIER_SPLIT, Stage, version_to_write, work_of
from schemas.lane import LaneName
from schemas.plan import PlannedUnit
from store import lineage, units

SUMMARY_CALC, ROLLING_CALC = "symbol_summary", "rolling_6w"

EVERYTHING = FileUnit.CAN | {TIER_SPLIT, ROLLING_CALC, Stage.SNAPSHOT}
"""The work of a run that names none."""

_MICROSECOND = timedelta(microseconds=1)

Partition = tuple[date, str]
"""A week and a tier."""


@dataclass(frozen=True, slots=True)
class Captured:
    """A capture of a partition."""

    capture_id: str
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run computes: calculations and the stages that prepare rows, and the version of each calculation.

    With `force` also what has been computed of the same input before.
    """

    work: frozenset[str] = EVERYTHING
    versions: Mapping[str, str] = field(default_factory=dict)
    reject_zero_volume: bool = True
    force: bool = False

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Self:
        """As a request says it (`Request.describe`); ValueError or KeyError for names and versions that don't exist."""
        named = tuple(request.get("kinds") or ())
        work = work_of(named) if named else EVERYTHING
        version = request.get("calc_version")
        return cls(
            work=work,
            versions={calc: version_to_write(calc, version) for calc in sorted(work & CALCS.keys())},
            reject_zero_volume=request.get("reject_zero_volume", True),
            force=request.get("force", False),
        )


def planned(
    stage: str,
    week: date,
    tiers: Sequence[str],
    captures: Sequence[Captured],
    *,
    wanted: Wanted,
    work: Iterable[str],
    inputs: Iterable[str] = (),
    name: str = "",
    lane: LaneName = LaneName.REPLAY,
    locator: type[StageWork] = StageWork,
    **more: object,
) -> PlannedUnit[FinraLocator]:
    """A unit of a stage; its number is given when it is added to a plan."""
    asked = tuple(sorted(map(str, work)))
    place = f"{week}/{tiers[0] if stage != 'tier_split' else 'all'}/{stage}"
    said = {
        "week": week,
        "tiers": tuple(tiers),
        "minted": tuple(one.captured_at for one in captures),
        "work": asked,
        "versions": {calc: wanted.versions[calc] for calc in asked if calc in wanted.versions},
        "reject_zero_volume": wanted.reject_zero_volume,
        **more,
    }
    return PlannedUnit(
        unit=0,
        key_range=f"{place}/{name}" if name else place,
        locator=locator.model_validate(said),
        lane=lane,
        stage=stage,
        reads=tuple(inputs),
        writes=tuple(one.capture_id for one in captures),
    )


def numbered(first: int, units: Iterable[PlannedUnit[FinraLocator]]) -> list[PlannedUnit[FinraLocator]]:
    """The units with numbers from `first`."""
    return [unit.model_copy(update={"unit": number}) for number, unit in enumerate(units, start=first)]


@dataclass(frozen=True, slots=True)
class StageUnit:
    """A unit of a stage as it stands: what it was planned to do, its state, and the rows it has read."""

    stage: str
    week: date
    tiers: tuple[str, ...]
    captures: tuple[Captured, ...]
    inputs: tuple[str, ...]
    work: frozenset[str]
    versions: Mapping[str, str]
    reject_zero_volume: bool
    sha256: str | None
    state: str
    rows: int

    @classmethod
    def of(cls, unit: units.Known) -> Self | None:
        """From a stored unit; None for one of which nothing can be made."""
        work = _LOCATORS.validate_python(unit.locator)
        if not isinstance(work, StageWork):
            return None
        return cls(
            stage=unit.stage,
            week=work.week,
            tiers=work.tiers,
            captures=tuple(map(Captured, unit.writes, work.minted)),
            inputs=tuple(sorted(unit.reads)),
            work=frozenset(work.work),
            versions=work.versions,
            reject_zero_volume=work.reject_zero_volume,
            sha256=work.sha256 if isinstance(work, FileWork | LoggedFile) else None,
            state=unit.state,
            rows=unit.rows,
        )

    @property
    def written(self) -> dict[Partition, Captured]:
        """The capture that is written, by partition."""
        return {(self.week, tier): capture for tier, capture in zip(self.tiers, self.captures, strict=True)}


_LOCATORS: TypeAdapter[FinraLocator] = TypeAdapter(FinraLocator)


def stage_units(found: Iterable[units.Known]) -> list[StageUnit]:
    """Stored units as units of stages, those of which nothing can be made left out."""
    return [unit for one in found if (unit := StageUnit.of(one)) is not None]


def of_weeks(connection: Connection, first: date, last: date) -> list[StageUnit]:
    """The units of all runs whose rows of these weeks are stored."""
    return stage_units(units.applied_between(connection, FINRA.name, "week", first.isoformat(), last.isoformat()))


class Minter:
    """Gives a run's captures of partitions: one each, made when it is first asked for, `planned_at`.

    `known` are those that the run has already. An id that exists is drawn again a microsecond later.
    """

    def __init__(
        self, connection: Connection, planned_at: datetime, known: Mapping[Partition, Captured] | None = None
    ) -> None:
        self.planned_at = planned_at
        self._connection = connection
        self._minted = dict(known or {})

    def capture(self, partition: Partition) -> Captured:
        """The run's capture of a partition."""
        return self._minted.get(partition) or self.another(partition)

    def another(self, partition: Partition) -> Captured:
        """A capture of its own, later than those before: for the second file of a partition."""
        week, tier = partition
        before = self._minted.get(partition)
        at = before.captured_at + _MICROSECOND if before else self.planned_at
        while self._exists(drawn := capture_id(tier, week, at)):
            at += _MICROSECOND
        self._minted[partition] = Captured(drawn, at)
        return self._minted[partition]

    def _exists(self, drawn: str) -> bool:
        return lineage.is_known(self._connection, [drawn])
