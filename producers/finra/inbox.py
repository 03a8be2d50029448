"""The folder that weekly files are dropped into: which files are there, and which of them are complete."""

import logging
import os
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import watchfiles

from producers.finra.folder import is_weekly
from schemas.errors import Away

log = logging.getLogger(__name__)

# What it counts is said in our own words.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

_WAIT_SECONDS = 0.5
_DEBOUNCE_MS = 100


@dataclass(frozen=True, slots=True)
class Mark:
    """What changes when a file does: a file of the same mark is taken to hold the same. Times in nanoseconds."""

    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """As the file system says it."""
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Inbox:
    """A folder, looked into again and again; subfolders aren't.

    A file is complete when its mark has been the same for `settle_seconds` of this machine's clock: that holds for one
    that is renamed in as for one that is written slowly, and needs no file system to have the right time.
    """

    def __init__(self, folder: Path, settle_seconds: float, stop: threading.Event) -> None:
        self.folder = folder
        self._settle_seconds, self._stop = settle_seconds, stop
        self._since: dict[Path, tuple[Mark, float]] = {}
        self._changes: Generator[object] | None = None
        self._watched: tuple[int, int] | None = None
        self._said = ""

    def wait(self) -> bool:
        """Wait for a change in the folder, half a second at most; whether there was one, as far as it is told.

        A folder of another machine tells nothing, nor does one that can't be watched: they have to be looked into.
        """
        if self._changes is None:
            self._stop.wait(_WAIT_SECONDS)
            return False
        try:
            return bool(next(self._changes, None))
        except (OSError, RuntimeError) as error:
            self._unwatched(error)
            return False

    def files(self) -> dict[Path, Mark]:
        """The files that are complete. Away when the folder can't be read."""
        try:
            self._watch()
            with os.scandir(self.folder) as entries:
                found = {Path(entry.path): mark for entry in entries if (mark := _mark(entry))}
        except OSError as error:
            self._forget()
            raise Away(
                f"the folder of FINRA's weekly files can't be read: {self.folder}",
                why=error.strerror or str(error),
                mend="make it readable again, or mount it: it is looked into until it is there",
            ) from None
        now = time.monotonic()
        before = self._since
        self._since = {
            path: before[path] if path in before and before[path][0] == mark else (mark, now)
            for path, mark in found.items()
        }
        return {path: mark for path, (mark, since) in self._since.items() if now - since >= self._settle_seconds}

    @property
    def settling(self) -> bool:
        """Whether files were there at the last look that may have become complete since."""
        now = time.monotonic()
        return any(now - since < self._settle_seconds + 2 * _WAIT_SECONDS for _, since in self._since.values())

    def close(self) -> None:
        """Watch no longer."""
        self._forget()

    def _watch(self) -> None:
        """Watch the folder that has the name now: another one may have come in its place."""
        found = self.folder.stat()
        if self._watched == (found.st_dev, found.st_ino):
            return
        self._forget()
        self._watched = found.st_dev, found.st_ino
        self._changes = watchfiles.watch(
            self.folder,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            rust_timeout=int(_WAIT_SECONDS * 1000),
            yield_on_timeout=True,
            stop_event=self._stop,
            recursive=False,
        )
        # It begins with the first call: what comes after it is told, what was there before is found by looking.
        self.wait()

    def _unwatched(self, error: Exception) -> None:
        self._changes = None
        if str(error) != self._said:
            log.warning("%s can't be watched and is looked into every few seconds: %s", self.folder, error)
        self._said = str(error)

    def _forget(self) -> None:
        if self._changes is not None:
            self._changes.close()
        self._changes = self._watched = None


def _mark(entry: "os.DirEntry[str]") -> Mark | None:
    """The mark of what has the name of a weekly file; None for other names, and for what is gone again."""
    if not is_weekly(entry.name):
        return None
    try:
        found = entry.stat()
    except OSError:
        # A link to nothing has a mark, too: it is said to be one.
        with suppress(FileNotFoundError):
            return Mark.of(Path(entry.path).lstat())
        return None
    return Mark.of(found)
