"""Whatever a record holds, its answer can be sent."""

import sys
from typing import Any

import pytest

from processors.engine import answer
from schemas.derived import decode_outcome
from schemas.lane import Lane, LaneName
from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.table import Column, Mode, Table
from schemas.unit import Origin
from schemas.wire import MAX_RECORD_BYTES, RawHeaders, encode_raw

LANE = Lane("betfair", LaneName.REPLAY)
ORIGIN = Origin(LANE.raw, 0, 5)


def _outcome(outcome: Outcome) -> Outcome:
    messages = answer(lambda _value, _columns: outcome, LANE, ORIGIN, b"1", b"{}", [])
    assert all(len(message.value) < MAX_RECORD_BYTES for message in messages)
    return decode_outcome(next(message.value for message in messages if message.topic == LANE.derived))


def test_a_text_that_quotes_a_payload_is_cut() -> None:
    found = _outcome(Outcome(read=2, skips=[RowProblem((1,), "odd", "x" * 9_000)], errors=[RowProblem((2,), "error")]))
    assert found.skips[0].text == "x" * 1_000 + "… (9,000 characters)"
    assert found.errors == [RowProblem((2,), "error")]


def test_an_outcome_that_fits_no_record_is_dead() -> None:
    problems = [RowProblem((number,), "error", "y" * 900) for number in range(20_000)]
    found = _outcome(Outcome(read=20_001, errors=problems))
    assert found.dead == "the outcome doesn't fit into a record: 0 skips, 20,000 errors"
    assert (found.read, found.errors) == (20_001, [])


def test_a_long_reason_is_cut() -> None:
    def fail(value: bytes, _columns: object) -> Outcome:
        raise ValueError(value.decode())

    (_, letter) = answer(fail, LANE, ORIGIN, None, b"z" * 5_000_000, [])
    assert letter.value == b"z" * 5_000_000
    assert len(dict(letter.headers)["rederive-failure"]) < 2_000


def test_a_row_without_a_key_is_named_by_where_its_record_stands() -> None:
    odd = Outcome(
        read=3, skips=[RowProblem((), "gone", "it")], errors=[RowProblem((None,), "error", "line 3: no JSON")]
    )
    found = _outcome(odd)
    assert found.skips == [RowProblem((str(ORIGIN),), "gone", "it")]
    assert found.errors == [RowProblem((str(ORIGIN),), "error", "line 3: no JSON")]


def test_formulas_that_would_end_the_process_end_their_unit_only() -> None:
    def leave(_value: bytes, _columns: object) -> Outcome:
        sys.exit("no licence")

    (derived, _) = answer(leave, LANE, ORIGIN, None, b"{}", [])
    assert decode_outcome(derived.value).dead == "SystemExit: no licence"


@pytest.mark.parametrize(("column", "value"), [("q", "1.10"), ("k", 2**70)])
def test_a_value_that_its_column_can_not_hold_is_no_bug(
    column: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table("t", (Column("k", "int8"),), (), (Column("q", "numeric"),), "seen", Mode.FILL)

    def process(_value: bytes, _columns: object) -> Outcome:
        return Outcome(read=1, tables=[TableRows.of(table, (column,), [[value]])])

    (derived, _) = answer(process, LANE, ORIGIN, None, b"{}", [])
    assert (decode_outcome(derived.value).dead or "").startswith(f"ValueError: {column}: ")
    assert [bool(record.exc_info) for record in caplog.records] == [False]


@pytest.mark.parametrize("read", [1, -1, None, 2.0, True])
def test_less_than_all_skips_and_errors_can_not_have_been_read(read: Any) -> None:
    outcome = Outcome(read, skips=[RowProblem((1,), "odd")], errors=[RowProblem((2,), "error")])
    headers = encode_raw(RawHeaders("betfair", rows=7))
    (derived, _) = answer(lambda *_: outcome, LANE, ORIGIN, None, b"{}", headers)
    assert decode_outcome(derived.value).dead == f"ValueError: its formulas say read={read!r} of 2 skips and errors"


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_what_is_not_the_fault_of_a_record_passes_through(error: type[BaseException]) -> None:
    def fail(_value: bytes, _columns: object) -> Outcome:
        raise error

    with pytest.raises(error):
        answer(fail, LANE, ORIGIN, None, b"{}", [])
