"""How a worker is asked to stop, and that it does, whatever is away."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

log = logging.getLogger("rederive.worker")

STOP_SECONDS = 21.0
_LAST_SECONDS = 1.0


class Stop(threading.Event):
    """Set when the worker is to stop: on SIGTERM and Ctrl+C; with a parent on SIGTERM or its death.

    With a parent, Ctrl+C is the parent's to handle. Until `begin` the process ends at once: it leaves nothing behind.
    Afterwards it has `seconds` to stop in order, and is ended when they are over: what it hasn't committed comes again.
    """

    def __init__(self, *, with_parent: bool, seconds: float = STOP_SECONDS) -> None:
        super().__init__()
        self._seconds = seconds
        self._begun = False
        self._signals = [signal.SIGTERM] if with_parent else [signal.SIGTERM, signal.SIGINT]
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if with_parent:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._ask_after(_parent_is_gone)

    def begin(self) -> None:
        """From now on the worker stops in order."""
        heard, told = os.pipe()
        os.set_blocking(told, False)
        # Python's own handlers wait for the main thread, which may stand in a client's call.
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        self._begun = True
        for number in self._signals:
            signal.signal(number, lambda *_: None)
        self._ask_after(lambda: os.read(heard, 1))

    def _ask_after(self, waiting: Callable[[], object]) -> None:
        threading.Thread(target=self._asked, args=(waiting,), daemon=True).start()

    def _asked(self, waiting: Callable[[], object]) -> None:
        waiting()
        if not self._begun:
            os._exit(0)
        if self.is_set():
            return
        # The kernel's alarm ends the process even where none of its threads gets on any more.
        signal.setitimer(signal.ITIMER_REAL, self._seconds + _LAST_SECONDS)
        self.set()
        time.sleep(self._seconds)
        log.warning("the worker did not stop within %.0f s and is ended; its work comes again", self._seconds)


def _parent_is_gone() -> None:
    # The descriptor itself: a thread inside a buffered reader would upset the interpreter's end.
    while os.read(sys.stdin.fileno(), 1):
        pass
