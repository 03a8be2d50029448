"""The files of a backfill are reports: whatever becomes of them, the run goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import psycopg
import pytest

from rederive.racing.journal import ERRORS, Journal
from schemas.capture import Progress
from schemas.errors import Failed

COMPLETE = Progress(1, 1, 0, 0, 0, 0, 0, 0, 0)


@contextmanager
def _away() -> Iterator[psycopg.Connection]:
    raise Failed("no connection to the database")
    yield


def _errors(home: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = orjson.loads((home / "logs" / ERRORS).read_bytes())
    return found


def test_a_database_that_is_away_costs_the_report_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path, _away, "racing-20261121-1")
    journal(COMPLETE)
    journal(COMPLETE)
    assert [record.message for record in caplog.records] == [
        "the backfill's files are not up to date: no connection to the database"
    ]
    journal.end(Failed("it is over"))
    (entry,) = _errors(tmp_path)
    assert (entry["kind"], entry["error"], entry["capture_id"]) == ("critical", "it is over", "racing-20261121-1")


@pytest.mark.parametrize("found", [b"", b"[{", b"7", b'{"a": 1}', b"[1, null]"])
def test_a_list_of_errors_that_somebody_has_spoilt_is_a_list_again(tmp_path: Path, found: bytes) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / ERRORS).write_bytes(found)
    Journal(tmp_path, _away, "racing-20261121-1").end(Failed("it is over"))
    assert _errors(tmp_path)[-1]["error"] == "it is over"


def test_an_interrupt_is_no_error(tmp_path: Path) -> None:
    Journal(tmp_path, _away, "racing-20261121-1").end(KeyboardInterrupt())
    assert not (tmp_path / "logs" / ERRORS).exists()


def test_the_same_failure_is_told_once_however_often_the_run_is_resumed(tmp_path: Path) -> None:
    for _ in range(2):
        Journal(tmp_path, _away, "racing-20261121-1").end(Failed("it is over"))
    Journal(tmp_path, _away, "racing-20261121-2").end(Failed("it is over"))
    assert [entry["capture_id"] for entry in _errors(tmp_path)] == ["racing-20261121-1", "racing-20261121-2"]


def test_a_folder_that_takes_no_file_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / "logs").write_bytes(b"")
    Journal(tmp_path, _away, "racing-20261121-1").end(Failed("it is over"))
