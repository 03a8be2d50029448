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


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    script = f"set -o pipefail; '{sys.executable}' -m rederive --help | true"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
