"""Alarms: what people are told while live is at work, one message for each trouble until it is over."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from rederive.notices import notice
from rederive.notifier import Notice, Notifier
from rederive.settings import Settings
from rederive.status import Watcher
from rederive.troubles import Trouble
from schemas.errors import RederiveError
from schemas.words import counted

log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_GONE_SECONDS = 30.0
_LETTERS_SECONDS = 600.0
_ENDED_SECONDS = 3600.0


@dataclass(slots=True)
class Alarms:
    """Which troubles have been told. Each is told when it appears, and again only when it has been gone."""

    _told: dict[tuple[str, str], tuple[Trouble, float, float]] = field(default_factory=dict)

    def look(self, troubles: Sequence[Trouble], now: float) -> list[Notice]:
        """What is to be told of those there are now, at a moment in seconds."""
        notices = []
        for one in troubles:
            place = one.domain, one.key
            if place not in self._told:
                title = f"trouble with {one.domain}" if one.domain else "trouble"
                notices.append(notice("warning", title, str(one), "rederive status"))
            _, since, _ = self._told.get(place, (one, now, now))
            self._told[place] = one, since, now
        for place, (one, since, seen) in list(self._told.items()):
            # What comes and goes is one trouble.
            if now - seen > _GONE_SECONDS:
                del self._told[place]
                title = f"trouble with {one.domain} is over" if one.domain else "trouble is over"
                text = f"after {seen - since:.0f} s: {one.what}"
                notices.append(notice("success", title, text, "rederive status"))
        return notices


@dataclass(slots=True)
class Letters:
    """How many dead letters have come since that was told, by domain; `allowed` may before it is."""

    allowed: int
    _told: dict[str, int] = field(default_factory=dict)
    _when: dict[str, float] = field(default_factory=dict)

    def look(self, letters: Mapping[str, int], now: float) -> list[Notice]:
        """What is to be told of the letters that there are now, at a moment in seconds; of a domain seldom."""
        notices = []
        for domain, count in letters.items():
            # Those that were there before are no news; a topic that was made anew begins anew.
            before = self._told[domain] = min(self._told.get(domain, count), count)
            came = count - before
            if came > self.allowed and now - self._when.get(domain, -_LETTERS_SECONDS) >= _LETTERS_SECONDS:
                text = f"{counted(came, 'record')} more can't be derived, {count:,} in all"
                notices.append(notice("warning", f"dead letters of {domain}", text, f"rederive dlq list {domain}"))
                self._told[domain], self._when[domain] = count, now
        return notices


class NoticesOfLive:
    """What is told while live is at work: troubles, when they appear and when they are over, and dead letters.

    A context manager: it looks on a thread of its own, and an error that leaves it is told, the same one once an hour:
    a service manager begins live again and again. `own` are the troubles that only the supervisor knows of.
    """

    def __init__(self, settings: Settings, names: Sequence[str], own: Callable[[], Sequence[Trouble]]) -> None:
        self._settings, self._names, self._own = settings, names, own
        self._notifier = Notifier(settings)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="notices", daemon=True)

    def __enter__(self) -> Self:
        if self._notifier.wanted:
            self._thread.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._over.set()
        if self._notifier.wanted and isinstance(error, RederiveError) and self._is_news(error):
            title = f"live of {', '.join(self._names)} has ended"
            self._notifier.tell(notice("failure", title, str(error), f"rederive logs {self._names[0]}-live"))
        self._notifier.close()

    def _is_news(self, error: RederiveError) -> bool:
        """Whether live didn't end just so in the last hour."""
        place = self._settings.home / "run" / f"live-{'-'.join(self._names)}.ended"
        try:
            known = place.exists() and time.time() - place.stat().st_mtime < _ENDED_SECONDS
            if known and place.read_text() == error.what:
                return False
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.write_text(error.what)
        except OSError as failure:
            log.info("what was told can't be noted: %s", failure.strerror)
        return True

    def _watch(self) -> None:
        watcher, alarms, letters = Watcher(self._settings), Alarms(), Letters(self._settings.notify_dead_letters)
        try:
            while not self._over.wait(_LOOK_SECONDS):
                try:
                    found = watcher.look()
                except RederiveError as error:
                    log.info("what is to be notified can't be seen: %s", error)
                    continue
                now = time.monotonic()
                troubles = [one for one in found.troubles if not one.domain or one.domain in self._names]
                counted_ = {domain: count for domain, count in found.letters.items() if domain in self._names}
                for notice in [*alarms.look([*self._own(), *troubles], now), *letters.look(counted_, now)]:
                    self._notifier.tell(notice)
        except Exception as error:
            # Whatever it is, live itself goes on.
            log.warning("nothing more is notified: %s: %s", type(error).__name__, error)
        finally:
            watcher.close()
