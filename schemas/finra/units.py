"""FINRA's units: what a raw record of each kind holds (finra spec, sections 3, 5 and 6).

A value is JSON Lines. Its first line is an object that says everything but rows; `kind` says which of these it is, and
a line without it is a file. Each line behind it is an array: one stored row, in the order of the kind's `ROWS`.

| kind | from | computes |
|---|---|---|
| file | one file, its text as `content`; an input line of `rederive compute finra` is one | stages 1 to 4 |
| raw | the stored raw rows of a capture | stages 2 to 4 |
| venue_volume | the stored normalised rows of a capture | stages 3 and 4 |
| tier_split | every tier's latest summaries of a week | the tier split of stage 3 |
| rolling | a tier's latest summaries of six weeks, all or a range of symbols, and facts on all of them | stage 5 |
| snapshot | a partition's latest summaries and complete rolling rows | stage 6 |
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from schemas.finra.fields import Day, Moment, Name, Tier, Week
from schemas.finra.partition import capture_id, tier_of_file, week_of_file
from schemas.finra.versions import CALCS, TIER_SPLIT, Stage, version_to_write, work_of
from schemas.payload import read_json, shown, told

StoredRow = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """A partition and its capture: what all rows of a stage's output have in common."""

    week_ending: date
    tier: str
    capture_id: str
    captured_at: datetime
    input_capture_id: str | None = None
    execution_id: str | None = None
    batch_id: str | None = None


class _Unit(BaseModel):
    """What every unit says: when its capture was minted, and of which run and batch it is.

    `versions` are those to write by calculation; the others are written with their current one.
    """

    model_config = ConfigDict(frozen=True)

    ROWS: ClassVar[tuple[str, ...]] = ()

    kind: str
    captured_at: Moment
    execution_id: Name | None = None
    batch_id: Name | None = None
    versions: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _check_versions(self) -> Self:
        for calc, version in self.versions.items():
            try:
                version_to_write(calc, version)
            except KeyError as error:
                raise ValueError(error.args[0]) from None
        return self

    def version(self, calc: str) -> str:
        """The version that the rows of a calculation are written with."""
        return version_to_write(calc, self.versions.get(calc))

    def _batch(
        self,
        week_ending: date,
        tier: str,
        capture: str | None,
        input_capture: str | None = None,
        captured_at: datetime | None = None,
    ) -> Batch:
        minted = captured_at or self.captured_at
        return Batch(
            week_ending=week_ending,
            tier=tier,
            capture_id=capture or capture_id(tier, week_ending, minted),
            captured_at=minted,
            input_capture_id=None if input_capture == capture else input_capture,
            execution_id=self.execution_id,
            batch_id=self.batch_id,
        )

    def encode(self, rows: Iterable[StoredRow] = ()) -> bytes:
        """As the value of a raw record."""
        return self.pack(map(orjson.dumps, rows))

    def pack(self, rows: Iterable[bytes] = ()) -> bytes:
        """As the value of a raw record, of rows that are JSON arrays already."""
        head = self.model_dump(exclude_defaults=True)
        return b"\n".join([orjson.dumps({"kind": self.kind, **head}), *rows])


class _OfPartition(_Unit):
    """A unit of one partition. `capture_id` is the run's, `input_capture_id` the one read when that is another."""

    week_ending: Week
    tier: Tier
    capture_id: Name | None = None
    input_capture_id: Name | None = None

    @property
    def batch(self) -> Batch:
        """The batch that is written."""
        return self._batch(self.week_ending, self.tier, self.capture_id, self.input_capture_id)


class _Working(_Unit):
    """A unit that can compute several things: `calc` names the stages and calculations wanted, none for all."""

    CAN: ClassVar[frozenset[str]]

    calc: tuple[str, ...] = ()

    @property
    def work(self) -> frozenset[str]:
        """What is computed: names of calculations, and the stages that prepare rows.

        Volumes of symbols by venue are the normalised rows themselves, so that these are stored with them.
        """
        if not self.calc:
            return self.CAN
        work = work_of(self.calc)
        return (work | {Stage.NORMALIZE} if _SHOWS_NORMALIZED in work else work) & self.CAN

    @model_validator(mode="after")
    def _check_work(self) -> Self:
        if not self.work:
            raise ValueError(f"a unit of kind {self.kind} computes nothing of {', '.join(self.calc)}")
        return self


_SHOWS_NORMALIZED = "weekly_symbol_venue_volume"
_SHARES = frozenset(calc.name for calc in CALCS.values() if calc.stage in (Stage.AGGREGATE, Stage.VENUE_SHARE))
_OF_VOLUME = _SHARES - {TIER_SPLIT}


class FileUnit(_Working):
    """One weekly file. The week and tier of its batch are those given, else those its name or first row says."""

    CAN = _OF_VOLUME | {Stage.INGEST, Stage.NORMALIZE}

    kind: Literal["file"] = "file"
    file_name: Name
    content: str
    week_ending: Week | None = None
    tier: Tier | None = None
    file_date: Day | None = None
    capture_id: Name | None = None
    reject_zero_volume: bool = True

    def batch(self, first_update: Callable[[], date | None]) -> Batch:
        """The batch that is written; ValueError when nothing says its week or tier.

        `first_update` reads the first row's lastUpdateDate, if it comes to that.
        """
        tier = tier_of_file(self.tier, self.file_name)
        week = week_of_file(self.week_ending, self.file_date, self.file_name, first_update)
        return self._batch(week, tier, self.capture_id)


