"""Which of FINRA's stages are due: those whose input is there and whose output of it isn't (finra spec, section 5)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

from psycopg import Connection

from producers.finra.history import History
from producers.finra.locators import FinraLocator
from producers.finra.picks import (
    ROLLING_CALC,
    SUMMARY_CALC,
    Captured,
    Minter,
    Partition,
    StageUnit,
    Wanted,
    planned,
    stage_units,
)
from producers.finra.stored import captures_of, symbols
from schemas.capture import UnitState
from schemas.finra.partition import TIERS, WINDOW_WEEKS, window
from schemas.finra.tables import ROLLING, SYMBOL_SUMMARY
from schemas.finra.units import RawUnit, VolumeUnit
from schemas.finra.versions import TIER_SPLIT, Stage
from schemas.plan import PlannedUnit
from store import units


@dataclass(frozen=True, slots=True)
class Due:
    """A stage of a week, of one tier or all, and the captures that it reads."""

    stage: str
    week: date
    tiers: tuple[str, ...]
    inputs: tuple[str, ...]
    work: str


class FollowUps:
    """What is to be computed of the summaries that are stored, by what a run wants; what it has in shadow, too."""

    def __init__(self, connection: Connection, wanted: Wanted, as_of: datetime, run: str | None = None) -> None:
        self._connection, self._wanted, self._as_of, self._run = connection, wanted, as_of, run

    def first(self, weeks: Iterable[date], partitions: Iterable[Partition]) -> list[Due]:
        """Tier splits of weeks, then rolling figures of partitions, each in week order."""
        due: list[Due] = []
        if TIER_SPLIT in self._wanted.work:
            due += self._splits(sorted(set(weeks)))
        if ROLLING_CALC in self._wanted.work:
            due += self._rollings(sorted(set(partitions)))
        return due

    def _splits(self, weeks: Sequence[date]) -> Iterator[Due]:
        found = captures_of(self._connection, SYMBOL_SUMMARY, weeks, as_of=self._as_of, run=self._run)
        for week in weeks:
            newest = {tier: found[week, tier][0] for tier in sorted(TIERS) if (week, tier) in found}
            if newest:
                inputs = tuple(one.capture_id for one in newest.values())
                yield Due("tier_split", week, tuple(newest), inputs, TIER_SPLIT)

    def _rollings(self, partitions: Sequence[Partition]) -> Iterator[Due]:
        weeks = {each for week, _ in partitions for each in window(week)}
        tiers = {tier for _, tier in partitions}
        found = captures_of(self._connection, SYMBOL_SUMMARY, sorted(weeks), sorted(tiers), self._as_of, self._run)
        for week, tier in partitions:
            if (week, tier) in found:
                inputs = [found[each, tier][0].capture_id for each in window(week) if (each, tier) in found]
                yield Due("rolling", week, (tier,), tuple(inputs), ROLLING_CALC)

    def snapshots(self, partitions: Iterable[Partition]) -> list[Due]:
        """Snapshots of partitions, in week order."""
        wanted = sorted(set(partitions)) if Stage.SNAPSHOT in self._wanted.work else []
        weeks, tiers = sorted({week for week, _ in wanted}), sorted({tier for _, tier in wanted})
        summaries = captures_of(self._connection, SYMBOL_SUMMARY, weeks, tiers, self._as_of, self._run)
        rolled = captures_of(self._connection, ROLLING, weeks, tiers, self._as_of, self._run)
        due = []
        for partition in wanted:
            if partition in summaries:
                newest = [
                    captures[partition][0].capture_id for captures in (summaries, rolled) if partition in captures
                ]
                # The summaries' capture stands first, it may be the rolling rows' one, too.
                inputs = tuple(newest)
                due.append(Due("snapshot", partition[0], (partition[1],), inputs, Stage.SNAPSHOT))
        return due


def renewed(partitions: Iterable[Partition]) -> set[Partition]:
    """The partitions whose windows hold one of these."""
    return {(week + timedelta(weeks=ahead), tier) for week, tier in partitions for ahead in range(WINDOW_WEEKS)}


def follow_up(
    due: Due, wanted: Wanted, captures: Sequence[Captured], as_of: datetime, found: int = 0
) -> PlannedUnit[FinraLocator]:
    """A due stage as a unit that writes these captures, one per tier; it reads about `found` symbols."""
    return planned(
        due.stage,
        due.week,
        due.tiers,
        captures,
        wanted=wanted,
        work=[due.work],
        inputs=due.inputs,
        as_of=as_of,
        found=found,
    )


class FromStored:
    """A plan of what is due of partitions that are stored.

    `passed` are stages that are there already, `lacking` are partitions without the normalised rows to be read.
    """

    def __init__(self, connection: Connection, wanted: Wanted, minter: Minter, history: History) -> None:
        self._connection, self._wanted, self._minter, self._history = connection, wanted, minter, history
        self.passed: list[tuple[Partition, str]] = []
        self.lacking: list[Partition] = []
        self._symbols: dict[Partition, int] | None = None

    def rows_of(
        self, raws: Mapping[Partition, str], volumes: Mapping[Partition, str], partitions: Iterable[Partition]
    ) -> list[PlannedUnit[FinraLocator]]:
        """Units of stages 2 to 4, in the order of the partitions; `raws` and `volumes` are the captures to read."""
        units = []
        work = self._wanted.work & RawUnit.CAN
        for partition in partitions:
            raw, volume = raws.get(partition), volumes.get(partition)
            if raw and Stage.NORMALIZE in work and not self._is_normalized(raw):
                units.append(self._unit("raw", partition, raw, work))
            elif volume and (missing := self._not_calculated(volume)):
                units.append(self._unit("venue_volume", partition, volume, missing))
            elif raw and not volume and work - {Stage.NORMALIZE}:
                self.lacking.append(partition)
            elif work:
                self.passed.append((partition, "rows"))
        return units

    def _is_normalized(self, raw: str) -> bool:
        return not self._wanted.force and self._history.normalized(raw, self._wanted)

    def _not_calculated(self, volumes: str) -> frozenset[str]:
        versions = self._wanted.versions
        return frozenset(
            calc
            for calc in self._wanted.work & VolumeUnit.CAN
            if self._wanted.force or not self._history.calculated(volumes, calc, versions[calc])
        )

    def _unit(self, stage: str, partition: Partition, read: str, work: frozenset[str]) -> PlannedUnit[FinraLocator]:
        week, tier = partition
        captures = [self._minter.capture(partition)]
        found = self._history.rows(read)
        return planned(stage, week, [tier], captures, wanted=self._wanted, work=work, inputs=[read], found=found)

    def follow_ups(
        self, partitions: Sequence[Partition], coming: Iterable[Partition]
    ) -> list[PlannedUnit[FinraLocator]]:
        """Units of the stages behind them that can't change any more: none of theirs is among the `coming` ones."""
        coming = set(coming)
        later = renewed(coming) if ROLLING_CALC in self._wanted.work else coming
        weeks = {week for week, _ in partitions} - {week for week, _ in coming}
        stages = FollowUps(self._connection, self._wanted, self._minter.planned_at)
        first = self._missing(stages.first(weeks, set(partitions) - renewed(coming)))
        rolled = {(one.week, one.tiers[0]) for one in first if one.stage == "rolling"}
        last = self._missing(stages.snapshots(set(partitions) - later - rolled))
        return [self._follow_up(one) for one in (*first, *last)]

    def _missing(self, due: Iterable[Due]) -> list[Due]:
        missing = []
        for one in due:
            versions = {one.work: self._wanted.versions[one.work]} if one.work in self._wanted.versions else {}
            if self._wanted.force or not self._history.made(one.stage, one.week, one.inputs, versions):
                missing.append(one)
            else:
                self.passed.append(((one.week, one.tiers[0]), one.stage))
        return missing

    def _follow_up(self, due: Due) -> PlannedUnit[FinraLocator]:
        captures = [self._minter.capture((due.week, tier)) for tier in due.tiers]
        if self._symbols is None:
            self._symbols = symbols(self._connection)
        found = sum(self._symbols.get((due.week, tier), 0) for tier in due.tiers)
        return follow_up(due, self._wanted, captures, self._minter.planned_at, found=found)


