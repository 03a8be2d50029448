"""What live takes of the folder that it watches: each file once, a restated week as it comes (docs/finra.md)."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import Connection

from producers.finra import folder
from producers.finra import notes as told
from producers.finra.folder import Checked
from producers.finra.locators import FileWork, FinraLocator, LoggedFile, Unusable
from producers.finra.picks import Minter, Partition, Wanted
from producers.finra.sources import FinraFiles, months
from producers.source import Page, Request
from schemas.capture import UnitState
from schemas.errors import Failed
from schemas.finra.tables import FINRA
from schemas.plan import PlannedUnit
from schemas.table import Mode
from store import units

WATCHED = "watched"
"""The source of live's runs: whoever resumes them knows them by it."""

FILES, PASSED = "files", "passed_until"
"""What such a run is asked for: the names of its files; the moment that those it gave up had arrived by."""

_NANOSECONDS = 1_000_000_000
_NOT_STORED = (UnitState.DEAD, UnitState.CANCELLED, UnitState.REMOVED)


class NothingError(Exception):
    """Of the files that were asked for nothing is left to take: no capture is made."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A complete file as it was read: `checked` when it can be used, else the `reason`; its content's hash.

    `changed` is when it arrived, in nanoseconds.
    """

    path: Path
    changed: int
    checked: Checked | None
    reason: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Intake:
    """What is to be taken: files by week and tier; those that can't be used, which nobody has said before."""

    files: list[Checked] = field(default_factory=list)
    refused: list[Seen] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.files or self.refused)

    @property
    def names(self) -> list[str]:
        """The names of all, as a request says them."""
        paths = [*(one.file.path for one in self.files), *(one.path for one in self.refused)]
        return [folder.said_name(path.name) for path in paths]

    def some(self, most: int) -> "Intake":
        """The first weeks, whole, of about so many files; with them all that can't be used."""
        if len(self.files) <= most:
            return self
        last = self.files[most - 1].file.week
        return Intake([one for one in self.files if one.file.week <= last], self.refused)


def look(path: Path) -> Seen | None:
    """Read a file; None when it is gone."""
    # Asked before it is read: what changes it meanwhile is seen as a later change.
    changed = _changed(path)
    try:
        checked = folder.look_again(path, (), None, None, None, alone=False)
    except ValueError as error:
        return Seen(path, changed, None, str(error), _sha256(path)) if os.path.lexists(path) else None
    return Seen(path, changed, checked, sha256=checked.sha256)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(folder.read_bytes(path)).hexdigest()
    except ValueError:
        return ""


def intake(connection: Connection, seen: Iterable[Seen]) -> Intake:
    """Of files that lie in the folder those that are to be taken, and those that can't and that nobody has said."""
    found = list(seen)
    known = _Known.load(connection, found)
    new = [one for one in found if one.checked and not known.has(one, one.checked)]
    refused = [one for one in found if not one.checked]
    files: list[Checked] = []
    by_partition: dict[Partition, list[tuple[Seen, Checked]]] = defaultdict(list)
    for one in sorted(new, key=lambda one: one.path):
        assert one.checked
        by_partition[one.checked.partition].append((one, one.checked))
    for (week, tier), editions in sorted(by_partition.items()):
        if len({one.sha256 for one, _ in editions}) == 1:
            files.append(editions[0][1])
            continue
        names = " and ".join(folder.said_name(one.path.name) for one, _ in editions)
        reason = (
            f"{names} came at once and are of one week and tier, {tier} {week}; which of them is the week, only you "
            "know: take the others out of the folder, or take one with `rederive replay finra --source FILE`"
        )
        refused += [Seen(one.path, one.changed, None, reason, one.sha256) for one, _ in editions]
    return Intake(files, [one for one in refused if not known.has_said(one)])


@dataclass(frozen=True, slots=True)
class _Planned:
    """A file that a run has planned to take, whatever became of it."""

    order: int
    path: str
    partition: Partition
    sha256: str
    at: datetime
    state: UnitState


