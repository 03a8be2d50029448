"""Logs: what is a person's and what the file's, and how `rederive logs` follows them."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rederive import logs
from schemas.errors import Failed


def test_a_librarys_warning_is_for_the_log_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger("rederive"), "level", logging.INFO)
    logs.to_stderr()
    handler = logs.also_to(tmp_path / "run.log")
    logging.getLogger("stamina").warning("stamina.retry_scheduled")
    logging.getLogger("aiokafka.consumer").error("Heartbeat failed: local member_id was not recognized")
    logging.getLogger("rederive.run").info("capture betfair-1: fill")
    logs.no_longer_to(handler)
    said, kept = capsys.readouterr().err, (tmp_path / "run.log").read_text()
    assert "retry_scheduled" not in said
    assert "Heartbeat failed" in said
    assert "[INFO] capture betfair-1: fill" in said
    assert [line.split("] ")[1] for line in kept.splitlines()] == [
        "stamina.retry_scheduled",
        "Heartbeat failed: local member_id was not recognized",
        "capture betfair-1: fill",
    ]

    logs.libraries_too()
    logging.getLogger("stamina").warning("stamina.retry_scheduled")
    assert "retry_scheduled" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_is_said_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger("rederive"), "level", logging.INFO)
    logs.to_stderr()
    handler = logs.also_to(Path("/dev/full"))
    for number in range(3):
        logging.getLogger("rederive.run").info("line %d", number)
    logs.no_longer_to(handler)
    said = capsys.readouterr().err
    assert [line.split("] ")[1] for line in said.splitlines()] == [
        "line 0", "/dev/full lacks lines: No space left on device", "line 1", "line 2",
    ]  # fmt: skip


def _write(home: Path, name: str, text: str, at: float) -> Path:
    path = logs.run_log(home, name)
    with path.open("a") as file:
        file.write(text)
    os.utime(path, (at, at))
    return path


def test_following_goes_on_with_the_log_of_the_next_run(tmp_path: Path) -> None:
    first = _write(tmp_path, "betfair-20260201-1", "a\nb\n", 1)
    old = _write(tmp_path, "racing-20260101-1", "long ago\n", 0)
    said: list[Path] = []
    lines: Iterator[str] = logs.lines(tmp_path, lambda: logs.newest(tmp_path), follow=True, last=1, opened=said.append)
    assert [next(lines), said] == ["b\n", [first]]
    _write(tmp_path, "betfair-20260201-1", "c\n", 2)
    assert next(lines) == "c\n"
    second = _write(tmp_path, "racing-20260201-2", "d\ne\n", 3)
    assert [next(lines), next(lines), said] == ["d\n", "e\n", [first, second]]
    # One that was read before goes on where it stood; one from before this began doesn't begin again.
    _write(tmp_path, "betfair-20260201-1", "f\n", 4)
    assert [next(lines), said[-1]] == ["f\n", first]
    _write(tmp_path, "racing-20260101-1", "now\n", 5)
    assert [next(lines), said[-1]] == ["now\n", old]


def test_a_log_that_is_named_is_kept_to(tmp_path: Path) -> None:
    _write(tmp_path, "betfair-20260201-1", "a\nb\n", 1)
    named = _write(tmp_path, "racing-20260201-2", "c\n", 0)
    assert list(logs.lines(tmp_path, lambda: named, follow=False, last=5, opened=lambda _: None)) == ["c\n"]
    assert logs.newest(tmp_path, "racing") == named
    with pytest.raises(Failed, match="no logs of finra"):
        logs.newest(tmp_path, "finra")


def test_a_library_s_line_passes_seldom() -> None:
    seldom = logs.Seldom(seconds=60)
    said = [logging.LogRecord("aiokafka", logging.ERROR, "", 0, "no node %s", (number,), None) for number in range(3)]
    ours = logging.LogRecord("rederive", logging.INFO, "", 0, "again", None, None)
    assert [seldom.filter(record) for record in (*said, ours, ours)] == [True, False, False, True, True]
    seldom._seconds = 0
    last = logging.LogRecord("aiokafka", logging.ERROR, "", 0, "no node %s", (3,), None)
    assert seldom.filter(last)
    assert last.getMessage() == "no node 3 (2 more like it before)"