def follow_ups_of_run(connection: Connection, run: str, wanted: Wanted) -> Iterator[list[PlannedUnit[FinraLocator]]]:
    """What a run's applied units have made due and it has no unit for, by stage, a month at a time.

    First tier splits and rolling figures, in week order; once none of these is due, snapshots.
    """
    found = [unit for unit in _units(connection, run) if unit.captures]
    if not found:
        return
    applied = [unit for unit in found if unit.state == "applied"]
    as_of = max(capture.captured_at for unit in found for capture in unit.captures)
    fresh = _with_rows(connection, run, [unit for unit in applied if SUMMARY_CALC in unit.work])
    stages = FollowUps(connection, wanted, as_of, run)
    due = _unplanned(stages.first({week for week, _ in fresh}, renewed(fresh)), found)
    if not due:
        rolled = {partition for unit in applied if unit.stage == "rolling" for partition in unit.written}
        due = _unplanned(stages.snapshots(fresh | rolled), found)
    captures = _Captures(connection, found)
    for _, month in groupby(due, key=lambda one: (one.week.year, one.week.month)):
        yield [follow_up(one, wanted, captures.of(one), as_of) for one in month]


def _units(connection: Connection, run: str) -> list[StageUnit]:
    return [unit for unit in stage_units(units.of_capture(connection, run)) if unit.state != UnitState.REMOVED]


def _with_rows(connection: Connection, run: str, units: Sequence[StageUnit]) -> set[Partition]:
    """The partitions of which the units have written summaries."""
    written = {one.capture_id for unit in units for one in unit.captures}
    weeks = sorted({unit.week for unit in units})
    found = captures_of(connection, SYMBOL_SUMMARY, weeks, run=run)
    return {partition for partition, captures in found.items() if any(one.capture_id in written for one in captures)}


def _unplanned(due: Iterable[Due], units: Iterable[StageUnit]) -> list[Due]:
    known = {(unit.stage, unit.week, unit.inputs) for unit in units}
    return [one for one in due if (one.stage, one.week, tuple(sorted(one.inputs))) not in known]


class _Captures:
    """A run's captures for follow-ups: one per partition, and another where the stage has written that one before."""

    def __init__(self, connection: Connection, units: Sequence[StageUnit]) -> None:
        known: dict[Partition, Captured] = {}
        self._used: set[tuple[str, str]] = set()
        for unit in units:
            for partition, capture in unit.written.items():
                if partition not in known or known[partition].captured_at < capture.captured_at:
                    known[partition] = capture
                self._used.add((unit.stage, capture.capture_id))
        planned_at = min(capture.captured_at for unit in units for capture in unit.captures)
        self._minter = Minter(connection, planned_at, known)

    def of(self, due: Due) -> list[Captured]:
        """The captures that a due stage writes, one per tier."""
        captures = []
        for tier in due.tiers:
            capture = self._minter.capture((due.week, tier))
            if (due.stage, capture.capture_id) in self._used:
                capture = self._minter.another((due.week, tier))
            self._used.add((due.stage, capture.capture_id))
            captures.append(capture)
        return captures