class _Known:
    """What runs, anybody's, have planned of files, in their order: files that they take, and those that can't be."""

    def __init__(self, planned: Sequence[_Planned], refused: Mapping[tuple[str, str, str], int]) -> None:
        self._refused = refused
        self._by_path = {one.path: one for one in planned}
        self._by_partition: dict[Partition, list[_Planned]] = defaultdict(list)
        for one in planned:
            self._by_partition[one.partition].append(one)

    @classmethod
    def load(cls, connection: Connection, seen: Sequence[Seen]) -> "_Known":
        """What concerns these files."""
        fields = {
            "week": sorted({one.checked.file.week.isoformat() for one in seen if one.checked}),
            "path": [folder.said_path(one.path) for one in seen],
            "refused": [_refused(one).refused for one in seen if not one.checked],
        }
        planned: list[_Planned] = []
        refused: dict[tuple[str, str, str], int] = {}
        for order, unit in enumerate(units.planned_of(connection, FINRA.name, "file", fields)):
            work = FinraFiles.located(unit.locator)
            if isinstance(work, Unusable):
                refused[work.path, work.sha256, work.refused] = order
            elif isinstance(work, FileWork | LoggedFile):
                path = work.path if isinstance(work, FileWork) else ""
                partition = work.week, work.tier
                planned.append(_Planned(order, path, partition, work.sha256, work.captured_at, unit.state))
        return cls(planned, refused)

    def has(self, one: Seen, checked: Checked) -> bool:
        """Whether a file that can be used was taken as it is, or a person has decided for another one of its week."""
        of_partition = self._by_partition[checked.partition]
        path = folder.said_path(one.path)
        before = self._by_path.get(path)
        if before is not None and before.sha256 != one.sha256:
            # It has changed in its place, maybe back to what was taken long ago.
            stored = [each for each in of_partition if each.state not in _NOT_STORED]
            return bool(stored) and stored[-1].sha256 == one.sha256
        if same := [each for each in of_partition if each.sha256 == one.sha256]:
            # Gone, or broken, when it was to be read: one that has arrived since is tried again.
            arrived_since = one.changed > same[-1].at.timestamp() * _NANOSECONDS
            return not (same[-1].state is UnitState.DEAD and arrived_since)
        said = [order for (where, sha256, _), order in self._refused.items() if (where, sha256) == (path, one.sha256)]
        return bool(said and of_partition and of_partition[-1].order > max(said))

    def has_said(self, one: Seen) -> bool:
        """Whether a run has said that the file, as it is, can't be used, and why."""
        said = _refused(one)
        return (said.path, said.sha256, said.refused) in self._refused


def _refused(one: Seen) -> Unusable:
    unit = folder.refused(one.path, one.reason, one.sha256)
    assert isinstance(unit.locator, Unusable)
    return unit.locator


def request(source: Path, files: Sequence[str], **more: int) -> Request:
    """A run of files of a folder, by their names."""
    options = {**FINRA.defaults["options"], "source": str(source), FILES: list(files), **more}
    return Request(domain=FINRA.name, mode=Mode.INSERT, columns=FINRA.scopes["all"], options=options)


class FinraWatched(FinraFiles):
    """Files of a watched folder, by name; what is computed of them, and what follows, is as with any run of files."""

    def pages(self, request: Request) -> Iterator[Page[FinraLocator]]:
        """A unit per file that is to be taken, and one per file that can't. NothingError when there is none left."""
        source, names = Path(str(request.options["source"])), request.options[FILES]
        assert isinstance(names, list)
        seen = [one for path in _named(source, set(names)) if (one := look(path))]
        found = intake(self.connection, seen)
        if not found and PASSED not in request.options:
            raise NothingError
        wanted = Wanted.of(request.describe())
        minter = Minter(self.connection, datetime.now(UTC))
        planned: list[PlannedUnit[Any]] = [folder.refused(one.path, one.reason, one.sha256) for one in found.refused]
        planned += [folder.planned_file(one, minter, wanted) for one in found.files]
        yield from months(planned)
        self._notes = list(told.files(folder.Folder(refused=[(one.path, one.reason) for one in found.refused]), ()))


def _named(source: Path, names: set[str]) -> list[Path]:
    try:
        return sorted(path for path in source.iterdir() if folder.said_name(path.name) in names)
    except OSError:
        # It was there a moment ago, and is looked for again.
        return []


def latest(source: Path) -> int:
    """When the last of the folder's files has arrived, in nanoseconds; 0 without any. Failed when it can't be read."""
    try:
        return max((_changed(path) for path in source.iterdir() if folder.is_weekly(path.name)), default=0)
    except OSError as error:
        # Not Away: begun again by itself live would take what was to be given up.
        raise Failed(
            f"the folder of FINRA's weekly files can't be read: {source}",
            why=error.strerror or str(error),
            mend="make it readable, then begin live with --from-now again: nothing in it is given up yet",
        ) from None


def _changed(path: Path) -> int:
    try:
        # Not when it was modified: that is the sender's to say, and may lie in the future.
        return path.stat().st_ctime_ns
    except OSError:
        return 0
