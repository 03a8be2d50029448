"""The program: runs a command and turns how it ends into a message and an exit code."""

# What takes longer to import comes in once signals are heard.
import gc
import os
import sys

from rederive.safe_path import leave_current_folder

leave_current_folder()

import signal  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

INTERRUPTED = 130
BROKEN_PIPE = 141

_PRINTED_BY_CYCLOPTS = {"--help", "-h", "--version"}
_GARBAGE_THRESHOLD = 50_000
_CRASH_LOG_LIMIT = 10 * 1024 * 1024


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    # What imports make stays; looking through it again and again for cycles is a quarter of their time.
    gc.set_threshold(_GARBAGE_THRESHOLD)
    # A service manager's stop is a person's Ctrl+C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments, own_streams=True)
        _on_signal(lambda *_: os._exit(code))
    except KeyboardInterrupt as interrupt:
        # Whoever insists gets the message all the same, and the code that goes with it.
        _on_signal(signal.SIG_IGN)
        code = _interrupted(interrupt)
        _on_signal(lambda *_: os._exit(code))
    # The interpreter looks for cycles once more at its end, in vain.
    gc.freeze()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. Messages go to stderr."""
    try:
        return _run(arguments, own_streams=False)
    except KeyboardInterrupt as interrupt:
        return _interrupted(interrupt)


def _on_signal(what: "Callable[[int, FrameType | None], object] | signal.Handlers") -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, what)


def _run(arguments: list[str], *, own_streams: bool) -> int:
    """With `own_streams` stdin, stdout and stderr are the process's own."""
    from rederive import streams

    if own_streams:
        streams.take()
    try:
        code = _ended(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        streams.lose_stdout()
        return BROKEN_PIPE
    except streams.StdoutError as error:
        sys.stderr.write(f"{error}\n")
        streams.lose_stdout()
        return 1
    return code


def _interrupted(interrupt: KeyboardInterrupt) -> int:
    # An interrupt that came within the exec of a text, as dataclasses are made, has the interpreter end by the
    # signal even though it is caught; the next exec forgets it.
    exec("")
    # What was interrupted says how to go on with it.
    sys.stderr.write(f"interrupted; {str(interrupt) or 'safe to start again'}\n")
    return INTERRUPTED


def _ended(arguments: list[str]) -> int:
    from rederive import logs
    from rederive.cli.plain import plain
    from rederive.streams import StdoutError
    from schemas.errors import RederiveError

    try:
        logs.set_up()
        result = _result(arguments)
    except RederiveError as error:
        sys.stderr.write(f"{plain(str(error))}\n")
        return error.exit_code
    except (BrokenPipeError, StdoutError):
        raise
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception as error:
        sys.stderr.write(_unexpected(error))
        return 1
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _result(arguments: list[str]) -> object:
    """What the command returns. UsageError when the words are none."""
    from rederive.cli import root

    # The libraries below take longer to import than the text to make.
    if root.asks_for_help(arguments):
        sys.stdout.write(root.help_text())
        return 0

    import cyclopts

    from rederive.cli.app import app
    from rederive.cli.usage import check_text

    check_text(arguments)
    root.load_commands(arguments)
    app.version = _version
    if not _PRINTED_BY_CYCLOPTS.isdisjoint(arguments):
        from rederive.cli.output import Terminal

        app.console = Terminal()
    # ours to report, above
    app.suppress_keyboard_interrupt = False
    try:
        return app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        from rederive.cli.usage import usage_error

        raise usage_error(error) from None


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

    from rederive import domains

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
    who, to = "", "report it"
    if blamed := domains.at_fault(error):
        who, to = f" in {blamed[0]}", f"report it to those who made the distribution {blamed[1]},"
    return f"unexpected {type(error).__name__}{who}: {error}\n  do:  {to} with the traceback in {log_file}\n"


if __name__ == "__main__":
    main()
