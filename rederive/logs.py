"""Logs: `YYYY-MM-DD HH:MM:SS [LEVEL] text` in UTC, on stderr and in a file per run under REDERIVE_HOME/logs."""

import logging
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from schemas.errors import Failed

log = logging.getLogger(__name__)

FORMAT = "%(asctime)s [%(levelname)s] %(message)s"
DATES = "%Y-%m-%d %H:%M:%S"
OURS = ("rederive", "store", "producers", "processors", "sinks", "schemas", "samples")


def formatter() -> logging.Formatter:
    """The one shape of a log line."""
    made = logging.Formatter(FORMAT, DATES)
    made.converter = time.gmtime
    return made


def folder(home: Path) -> Path:
    """Where logs are; made when missing, for the user's eyes only."""
    found = home / "logs"
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def run_log(home: Path, capture_id: str) -> Path:
    """The log of a capture's runs: its producer, agents and sinks all append to it. Failed for what is no id."""
    if "/" in capture_id or "\0" in capture_id:
        raise Failed(
            f"there is no log of {capture_id}", why="a log has the name of its capture", mend="`rederive captures list`"
        )
    return folder(home) / f"{capture_id}.log"


def to_stderr() -> None:
    """Show a person the program's own lines and what a library calls an error.

    A library's warning names what nobody but its author knows; what matters of it is a line of ours. It goes to the log
    of a run (`also_to`) and, with `libraries_too`, to stderr.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter())
    handler.addFilter(_matters)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def set_up(level: str = "") -> None:
    """Log to stderr at this level, or that of the settings."""
    level = level or os.environ.get("REDERIVE_LOG_LEVEL", "").upper()
    if not level and Path("rederive.toml").exists():
        from rederive.settings import Settings

        level = Settings().log_level
    to_stderr()
    for name in OURS:
        logging.getLogger(name).setLevel(level if level in logging.getLevelNamesMapping() else logging.INFO)


def libraries_too() -> None:
    """Show libraries' warnings as well, the same one seldom: a worker's stderr is the log of its run."""
    for handler in logging.getLogger().handlers:
        handler.removeFilter(_matters)
        handler.addFilter(Seldom())


class Seldom(logging.Filter):
    """Lets a library's line pass once in ten seconds, whatever it names; the next says how many were left out."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._passed: dict[tuple[str, str], float] = {}
        self._left_out: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes."""
        if record.name.split(".", 1)[0] in OURS:
            return True
        line, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._passed.get(line, -self._seconds) < self._seconds:
            self._left_out[line] += 1
            return False
        self._passed[line] = now
        if more := self._left_out.pop(line, 0):
            record.msg, record.args = f"{record.getMessage()} ({more:,} more like it before)", None
        return True


def _matters(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or record.name.split(".", 1)[0] in OURS


class _RunLog(logging.FileHandler):
    """The log of a run. A disk that is full is said once, and stops nobody."""

    _said = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._said:
            self._said = True
            log.warning("%s lacks lines: %s", self.baseFilename, error.strerror)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def also_to(path: Path) -> logging.Handler:
    """Write all log lines, libraries' warnings included, to `path` too."""
    handler = _RunLog(path)
    handler.setFormatter(formatter())
    logging.getLogger().addHandler(handler)
    return handler


def no_longer_to(handler: logging.Handler) -> None:
    """Undo `also_to`."""
    logging.getLogger().removeHandler(handler)
    handler.close()


def newest(home: Path, domain: str = "") -> Path:
    """The log written last, of the captures of a domain or of all; Failed when there is none."""
    found = sorted(_all(home, domain), key=lambda path: path.stat().st_mtime)
    if not found:
        of = f" of {domain}" if domain else ""
        raise Failed(
            f"no logs{of} in {folder(home)}", mend=f"a replay writes one: `rederive replay {domain or 'DOMAIN'}`"
        )
    return found[-1]


def _all(home: Path, domain: str = "") -> list[Path]:
    return [path for path in folder(home).glob("*.log") if not domain or path.name.startswith(f"{domain}-")]


def lines(
    home: Path, which: Callable[[], Path], *, follow: bool, last: int, opened: Callable[[Path], None]
) -> Iterator[str]:
    """The last lines of the log that `which` names, and with `follow` whatever is added, until the caller stops asking.

    When `which` comes to name another log, that is followed: from its start, or from where it stood when this began.
    `opened` is told each log before its lines come.
    """
    seen = {path: path.stat().st_size for path in _all(home)} if follow else {}
    path = which()
    first = True
    while True:
        opened(path)
        with path.open(errors="replace") as file:
            if first:
                yield from deque(file, maxlen=last)
                first = False
            else:
                file.seek(seen.get(path, 0))
            while follow:
                if line := file.readline():
                    yield line
                elif (other := which()) != path:
                    seen[path] = file.tell()
                    path = other
                    break
                else:
                    time.sleep(0.2)
        if not follow:
            return
