"""Notices: what people are told of a run, with figures and the command that shows more."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from rederive.notifier import Kind, Notice, Notifier
from rederive.progress import counts
from rederive.run import Listener
from rederive.settings import Settings
from schemas.capture import Capture, CaptureState, Progress
from schemas.errors import Failed, RederiveError
from schemas.words import counted, verb
from store.problems import Reason

_STILL_SECONDS = 120.0
_REASONS = 5


class NoticesOfRun:
    """What is told of a run: before anything is applied, in the end, when it fails, stands still, or rows die.

    A dry run tells nothing. A context manager: an error that leaves it is told.
    """

    def __init__(self, settings: Settings, capture: Capture, clock: Callable[[], float] = time.monotonic) -> None:
        self._notifier, self._capture, self._clock = Notifier(settings), capture, clock
        self._dead_allowed = settings.notify_dead_letters
        self.wanted = self._notifier.wanted and not capture.dry_run and capture.state is CaptureState.RUNNING
        self._died = self._still = False
        self._progress: Progress | None = None
        self._moved = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self.wanted and isinstance(error, RederiveError):
            said = f"; so far {counts(self._progress)}" if self._progress else ""
            go_on = f"rederive captures resume {self._name}"
            text = (
                f"{error.what}\nwhy: {error.why or 'not known'}\ndo: {error.mend or go_on}\nwhat is merged stays{said}"
            )
            self._tell("failure", "has failed", text, f"rederive logs {self._name}")
        self._notifier.close()

    @property
    def _name(self) -> str:
        return self._capture.capture_id

    def begins(self, progress: Progress) -> None:
        """It is about to apply what is left of its units."""
        left = progress.units - progress.units_done
        text = f"{counted(left, 'unit')} to apply, of {progress.units:,} with {counted(progress.rows, 'row')}"
        self._tell("info", f"begins ({self._capture.mode})", text, f"rederive captures show {self._name}")

    def listening(self, listener: Listener) -> Listener:
        """A listener that tells what is to be told, too."""
        if not self.wanted:
            return listener

        def both(progress: Progress) -> None:
            self._look(progress)
            listener(progress)

        return both

    def ended(self, progress: Progress, reasons: Sequence[Reason]) -> None:
        """It is complete."""
        if not self.wanted:
            return
        bad = progress.errors > 0 or progress.units_dead > 0
        lines = [counts(progress)]
        if progress.units_dead:
            lines.append(f"{counted(progress.units_dead, 'dead unit')}: rederive captures retry {self._name}")
        lines += [f"{one.count} × {one.reason}: {one.message}" for one in reasons[:_REASONS]]
        self._tell(
            "warning" if bad else "success",
            "is complete, with errors" if bad else "is complete",
            "\n".join(lines),
            f"rederive captures show {self._name}",
        )

    def _look(self, progress: Progress) -> None:
        now, before = self._clock(), self._progress
        if before is None or progress.units_done != before.units_done:
            if self._still:
                self._tell("info", "gets on again", counts(progress), f"rederive captures show {self._name}")
            self._moved, self._still = now, False
        elif not progress.complete and not self._still and now - self._moved > _STILL_SECONDS:
            self._still = True
            text = f"no unit has been finished for {now - self._moved:.0f} s: {counts(progress)}"
            self._tell("warning", "doesn't get on", text, f"rederive logs {self._name}")
        if progress.units_dead > self._dead_allowed and not self._died:
            self._died = True
            text = f"{counted(progress.units_dead, 'unit')} {verb(progress.units_dead, 'is', 'are')} dead so far"
            self._tell("warning", "has dead letters", text, f"rederive dlq list {self._capture.domain}")
        self._progress = progress

    def _tell(self, kind: Kind, what: str, text: str, more: str) -> None:
        self._notifier.tell(notice(kind, f"{self._name} {what}", text, more))


@contextmanager
def told_unless_begun(settings: Settings, domain: str, *, dry_run: bool) -> Iterator[None]:
    """Have it told when a run of a domain can't begin."""
    try:
        yield
    except Failed as error:
        if not dry_run:
            with Notifier(settings) as notifier:
                notifier.tell(notice("failure", f"a run of {domain} can't begin", str(error), "rederive status"))
        raise


def notice(kind: Kind, what: str, text: str, more: str) -> Notice:
    """A notice, which says where it comes from, and the command that shows more."""
    return Notice(kind, f"Rederive: {what}", f"{text}\n\non {socket.gethostname()}; see: {more}")
