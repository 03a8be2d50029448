"""FINRA live: weekly files are found as they are dropped into a folder, and each is taken by a run of its own kind."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg

from producers.finra import watched
from producers.finra.inbox import Inbox, Mark
from producers.finra.settings import FinraSettings
from producers.finra.watched import PASSED, WATCHED, Intake, NothingError, Seen
from producers.live import Arriving, Live
from producers.source import Services
from rederive import captures
from rederive.replayer import Replayer, database_away
from rederive.run import TakenOverError
from rederive.settings import Settings
from schemas.capture import Capture, Progress
from schemas.domain import Domain
from schemas.errors import Away, Failed
from store import captures as stored

log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
"""How often the folder is looked into that tells of no change."""

_MOST_FILES = 100
"""Files of a run, about: planning it, and its checks, are over long before anybody asks whether it gets on."""

_REASON = "live"


class _StoppedError(Exception):
    """The run goes no further: this process was asked to end."""


class WatchedFolder(Live):
    """New and restated files of a folder, each taken once, a few seconds after it is complete.

    Files that are there together are one run, of the source `watched`. A run that was stopped is resumed first.
    """

    def __init__(self, domain: Domain, services: Services, arriving: Arriving) -> None:
        super().__init__(domain, services, arriving)
        settings = FinraSettings()
        self._folder = settings.existing()
        # Of live's troubles people are told, not of each file.
        self._replayer = Replayer.of(Settings().model_copy(update={"notify": None}))
        self._inbox = Inbox(self._folder, settings.settle_seconds, arriving.stop)
        self._read: dict[Path, tuple[Mark, Seen | None]] = {}
        self._decided: dict[Path, Mark] | None = None
        self._taken: dict[Path, Mark] = {}
        self._looked, self._said = float("-inf"), ""
        if arriving.from_now and not self._passed_until(arriving.from_now):
            self._give_up()
        self._passed = self._passed_until() or 0
        log.info("%s is watched; a file is taken %g s after its last change", self._folder, settings.settle_seconds)

    def _passed_until(self, since: datetime | None = None) -> int | None:
        return stored.most_requested(self.connection, self.domain.name, WATCHED, PASSED, since)

    def _give_up(self) -> None:
        """Note, as an empty run, that what is in the folder now is not to be taken."""
        moment = watched.latest(self._folder)
        with _away():
            self._replayer.mint(
                watched.request(self._folder, (), **{PASSED: moment}), WATCHED, dry_run=False, reason=_REASON
            )

    def step(self) -> float:
        """Wait half a second at most for a change; run what has come, and what an earlier run has left."""
        changed = self._inbox.wait()
        if not (changed or self._inbox.settling or time.monotonic() - self._looked > _LOOK_SECONDS):
            return 0.0
        if self._resume():
            return 0.0
        try:
            found = self._inbox.files()
        except Away as error:
            # The process goes on: begun again it would not find the folder, and end for good.
            if str(error) != self._said:
                log.warning("%s", error)
            self._said = str(error)
            return _LOOK_SECONDS
        self._looked, self._said = time.monotonic(), ""
        if found != self._decided and not self.arriving.stop.is_set():
            self._take(found)
        return 0.0

    def _take(self, files: dict[Path, Mark]) -> None:
        """Run what is to be taken of the complete files."""
        self._read = {path: self._seen(path, mark) for path, mark in files.items()}
        seen = [
            one
            for mark, one in self._read.values()
            # What was dead is tried again when it has arrived since: where clocks differ, that must not be without end.
            if one and one.changed > self._passed and self._taken.get(one.path) != mark
        ]
        found = watched.intake(self.connection, seen)
        if not found:
            self._decided = files
            return
        with _away():
            self._begin(found.some(_MOST_FILES))

    def _seen(self, path: Path, mark: Mark) -> tuple[Mark, Seen | None]:
        """The file as it was read, once as long as it doesn't change."""
        self.arriving.moving()
        known = self._read.get(path)
        return known if known and known[0] == mark else (mark, watched.look(path))

    def _begin(self, found: Intake) -> None:
        request = watched.request(self._folder, found.names)
        try:
            capture, _ = self._replayer.mint(request, WATCHED, dry_run=False, reason=_REASON)
        except NothingError:
            # Gone again, or somebody else was quicker: the next look says.
            self._read.clear()
            return
        self._taken |= {one.file.path: self._read[one.file.path][0] for one in found.files}
        log.info("%s takes %s", capture.capture_id, ", ".join(found.names))
        self._run(capture)

    def _resume(self) -> bool:
        """Go on with the oldest run of live's that nobody runs; whether there was one."""
        working = captures.at_work(self.connection)
        for capture in stored.running(self.connection, self.domain.name, WATCHED):
            if capture.capture_id not in working:
                log.info("%s goes on", capture.capture_id)
                with _away():
                    self._run(capture)
                return True
        return False

    def _run(self, capture: Capture) -> None:
        """Run to its end, or until this process is to end: then it is resumed by whoever is next."""
        try:
            self._replayer.run(capture, self._moving)
        except _StoppedError:
            log.info("%s is left as it is, and resumed when live begins again", capture.capture_id)
        except TakenOverError as error:
            log.warning("%s", error)

    def _moving(self, _: Progress) -> None:
        self.arriving.moving()
        if self.arriving.stop.is_set():
            raise _StoppedError

    def close(self) -> None:
        """Watch no longer."""
        self._inbox.close()


@contextmanager
def _away() -> Iterator[None]:
    """A database that goes away while a run is planned or run is waited for by beginning again."""
    try:
        yield
    except Failed as error:
        if isinstance(error, Away) or not _passes(error):
            raise
        raise Away(error.what, why=error.why, mend=error.mend) from error


def _passes(error: Failed) -> bool:
    cause = error.__cause__
    return database_away(error) or isinstance(cause, psycopg.OperationalError)
