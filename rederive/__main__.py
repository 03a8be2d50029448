"""The program: runs a command and turns how it ends into a message and an exit code."""

# What takes longer to import comes in once signals are heard.
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

COMMANDS = (
    "replay",
    "captures",
    "program",
    "report",
    "compute",
    "local",
    "topics",
    "worker",
)
"""The modules of rederive.cli that hold commands: imported always, so they import what is heavy only when they run."""

INTERRUPTED = 130
BROKEN_PIPE = 141

_CRASH_LOG_LIMIT = 10 * 1024 * 1024


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    # A service manager's stop is a person's Ctrl+C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = _flushed(_ended(sys.argv[1:] if arguments is None else arguments))
        _on_signal(lambda *_: os._exit(code))
    except KeyboardInterrupt as interrupt:
        # Whoever insists gets the message all the same, and the code that goes with it.
        _on_signal(signal.SIG_IGN)
        code = _interrupted(interrupt)
        _on_signal(lambda *_: os._exit(code))
    sys.exit(code)


def _on_signal(what: "Callable[[int, FrameType | None], object] | signal.Handlers") -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, what)


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
        return BROKEN_PIPE
    return code


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. Messages go to stderr."""
    try:
        return _ended(arguments)
    except KeyboardInterrupt as interrupt:
        return _interrupted(interrupt)


def _interrupted(interrupt: KeyboardInterrupt) -> int:
    # What was interrupted says how to go on with it.
    sys.stderr.write(f"interrupted; {str(interrupt) or 'safe to start again'}\n")
    return INTERRUPTED


def _ended(arguments: list[str]) -> int:
    import cyclopts

    from rederive.cli.app import app
    from schemas.errors import RederiveError

    try:
        _set_up_logs()
        load_commands()
        app.version = _version
        # ours to report, below
        app.suppress_keyboard_interrupt = False
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        from rederive.cli.usage import usage_error

        wrong = usage_error(error)
        sys.stderr.write(f"{wrong}\n")
        return wrong.exit_code
    except RederiveError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except BrokenPipeError:
        _close_stdout()
        return BROKEN_PIPE
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception as error:
        sys.stderr.write(_unexpected(error))
        return 1
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def load_commands() -> None:
    """Put the program's commands and those of every domain together; what a domain lacks of them is said in the log."""
    import importlib
    import logging

    from rederive import domains
    from rederive.cli.generic import add_commands

    for name in COMMANDS:
        importlib.import_module(f"rederive.cli.{name}")
    for domain in domains.usable():
        try:
            for module in domain.commands:
                importlib.import_module(module)
            add_commands(domain)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            logging.getLogger("rederive.main").warning(
                "%s", domains.broken(domain.name, "used from the command line", why)
            )


def _set_up_logs() -> None:
    import logging
    from pathlib import Path

    from rederive import logs

    level = os.environ.get("REDERIVE_LOG_LEVEL", "").upper()
    if not level and Path("rederive.toml").exists():
        from rederive.settings import Settings

        level = Settings().log_level
    logs.to_stderr()
    for name in logs.OURS:
        logging.getLogger(name).setLevel(level if level in logging.getLevelNamesMapping() else logging.INFO)


def _version() -> str:
    import tomllib
    from importlib import metadata
    from pathlib import Path

    try:
        return metadata.version("rederive")
    except metadata.PackageNotFoundError:
        project = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text())["project"]["version"])


def _unexpected(error: Exception) -> str:
    import traceback
    from datetime import UTC, datetime
    from pathlib import Path

    text = "".join(traceback.format_exception(error))
    log_file = Path(os.environ.get("REDERIVE_HOME") or ".rederive").expanduser().absolute() / "rederive.log"
    try:
        log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log_file.exists() and log_file.stat().st_size > _CRASH_LOG_LIMIT:
            log_file.replace(log_file.with_suffix(".old.log"))
        with log_file.open("a") as file:
            file.write(f"{datetime.now(UTC).isoformat()} rederive {' '.join(sys.argv[1:])}\n{text}\n")
    except OSError:
        return text
    return f"unexpected {type(error).__name__}: {error}\n  do:  report it with the traceback in {log_file}\n"


def _close_stdout() -> None:
    # the interpreter flushes once more at its end and would complain
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
