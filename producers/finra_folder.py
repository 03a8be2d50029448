"""FINRA's weekly files in a folder: which they are, what they hold, what is wrong with them (finra spec, section 2)."""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from schemas.errors import Failed, UsageError
from schemas.finra_file import decode_file, first_update, read_header
from schemas.finra_partition import TIERS, tier_of_file, tier_of_name, week_of_file
from schemas.unit import MAX_RECORD_BYTES

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


@dataclass(slots=True)
class Folder:
    """What is in a folder: files by week, tier and name; those that can't be used, with the reason; the rest."""

    files: list[WeeklyFile] = field(default_factory=list)
    refused: list[tuple[Path, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    outside: int = 0


def look(source: Path, tiers: Collection[str], file_date: date | None, first: date | None, last: date | None) -> Folder:
    """The files of `source`, a folder or one file, whose week is from `first` to `last`.

    `tiers` are those wanted, none for all. A single one of them is the tier of files whose names say none, and of
    `source` itself when that is a file. UsageError or Failed when there is nothing to read.
    """
    found = Folder()
    single = source.is_file()
    for path in _entries(source):
        if not path.name.lower().endswith(_ENDINGS) and not single:
            found.unknown.append(path.name)
            continue
        try:
            hint = None if single and len(tiers) == 1 else tier_of_name(path.name)
            tier = hint or tier_of_file(next(iter(tiers)) if len(tiers) == 1 else None, path.name)
            week = week_of_file(None, file_date, path.name, _first_update(path))
            if not path.name.isprintable() or len(path.name) > _MAX_NAME:
                raise ValueError("its name is too long, or not printable")
        except ValueError as error:
            found.refused.append((path, str(error)))
            continue
        if (tiers and tier not in tiers) or (first and week < first) or (last and week > last):
            found.outside += 1
        else:
            found.files.append(WeeklyFile(path, week, tier))
    found.files.sort(key=lambda one: (one.week, TIERS.index(one.tier), one.path.name))
    return found


def _entries(source: Path) -> Iterator[Path]:
    try:
        if source.is_file():
            return iter([source])
        entries = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise UsageError(f"--source {source} can't be read", why=error.strerror or str(error)) from None
    if not any(path.name.lower().endswith(_ENDINGS) for path in entries):
        why = f"weekly files end with {', '.join(_ENDINGS)}"
        raise Failed(f"{source} holds no weekly file", why=why, mend="name their folder: --source FOLDER")
    return iter(entries)


def _first_update(path: Path) -> Callable[[], date | None]:
    return lambda: first_update(decode_file(read_bytes(path)))


def read_bytes(path: Path) -> bytes:
    """A file's bytes, unpacked when its name ends with .gz; ValueError when it can't be read or is too large."""
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            data = file.read(MAX_RECORD_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"it can't be unpacked: {error}") from None
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
