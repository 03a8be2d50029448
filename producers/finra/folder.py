"""FINRA's weekly files in a folder: which they are, what they hold, what is wrong with them (finra spec, section 2)."""

import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from producers.finra.locators import FileWork, FinraLocator, StageWork, Unusable
from producers.finra.picks import Minter, Partition, Wanted
from producers.finra.picks import planned as unit_of
from schemas.errors import Failed, UsageError
from schemas.finra.file import decode_file, first_update, read_header
from schemas.finra.partition import TIERS, date_of_file, tier_of_file, tier_of_name, week_of_file
from schemas.finra.units import FileUnit
from schemas.lane import LaneName
from schemas.plan import PlannedUnit
from schemas.wire import MAX_RECORD_BYTES

_ENDINGS = (".csv", ".psv", ".csv.gz", ".psv.gz")
_MEBIBYTE = 1024 * 1024
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class WeeklyFile:
    """A file and the partition that its name, or its first row, says."""

    path: Path
    week: date
    tier: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds: its text, the text's hash, and about how many rows."""

    text: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that can be used: its content's hash, and about how many rows."""

    file: WeeklyFile
    sha256: str
    rows: int

    @property
    def partition(self) -> Partition:
        """Its week and tier."""
        return self.file.week, self.file.tier


@dataclass(slots=True)
class Folder:
    """What is in a folder: files by week, tier and name; those that can't be used, with the reason; the rest."""

    files: list[WeeklyFile] = field(default_factory=list)
    refused: list[tuple[Path, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


def look(source: Path, tiers: Collection[str], file_date: date | None, first: date | None, last: date | None) -> Folder:
    """The files of `source`, a folder or one file, whose week is from `first` to `last`.

    `tiers` are those wanted, none for all. A single one of them is the tier of files whose names say none, and of
    `source` itself when that is a file. What has the name of a weekly file and is none, such as a dangling link, is
    refused. UsageError or Failed when there is nothing to read.
    """
    found = Folder()
    single = not source.is_dir()
    for path in _entries(source):
        if not is_weekly(path.name) and not single:
            found.unknown.append(path.name)
            continue
        try:
            one = _placed(path, tiers, file_date, alone=single)
        except ValueError as error:
            found.refused.append((path, str(error)))
            continue
        if _asked_for(one, tiers, first, last):
            found.files.append(one)
        else:
            found.outside.append(path.name)
    found.files.sort(key=lambda one: (one.week, TIERS.index(one.tier), one.path.name))
    return found


def _placed(path: Path, tiers: Collection[str], file_date: date | None, *, alone: bool) -> WeeklyFile:
    """The file with its partition; ValueError when nothing says it. One that is `alone` is of the only tier wanted."""
    hint = None if alone and len(tiers) == 1 else tier_of_name(path.name)
    tier = hint or tier_of_file(next(iter(tiers)) if len(tiers) == 1 else None, path.name)
    week = week_of_file(None, file_date, path.name, _first_update(path))
    if not path.name.isprintable() or len(path.name) > _MAX_NAME:
        raise ValueError("its name is too long, or not printable")
    return WeeklyFile(path, week, tier)


def _asked_for(one: WeeklyFile, tiers: Collection[str], first: date | None, last: date | None) -> bool:
    return not ((tiers and one.tier not in tiers) or (first and one.week < first) or (last and one.week > last))


def look_again(
    path: Path, tiers: Collection[str], file_date: date | None, first: date | None, last: date | None, *, alone: bool
) -> Checked:
    """A file of a run as it is now, the words as in `look`; ValueError when the run can't use it."""
    one = _placed(path, tiers, file_date, alone=alone)
    if not _asked_for(one, tiers, first, last):
        raise ValueError(f"it is of {one.tier} {one.week} now, which the run was not asked for")
    return _checked(one)


def _entries(source: Path) -> Iterator[Path]:
    try:
        if not source.is_dir():
            with _opened(source):
                return iter([source])
        entries = sorted(path for path in source.iterdir() if not path.name.startswith(".") and _is_meant(path))
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"--source {source} can't be read", why=why) from None
    if not any(is_weekly(path.name) for path in entries):
        why = f"weekly files end with {', '.join(_ENDINGS)}"
        raise Failed(f"{source} holds no weekly file", why=why, mend="name their folder: --source FOLDER")
    return iter(entries)


def is_weekly(name: str) -> bool:
    """Whether it is the name of a weekly file, which hidden ones and those on their way haven't."""
    return not name.startswith(".") and name.lower().endswith(_ENDINGS)


def _is_meant(path: Path) -> bool:
    """Whether it is a file, or has the name of one that is wanted."""
    return path.is_file() or is_weekly(path.name)


_OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _opened(path: Path) -> IO[bytes]:
    """The file, opened for reading; ValueError for what is no file, OSError when it can't be opened."""
    # Asked before it is opened: a socket can't be, a device may do something.
    kind = stat.S_IFMT(path.stat().st_mode)
    # A pipe without a writer would be waited for, should it have come meanwhile.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if kind == stat.S_IFREG else None
    if descriptor is not None and stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    if descriptor is not None:
        os.close(descriptor)
    raise ValueError(f"it is {_OTHERS.get(kind, 'something else')}, not a file")


def _first_update(path: Path) -> Callable[[], date | None]:
    return lambda: first_update(decode_file(read_bytes(path)))


def read_bytes(path: Path) -> bytes:
    """A file's bytes, unpacked when its name ends with .gz; ValueError when it can't be read or is too large."""
    try:
        with _opened(path) as file:
            packed = path.name.lower().endswith(".gz")
            data = (gzip.GzipFile(fileobj=file) if packed else file).read(MAX_RECORD_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"it can't be unpacked: {error}") from None
    except FileNotFoundError as error:
        why = "it is a link to what isn't there" if path.is_symlink() else f"it can't be read: {error.strerror}"
        raise ValueError(why) from None
    except OSError as error:
        raise ValueError(f"it can't be read: {error.strerror or error}") from None
    if len(data) > MAX_RECORD_BYTES:
        raise ValueError(f"it is over the limit of {MAX_RECORD_BYTES // _MEBIBYTE} MiB a file")
    return data


def read(path: Path) -> Content:
    """What a file holds; ValueError when it is no weekly file with at least one row."""
    data = read_bytes(path)
    text = decode_file(data)
    header = read_header(text)
    rows = text.rstrip().count("\n") + 1 - header.line_number
    if rows < 1:
        raise ValueError("it has a header and no rows")
    return Content(text, hashlib.sha256(data).hexdigest(), rows)


def check(found: Folder) -> list[Checked]:
    """The files that can be used; the others are added to the `refused` ones."""
    checked = []
    for one in found.files:
        try:
            checked.append(_checked(one))
        except ValueError as error:
            found.refused.append((one.path, str(error)))
    return checked


def _checked(one: WeeklyFile) -> Checked:
    content = read(one.path)
    return Checked(one, content.sha256, content.rows)


def one_each(
    files: Iterable[Checked], file_date: date | None, *, take_newest: bool
) -> tuple[list[Checked], list[tuple[Checked, Checked]]]:
    """One file of each partition, and those that are left out, each with the one taken in its place.

    Files of the same content are one. Of others the newest is taken, by file date, then by modification time; without
    `take_newest` UsageError names them: which of them is the week, only the user knows.
    """
    taken: list[Checked] = []
    left: list[tuple[Checked, Checked]] = []
    clashes: list[str] = []
    for (week, tier), group in groupby(files, key=lambda one: one.partition):
        editions = list(group)
        if len({one.sha256 for one in editions}) > 1:
            editions.sort(key=lambda one: _age(one, file_date), reverse=True)
            clashes.append(f"{tier} {week}: {' and '.join(sorted(one.file.path.name for one in editions))}")
        taken.append(editions[0])
        left += [(one, editions[0]) for one in editions[1:]]
    if clashes and not take_newest:
        raise UsageError(
            f"several files of one week and tier: {'; '.join(clashes)}",
            why="a run takes one file of each, and a later one replaces the week",
            mend="--take-newest takes the newest (by file date, then modification time), --tier other tiers alone; "
            "a file whose name says the wrong tier goes by itself: --source FILE --tier TIER",
        )
    return taken, left


def _age(one: Checked, file_date: date | None) -> tuple[date, int, str]:
    path = one.file.path
    published = date_of_file(file_date, path.name, _first_update(path))
    return published or date.min, path.stat().st_mtime_ns, path.name


def fresh(files: Iterable[Checked], latest: Mapping[Partition, str | None]) -> tuple[list[Checked], list[Checked]]:
    """Files with content that isn't there yet, and the others; `latest` are the hashes of the latest captures."""
    new: list[Checked] = []
    same: list[Checked] = []
    for one in files:
        (same if one.sha256 == latest.get(one.partition) else new).append(one)
    return new, same


def file_unit(capture_id: str, planned: PlannedUnit[Any], unit: FileUnit) -> FileUnit:
    """A file as a unit of a run: under the capture that was planned for it."""
    said: StageWork = planned.locator
    work = frozenset(said.work)
    return FileUnit.model_validate(
        {
            "file_name": unit.file_name,
            "content": unit.content,
            "week_ending": said.week,
            "tier": said.tier,
            "captured_at": said.captured_at,
            "capture_id": planned.writes[0],
            "execution_id": capture_id,
            "batch_id": f"{said.week:%Y-%m}",
            "versions": said.versions,
            "calc": () if work == FileUnit.CAN else tuple(sorted(work)),
            "reject_zero_volume": said.reject_zero_volume,
        }
    )


def payload(capture_id: str, planned: PlannedUnit[Any]) -> bytes:
    """The value of a file's unit; ValueError when the file has changed since it was planned, or can't be read."""
    said: FileWork = planned.locator
    path = Path(said.path)
    content = read(path)
    if content.sha256 != said.sha256:
        raise ValueError("the file has changed since it was planned (`captures retry` takes it as it is now)")
    unit = FileUnit.model_construct(file_name=path.name, content=content.text)
    return file_unit(capture_id, planned, unit).encode()


def planned_file(checked: Checked, minter: Minter, wanted: Wanted) -> PlannedUnit[FinraLocator]:
    """A file as a planned unit, with a capture of its own; it goes to the log."""
    one = checked.file
    return unit_of(
        "file",
        one.week,
        [one.tier],
        [minter.another((one.week, one.tier))],
        wanted=wanted,
        work=wanted.work & FileUnit.CAN,
        name=one.path.name,
        lane=LaneName.LOG,
        locator=FileWork,
        path=str(one.path.absolute()),
        sha256=checked.sha256,
        found=checked.rows,
    )


def said_name(name: str) -> str:
    r"""A file's name as text: bytes that are no UTF-8, which neither JSON nor a database can hold, as `\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode()


def said_path(path: Path) -> str:
    """Where a file is looked for again, as text; "" where JSON can't hold it: such a file must be renamed anyway."""
    where = str(path.absolute())
    return where if where.isprintable() else ""


def refused(path: Path, reason: str, sha256: str = "") -> PlannedUnit[FinraLocator]:
    """A file that can't be used as a planned unit, so that the run says so and goes on."""
    name = said_name(path.name)
    why = Unusable(refused=f"{name}: {reason}", path=said_path(path), sha256=sha256)
    return PlannedUnit(unit=0, key_range=f"file/{name}", locator=why, stage="file")
