"""The program's own stdin, stdout and stderr, such that whatever they are, a command ends with a message."""

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NAMES = ("stdin", "stdout", "stderr")
"""By file descriptor."""


class StdoutError(Exception):
    """What was to be printed could not be, for a reason other than a reader that went away."""


class _Stdout(io.FileIO):
    """File descriptor 1: what it refuses is told from what any other file refuses."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise StdoutError(f"stdout can't be written\n  why: {why}") from error


def take() -> None:
    """Make all three usable: a closed one reads and takes nothing, a character that its encoding lacks is escaped."""
    for place, name in enumerate(_NAMES):
        if getattr(sys, name) is None:
            _occupy(place)
            setattr(sys, name, os.fdopen(place, "w" if place else "r", closefd=False))
    encoding, by_line = sys.stdout.encoding, bool(sys.stdout.line_buffering)
    raw = io.BufferedWriter(_Stdout(1, "w", closefd=False))
    sys.stdout = io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=by_line)


def _occupy(place: int) -> None:
    """Let no file that is opened later get the number of a closed stream; one of stdout can be read only."""
    null = os.open(os.devnull, os.O_WRONLY if place == 2 else os.O_RDONLY)
    if null == place:
        os.set_inheritable(null, True)
    else:
        os.dup2(null, place)
        os.close(null)


def lose_stdout() -> None:
    """Let what is still to be printed go nowhere: the interpreter flushes once more at its end and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
