import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rederive import __main__ as program
from rederive.cli.app import app
from schemas.errors import Failed
from tests.services import ROOT


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    """Puts a command that ends as the test says in the program's place."""
    monkeypatch.setenv("REDERIVE_HOME", str(tmp_path / "home"))

    def put(ends: object) -> None:
        def act() -> object:
            if isinstance(ends, BaseException):
                raise ends
            return ends

        app.command(act, name="act")

    yield put
    del app["act"]


@pytest.mark.parametrize(
    ("ends", "code", "said"),
    [
        (None, 0, ""),
        (3, 3, ""),
        (Failed("the day", why="a gap", mend="fetch it"), 1, "the day\n  why: a gap\n  do:  fetch it\n"),
        (KeyboardInterrupt(), 130, "interrupted; safe to start again\n"),
        (KeyboardInterrupt("go on with: rederive next"), 130, "interrupted; go on with: rederive next\n"),
    ],
)
def test_how_a_command_ends_is_its_exit_code(
    command: object, capsys: pytest.CaptureFixture[str], ends: object, code: int, said: str
) -> None:
    assert callable(command)
    command(ends)
    assert program.run(["act"]) == code
    assert capsys.readouterr().err == said


def test_a_defect_is_a_short_message_and_a_traceback_in_the_log(
    command: object, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert callable(command)
    command(ZeroDivisionError("oh"))
    assert program.run(["act"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert "ZeroDivisionError: oh" in (tmp_path / "home" / "rederive.log").read_text()


@pytest.mark.parametrize("words", [["nonsense"], ["local", "nonsense"], ["local", "start", "--nonsense"]])
def test_unknown_words_are_wrong_usage(words: list[str]) -> None:
    assert program.run(words) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nonsense", ["there is no command 'nonsense'", "why: known are ", "replay-topic", "do:  `rederive --help` "]),
        ("captures cancle x", ["there is no command 'cancle'", "do:  did you mean cancel?"]),
        ("captures show", ["`rederive captures show` needs CAPTURE", "why: CAPTURE: As `rederive captures list`"]),
        ("apply", ["`rederive apply` needs FILE", "do:  `rederive apply --help` shows"]),
        ("worker agent", ["`rederive worker agent` needs --domain"]),
        ("replay betfair --market", ["`rederive replay betfair`: --market needs a value"]),
        (
            "replay betfair --colums l1",
            ["`rederive replay betfair` has no option --colums", "do:  did you mean --columns?"],
        ),
        ("replay betfair --mode shadow", ["--mode can't be 'shadow'", "why: it is one of fill, supersede"]),
        ("replay betfair --limit 0", ["--limit can't be '0'", "why: Must be >= 1."]),
        ("replay betfair --limit many", ["--limit can't be 'many'", "why: a whole number is wanted"]),
        ("replay betfair --json=5", ["--json can't be '5'", "why: it takes no value"]),
        ("replay-topic bet", ["there is no domain bet", "why: known are betfair, ", "did you mean betfair?"]),
        ("report null-audit --as-of x", ["--as-of can't be 'x'", "why: a UTC day such as"]),
        ("captures show a b c", ["`rederive captures show` has no use for b c", "do:"]),
        ("replay betfair --limit 1 --limit 2", ["--limit", "do:"]),
        ("compute betfair book.jsonl", ["has no use for book.jsonl", "why: it reads stdin", "do:  use `< book.jsonl`"]),
    ],
)
def test_wrong_usage_is_a_message_as_any_other(words: str, said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(words.split()) == 2
    shown = capsys.readouterr()
    assert all(part in shown.err for part in said), shown.err
    assert shown.err.count("do:  ") == 1
    assert shown.out == ""


def test_a_table_whose_reader_goes_away_ends_as_a_broken_pipe() -> None:
    script = "import sys; from rederive.__main__ import main; from rederive.cli.app import app\n"
    script += "from rederive.cli.output import print_table\n"
    script += "app.command(lambda: print_table('t', ['n'], [(n,) for n in range(100_000)]), name='act'); main(['act'])"
    command = f"'{sys.executable}' -c \"$SCRIPT\" | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT, env={**os.environ, "SCRIPT": script}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    script = f"set -o pipefail; '{sys.executable}' -m rederive --help | true"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


_INTERRUPTED = """
import os, runpy, sys

class Midway:
    def find_spec(self, name, *_):
        if name == "{module}":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Midway())
sys.argv = ["rederive", "captures", "list"]
runpy.run_module("rederive", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["schemas.errors", "rederive.logs", "cyclopts"])
def test_an_interrupt_while_the_program_is_imported_is_an_interrupt(module: str, number: signal.Signals) -> None:
    done = _python(_INTERRUPTED.format(module=module, number=int(number)))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted; safe to start again\n")


_AGAIN = """
import atexit, os, sys
from rederive.__main__ import main
from rederive.cli.app import app

class Stderr:
    def write(self, text):
        if {where!r} == "the message":
            os.kill(os.getpid(), {number})
        return os.write(2, text.encode())
    def flush(self): ...

def act():
    raise KeyboardInterrupt("go on with: rederive next")

def late():
    if {where!r} == "the end":
        os.kill(os.getpid(), {number})

app.command(act, name="act")
atexit.register(late)
sys.stderr = Stderr()
main(["act"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_does_not_change_how_a_command_ends(number: signal.Signals) -> None:
    for where in ("the message", "the end"):
        done = _python(_AGAIN.format(where=where, number=int(number)))
        assert (done.returncode, done.stderr) == (130, "interrupted; go on with: rederive next\n"), where


def _python(script: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
