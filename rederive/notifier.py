"""The notifier: tells people what happens, by mail, chat or what else apprise knows. A failing one harms nothing."""

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from rederive.settings import Settings
from schemas.errors import UsageError

if TYPE_CHECKING:
    from apprise import NotifyBase

log = logging.getLogger(__name__)

Kind = Literal["info", "success", "warning", "failure"]

_CLOSE_SECONDS = 10.0
"""For so long what is left to be told holds a process up that ends."""

_MOST_WAITING = 100


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told: a line, what is known in figures, and what to do to see more."""

    kind: Kind
    title: str
    text: str


class Notifier:
    """Tells notices to all addresses, each on a thread of its own; a context manager that lets them finish a while.

    Addresses hold passwords: they are named by their number and kind.
    """

    def __init__(self, settings: Settings) -> None:
        self._said = settings.notify.get_secret_value() if settings.notify else ""
        self._addresses: list[_Address] | None = None if self._said else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Have the last words told, as long as that takes little."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        for address in self._addresses or ():
            address.close(max(0.0, deadline - time.monotonic()))

    @property
    def wanted(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._said)

    def tell(self, notice: Notice) -> None:
        """Have it told; returns at once, and raises nothing."""
        if self._addresses is None:
            try:
                self._addresses = [_Address(number, one) for number, one in enumerate(_plugins(self._said), start=1)]
            except Exception as error:
                # Whatever is wrong with the library or an address is no fault of the run.
                why = str(error) if isinstance(error, UsageError) else type(error).__name__
                log.warning("nobody is notified: %s", why)
                self._addresses = []
        for address in self._addresses:
            address.tell(notice)


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a notice at an address, which is named by its number and kind."""

    number: int
    kind: str
    delivered: bool


def tell_all(settings: Settings, notice: Notice) -> list[Told]:
    """Tell a notice and wait for what becomes of it. UsageError when an address is none."""
    said = settings.notify.get_secret_value() if settings.notify else ""
    return [Told(number, _kind(one), _delivered(one, notice)) for number, one in enumerate(_plugins(said), start=1)]


class _Address:
    """A thread that tells one address, in order."""

    def __init__(self, number: int, plugin: "NotifyBase") -> None:
        self._name = f"address {number} of the setting notify ({_kind(plugin)})"
        self._plugin = plugin
        self._waiting: queue.Queue[Notice | None] = queue.Queue(_MOST_WAITING)
        self._failing = False
        self._thread = threading.Thread(target=self._tell_all, name="notifier", daemon=True)
        self._thread.start()

    def tell(self, notice: Notice) -> None:
        try:
            self._waiting.put_nowait(notice)
        except queue.Full:
            log.warning("%s is too slow: it isn't told %r", self._name, notice.title)

    def close(self, seconds: float) -> None:
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            seconds = 0.0
        self._thread.join(seconds)
        if self._thread.is_alive():
            log.warning("%s doesn't answer: what it isn't told yet is left", self._name)

    def _tell_all(self) -> None:
        while (notice := self._waiting.get()) is not None:
            delivered = _delivered(self._plugin, notice)
            if not delivered and not self._failing:
                log.warning("%s can't be told (%s); the work goes on", self._name, notice.title)
            self._failing = not delivered


def _delivered(plugin: "NotifyBase", notice: Notice) -> bool:
    try:
        return bool(plugin.notify(body=notice.text, title=notice.title, notify_type=notice.kind))
    except Exception as error:
        # A library's plugin, and what it has of libraries itself, may raise anything; its words may hold the address.
        log.debug("a notification failed: %s", type(error).__name__)
        return False


def _plugins(said: str) -> "Sequence[NotifyBase]":
    """What tells each address. UsageError when one is none."""
    import apprise

    # Its lines may hold addresses, and so passwords.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    made = []
    for number, url in enumerate(said.split(), start=1):
        plugin = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if plugin is None:
            raise UsageError(
                f"address {number} of the setting notify is none that can be told",
                why="apprise, which tells it, doesn't know the kind, or something is missing in it",
                mend="write it as https://github.com/caronc/apprise/wiki says",
            )
        made.append(plugin)
    return made


def _kind(plugin: "NotifyBase") -> str:
    return str(plugin.service_name or type(plugin).__name__)
