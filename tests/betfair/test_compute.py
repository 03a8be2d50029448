import json
import os
import subprocess
import sys
from typing import Any

import pytest

from processors.betfair.line import compute_line
from schemas.betfair.tables import METRICS
from tests.betfair.books import line
from tests.betfair.test_examples import E1, figures

COMMAND = [sys.executable, "-m", "rederive", "compute", "betfair"]


def run(text: bytes) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(COMMAND, input=text, capture_output=True, timeout=60, check=False)
    # Each error on stderr too, by its line.
    assert done.stderr.count(b"[ERROR] line ") == len(done.stderr.splitlines())
    assert (done.stderr == b"") == (done.returncode == 0)
    return done.returncode, [json.loads(answer) for answer in done.stdout.splitlines()]


def test_one_answer_a_line_in_order() -> None:
    code, answers = run(line(E1, snapshot_id=1) + b"\n\n" + line({}, snapshot_id=2) + b"\n" + line(E1, snapshot_id=3))
    assert code == 0
    assert answers == [
        {"snapshot_id": 1, "skip": None, "error": None, "metrics": figures(E1)},
        {"snapshot_id": 2, "skip": "no_payload", "error": None, "metrics": {}},
        {"snapshot_id": 3, "skip": None, "error": None, "metrics": figures(E1)},
    ]
    assert tuple(answers[0]["metrics"]) == METRICS


def test_a_broken_line_does_not_stop_it_and_shows_in_the_exit_code() -> None:
    code, answers = run(b"{oops\n" + line(E1) + b"\n\xff\n" + line(5) + b"\n" + b"[" * 100_000)
    assert code == 1
    assert [answer["snapshot_id"] for answer in answers] == [None, 7, None, 7, None]
    assert [answer["error"] is None for answer in answers] == [False, True, False, False, False]
    assert answers[0]["error"].startswith("not JSON: ")
    assert answers[4]["error"] == "nested too deeply to be read"


def test_nothing_in_nothing_out() -> None:
    assert run(b"") == (0, [])


def test_each_answer_comes_at_once() -> None:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in (1, 2):
            process.stdin.write(line(E1, snapshot_id=number) + b"\n")
            process.stdin.flush()
            # The input stays open: without flushing this would wait for ever.
            assert json.loads(process.stdout.readline())["snapshot_id"] == number
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(COMMAND, input=line(E1), stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"snapshot_id": "7"}, "snapshot_id: Input should be a valid integer"),
        ({"snapshot_at": "2026-02-06"}, "snapshot_at is '2026-02-06', without an offset"),
        ({"snapshot_at": 1770000000}, "snapshot_at is 1770000000, not ISO 8601 text with an offset"),
        ({"market_id": None}, "market_id: Input should be a valid string"),
        ({"selection_ids": {"home": "11"}}, "selection_ids.home: Input should be a valid integer"),
        ({"selection_ids": {"hone": 11}}, "selection_ids.hone: Extra inputs are not permitted"),
        ({"market_id": "\ud800", "snapshot_id": None}, "snapshot_id: Input should be a valid integer"),
    ],
)
def test_what_is_wrong_is_said_by_field(change: dict[str, Any], said: str) -> None:
    row = json.loads(line(E1)) | change
    answer = json.loads(compute_line(json.dumps(row).encode()))
    assert said in answer["error"]
    readable = row["snapshot_id"] if isinstance(row["snapshot_id"], int) else None
    assert (answer["snapshot_id"], answer["skip"], answer["metrics"]) == (readable, None, {})


def test_a_line_that_is_no_object_is_said_to_be_none() -> None:
    assert json.loads(compute_line(b"[1]"))["error"] == "not a JSON object"


@pytest.mark.parametrize(
    ("given", "snapshot_id"),
    [(b'{"snapshot_id": 2}', 2), (b'{"snapshot_id": true}', None), (b"[1]", None), (b"{", None), (b"\xff", None)],
)
def test_an_error_names_its_snapshot_where_the_line_does(given: bytes, snapshot_id: int | None) -> None:
    answer = json.loads(compute_line(given))
    assert answer["error"]
    assert answer["snapshot_id"] == snapshot_id
