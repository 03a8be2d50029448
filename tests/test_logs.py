"""Logs as `rederive logs` follows them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rederive import logs
from schemas.errors import Failed


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