class RawUnit(_OfPartition, _Working):
    """The raw rows of a capture, which came from one file."""

    CAN = _OF_VOLUME | {Stage.NORMALIZE}
    ROWS = (
        "line_number",
        "symbol",
        "mpid",
        "issue_name",
        "venue_name",
        "tier_description",
        "total_shares",
        "total_trades",
        "source_last_update_date",
        "record_hash",
    )

    kind: Literal["raw"] = "raw"
    source_file: Name
    reject_zero_volume: bool = True


class VolumeUnit(_OfPartition, _Working):
    """The normalised rows of a capture."""

    CAN = _OF_VOLUME
    ROWS = ("symbol", "mpid", "venue_name", "total_shares", "total_trades", "source_last_update_date")

    kind: Literal["venue_volume"] = "venue_volume"


class TierCapture(BaseModel):
    """The capture that one tier's rows of a tier split are written under, and the capture of the summaries read.

    `captured_at` is when the first was minted, if not with the unit's.
    """

    model_config = ConfigDict(frozen=True)

    captured_at: Moment | None = None
    capture_id: Name | None = None
    input_capture_id: Name | None = None


class TierSplitUnit(_Unit):
    """The latest summaries of a week, of every tier that has any; `tiers` are these."""

    ROWS = ("tier", "symbol", "total_volume")

    kind: Literal["tier_split"] = "tier_split"
    week_ending: Week
    tiers: Mapping[Tier, TierCapture]

    def batches(self) -> dict[str, Batch]:
        """The batch that is written, by tier."""
        return {
            tier: self._batch(self.week_ending, tier, capture.capture_id, capture.input_capture_id, capture.captured_at)
            for tier, capture in self.tiers.items()
        }


class RollingFacts(BaseModel):
    """What is known of all the summaries of a tier's window, whatever range of symbols a unit holds.

    `weeks` are those with any summary. `symbols` counts the different ones, `complete` those that all weeks have;
    `partial` are the first 50 of the others. The `input_*` are the least and the greatest of all rows read.
    """

    model_config = ConfigDict(frozen=True)

    weeks: tuple[Week, ...]
    symbols: int = 0
    complete: int = 0
    partial: tuple[str, ...] = ()
    input_min_capture_id: str | None = None
    input_max_capture_id: str | None = None
    input_min_captured_at: Moment | None = None
    input_max_captured_at: Moment | None = None


class RollingUnit(_OfPartition):
    """The latest summaries of the six weeks up to `week_ending`, of all symbols or of a range.

    `part` is (number, of how many): the first one's outcome also says what holds for the whole tier.
    """

    ROWS = ("symbol", "week_ending", "total_volume", "total_trades")

    kind: Literal["rolling"] = "rolling"
    facts: RollingFacts
    part: tuple[int, int] = (1, 1)


class SnapshotUnit(_OfPartition):
    """The latest summaries of a partition, each with its latest complete rolling row or nulls."""

    ROWS = (
        "symbol",
        "total_volume",
        "total_trades",
        "venue_count",
        "avg_trade_size",
        "avg_volume",
        "avg_trades",
        "min_volume",
        "max_volume",
        "trend_direction",
        "trend_pct",
    )

    kind: Literal["snapshot"] = "snapshot"


FinraUnit = FileUnit | RawUnit | VolumeUnit | TierSplitUnit | RollingUnit | SnapshotUnit

_KINDS: dict[str, type[FinraUnit]] = {
    "file": FileUnit,
    "raw": RawUnit,
    "venue_volume": VolumeUnit,
    "tier_split": TierSplitUnit,
    "rolling": RollingUnit,
    "snapshot": SnapshotUnit,
}


def decode(value: bytes) -> tuple[FinraUnit, list[StoredRow]]:
    """A raw record's value as its unit and stored rows; ValueError says what is wrong with it."""
    first, _, rest = value.partition(b"\n")
    try:
        head, rows = _read(first), _read(b"[" + rest.rstrip().replace(b"\n", b",") + b"]")
    except ValueError as error:
        raise ValueError(f"the unit can't be read: {error}") from None
    if not isinstance(head, dict):
        raise ValueError("the unit's first line is no JSON object")
    kind = head.get("kind", "file")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"{shown(kind)} is no kind of unit; there are {', '.join(_KINDS)}")
    try:
        unit = _KINDS[kind].model_validate(head)
    except ValidationError as error:
        raise ValueError("; ".join(told(each["loc"], each["msg"], "unit") for each in error.errors())) from None
    width = len(unit.ROWS)
    if any(type(row) is not list or len(row) != width for row in rows):
        raise ValueError(f"a row of a unit of kind {kind} is an array of {width} values: {', '.join(unit.ROWS)}")
    return unit, rows


def _read(text: bytes) -> Any:  # noqa: ANN401 - whatever it holds
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # What can be read all the same, or why it can't.
        return read_json(text)
