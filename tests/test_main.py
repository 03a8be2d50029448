import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from rederive import __main__ as program
from rederive.cli import root
from rederive.cli.app import app
from rederive.cli.running import USUAL, run
from schemas.errors import Failed
from tests.program import shadow
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


def test_the_help_says_of_a_command_what_the_command_says_of_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    root.load_commands()
    names = [name for name in app.resolved_commands() if not name.startswith("-")]
    assert set(names) >= set(root.COMMANDS)
    for name in names:
        said = app[name].help or app[name].default_command.__doc__ or ""
        assert f"{name} {' '.join(said.split(chr(10) * 2)[0].split())}" in shown


@pytest.mark.parametrize("words", [["nonsense"], ["local", "nonsense"], ["local", "start", "--nonsense"]])
def test_unknown_words_are_wrong_usage(words: list[str]) -> None:
    assert program.run(words) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nonsense", ["there is no command 'nonsense'", "why: known are ", "replay-topic", "do:  `rederive --help` "]),
        ("bogus", ["there is no command 'bogus'", "do:  `rederive --help` shows"]),
        ("captures cancle x", ["there is no command 'cancle'", "do:  did you mean cancel?"]),
        ("captures show", ["`rederive captures show` needs CAPTURE", "why: CAPTURE: As `rederive captures list`"]),
        ("apply", ["`rederive apply` needs FILE", "do:  `rederive apply --help` shows"]),
        ("worker agent", ["`rederive worker agent` needs --domain"]),
        ("replay betfair --market", ["`rederive replay betfair`: --market needs a value"]),
        (
            "replay betfair --colums l1",
            ["`rederive replay betfair` has no option --colums", "do:  did you mean --columns?"],
        ),
        (
            "replay betfair --mode replace",
            ["--mode can't be 'replace'", "why: it is one of fill, supersede, shadow"],
        ),
        ("replay betfair --limit 0", ["--limit can't be '0'", "why: Must be >= 1."]),
        ("replay betfair --limit 9223372036854775808", ["--limit can't be '9223372036854775808'", "why: Must be <= "]),
        ("captures list --limit 99999999999999999999", ["--limit can't be", "why: Must be <= 9223372036854775807."]),
        ("replay-topic betfair --limit 9223372036854775808", ["--limit can't be", "why: Must be <= "]),
        ("report spot-check --limit 9223372036854775808", ["--limit can't be", "why: Must be <= "]),
        ("report rejects --examples 9223372036854775808", ["--examples can't be", "why: Must be <= "]),
        ("logs --last 9223372036854775808", ["--last can't be", "why: Must be <= "]),
        ("replay finra --source=", ["--source can't be ''", "why: the name of a folder or file is wanted"]),
        ("replay-topic betfair --since 2999-01-01", ["--since 2999-01-01 is in the future", "why: it is "]),
        ("apply --dryrun plan.json", ["FILE can't be '--dryrun'", "why: it looks like an option, and there is none"]),
        ("apply plan.json --dryrun", ["has no option --dryrun", "do:  did you mean --dry-run?"]),
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


@pytest.mark.parametrize(
    "words",
    [
        ["replay", "betfair", "--market", "\udcff"],
        ["captures", "show", "\udcff"],
        ["\udcff"],
        ["replay", "betfair", "--\udcff"],
    ],
)
def test_words_that_are_no_text_are_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(words) == 2
    said = capsys.readouterr().err
    assert "is no text\n  why: word" in said
    said.encode()


def test_a_plan_is_read_from_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("{"))
    assert program.run(["apply", "-"]) == 2
    assert capsys.readouterr().err.startswith("stdin is no plan\n")


@pytest.mark.parametrize("words", [["status"], ["status", "--json"]])
def test_without_its_database_status_does_not_know_of_captures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setenv("REDERIVE_HOME", str(tmp_path))
    monkeypatch.delenv("REDERIVE_KAFKA_BOOTSTRAP", raising=False)
    monkeypatch.setenv("REDERIVE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    assert program.run(words) == 1
    said, why = capfd.readouterr()
    assert "no connection to the database nobody@127.0.0.1:1/nowhere\n  why: nothing answers there\n  do:  " in why
    if "--json" in words:
        assert orjson.loads(said)["captures"] is None
    else:
        assert said.endswith("whether a capture is running isn't known: Postgres is away\n")


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("../rederive", 1, "there is no log of ../rederive\n  why: a log has the name of its capture\n"),
        ("latest:../..", 1, "no logs of ../.. in "),
        ("latest:*", 1, "no logs of * in "),
        ("latest:", 2, "latest: names no domain\n  why: known are betfair, "),
    ],
)
def test_a_log_is_named_by_a_capture_not_by_a_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, code: int, said: str
) -> None:
    monkeypatch.setenv("REDERIVE_HOME", str(tmp_path))
    (tmp_path / "logs").mkdir()
    for path in ("rederive.log", "..-1.log", "logs/betfair-1.log"):
        (tmp_path / path).write_text("a line\n")
    assert program.run(["logs", word]) == code
    assert capsys.readouterr().err.startswith(said)


def test_no_log_of_an_empty_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDERIVE_HOME", str(tmp_path))
    assert program.run(["logs", ""]) == 1
    assert capsys.readouterr().err.startswith("there is no log of ''\n")


@pytest.mark.parametrize(
    ("mend", "said"),
    [
        ("mend the cause, then `rederive captures retry finra-1`", "what is merged stays\n"),
        ("see the log", "what is merged stays; go on with: rederive captures resume finra-1\n"),
    ],
)
def test_a_run_that_fails_names_one_way_to_go_on(capsys: pytest.CaptureFixture[str], mend: str, said: str) -> None:
    class Failing:
        def run(self, *_: object) -> None:
            raise Failed("every answer is refused", mend=mend)

    capture = SimpleNamespace(capture_id="finra-1")
    with pytest.raises(Failed):
        run(Failing(), capture, 500, USUAL, json=False)  # type: ignore[arg-type]
    assert capsys.readouterr().err == said


def _ended(script: str, *redirections: str, **environment: str) -> tuple[int, str, str]:
    """How a program ends that runs the script as its only command, by a shell: exit code, stdout and stderr."""
    text = "import sys; from rederive.__main__ import main; from rederive.cli.app import app\n"
    text += "from rederive.cli.output import print_table, print_json\n"
    text += f"def act():\n    {script}\napp.command(act); main(['act'])"
    command = f"'{sys.executable}' -c \"$SCRIPT\" {' '.join(redirections)}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT, env={**os.environ, "SCRIPT": text, **environment}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


CLOSED = "stdout can't be written\n  why: it is closed\n"
FULL = "stdout can't be written\n  why: No space left on device\n"


@pytest.mark.parametrize(
    ("script", "redirection", "said"),
    [
        ("print('x')", ">&-", CLOSED),
        ("print_json({})", "<&- >&-", CLOSED),
        ("print('x')", ">/dev/full", FULL),
        ("print_json('x' * 100_000)", ">/dev/full", FULL),
        ("print_table('t', ['n'], [(1,)])", ">/dev/full", FULL),
    ],
)
def test_output_that_cannot_be_written_is_a_message(script: str, redirection: str, said: str) -> None:
    assert _ended(script, redirection) == (1, "", said)


def test_a_closed_stdin_is_at_its_end_and_a_closed_stderr_hides_no_failure() -> None:
    assert _ended("print(sys.stdin.read() + 'end')", "<&-") == (0, "end\n", "")
    assert _ended("open('/nonsense')", "<&-", "2>&-") == (1, "", "")


def test_stored_text_is_escaped_on_a_terminal_and_whatever_its_encoding() -> None:
    text = r"\x1b[31m \u202e \u2603 \x9b [b]"
    shown = r"\x1b[31m \u202e \u2603 \x9b [b]"
    code, stdout, stderr = _ended(
        f"print_table('{text}', ['n'], [('{text}',)]); print_json('{text}')",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
        LC_ALL="C",
    )
    assert (code, stderr) == (0, "")
    title, _, cell, document = stdout.splitlines()
    assert title == cell == shown
    assert orjson.loads(document) == text.encode().decode("unicode_escape")


def test_an_interrupt_ends_with_its_code_wherever_it_comes() -> None:
    """Within the exec of a text, as dataclasses are made, CPython remembers it and ends by the signal."""
    assert _ended("exec('raise KeyboardInterrupt')") == (130, "", "interrupted; safe to start again\n")
    # Before the program's own answer to Ctrl+C stands, few modules may be read.
    read = "import sys; import rederive.__main__; print(len({'logging', 'pathlib', 'cyclopts'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-S", "-c", read], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


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
    script = f"'{sys.executable}' -m rederive --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (141, "")


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


@pytest.mark.parametrize("path", ["{}", ":{}", "{}:", "{}::/nowhere"])
def test_nothing_is_imported_from_the_current_folder(tmp_path: Path, path: str) -> None:
    shadow(tmp_path)
    environment = {**os.environ, "PYTHONPATH": path.format(ROOT)}
    tell = "import sys; from rederive.safe_path import environment; print(environment())"
    for words in (["-m", "rederive", "topics", "--help"], ["-P", "-c", tell]):
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, input="", capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    named = [str(ROOT), *(["/nowhere"] if "nowhere" in path else [])]
    assert done.stdout == f"{{'PYTHONSAFEPATH': '1', 'PYTHONPATH': '{':'.join(named)}'}}\n"


def test_a_checkout_is_run_from_its_own_folder() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    tell = "from rederive.__main__ import main; from rederive.safe_path import environment; print(environment())"
    done = subprocess.run(
        [sys.executable, "-c", tell], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"{{'PYTHONSAFEPATH': '1', 'PYTHONPATH': {str(ROOT)!r}}}\n"


_AGAIN = """
import atexit, os, sys
from rederive.__main__ import main
from rederive.cli import root
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
