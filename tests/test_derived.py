"""An outcome is read from its record as it was written; anything else is refused with a reason."""

from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.engine import answer
from schemas import arrow
from schemas.derived import PART_BYTES, decode_outcome, encode_outcome, joined, parts
from schemas.lane import Lane, LaneName
from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.table import Column, Mode, Table
from schemas.unit import Origin
from tests.every_type import COLUMNS, EVERY, ROW, ROWS, TEXTS, told

VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS
PROBLEMS = st.lists(st.builds(RowProblem, st.lists(VALUES, max_size=3).map(tuple), TEXTS, TEXTS), max_size=3)


def block(rows: list[tuple[Any, ...]], common: tuple[Any, ...], own: int, source: int) -> TableRows:
    shared = dict(zip(COLUMNS[own:], common[own:], strict=True))
    return TableRows.of(EVERY, COLUMNS[:own], [row[:own] for row in rows], source, shared)


BLOCKS = st.builds(block, ROWS, ROW, st.integers(0, len(COLUMNS)), st.integers(0, 5))
OUTCOMES = st.builds(
    Outcome, st.integers(0, 2**31), st.lists(BLOCKS, max_size=2), PROBLEMS, PROBLEMS, st.none() | TEXTS
)
TEXT_ROWS = Table("t", (Column("k", "int8"),), (Column("w", "date"),), (Column("v", "text"),), "w", Mode.FILL)


def said(outcome: Outcome) -> tuple[object, ...]:
    """An outcome such that NaN equals NaN."""
    tables = [
        (each.table, each.source, each.batch.schema, [list(map(told, row)) for row in each.rows()])
        for each in outcome.tables
    ]
    return tables, outcome.read, outcome.skips, outcome.errors, outcome.dead


@settings(deadline=None)
@given(OUTCOMES)
def test_outcomes_come_back(outcome: Outcome) -> None:
    assert said(decode_outcome(encode_outcome(outcome))) == said(outcome)


def refused(read: Callable[[], object]) -> str:
    """Why it is refused; empty when it is read."""
    try:
        read()
    except ValueError as error:
        return str(error) or "without a reason"
    return ""


@settings(deadline=None)
@given(st.binary(max_size=40) | st.dictionaries(TEXTS, VALUES).map(orjson.dumps))
def test_odd_values_are_refused_with_a_reason(value: bytes) -> None:
    with pytest.raises(ValueError, match="the value is no outcome"):
        decode_outcome(value)
    with pytest.raises(ValueError, match="the value is no outcome"):
        decode_outcome(value + b"\n")


FIELDS = st.sampled_from(["read", "tables", "skips", "errors", "dead"])


@settings(deadline=None)
@given(FIELDS, st.integers(1, 3) | st.just("x") | st.just([1]) | st.just([{}]))
def test_a_line_with_one_odd_field_is_refused_or_means_the_same(field: str, odd: object) -> None:
    line = orjson.dumps(orjson.loads(encode_outcome(Outcome(read=3))) | {field: odd}) + b"\n"
    why = refused(lambda: decode_outcome(line))
    assert "the value is no outcome" in why if why else getattr(decode_outcome(line), field) == odd


WHOLE = encode_outcome(
    Outcome(read=3, tables=[TableRows.of(TEXT_ROWS, ("k", "v"), [[1, "a"], [2, None], [3, "é"]], shared={"w": None})])
)


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_byte_that_is_another_is_refused_or_leaves_rows_that_can_be_read(at: int, change: int) -> None:
    changed = bytearray(WHOLE)
    changed[at] ^= change
    if why := refused(lambda: decode_outcome(bytes(changed))):
        assert "the value is no outcome" in why
        return
    for each in decode_outcome(bytes(changed)).tables:
        # What reads them asks first whether they fit their table.
        if not refused(lambda batch=each.batch: arrow.fitted(TEXT_ROWS, batch)):  # type: ignore[misc]
            assert len(each.rows()) == len(each) == 3


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_too_little_and_too_much_are_refused(left: int, more: bytes) -> None:
    assert "the value is no outcome" in refused(lambda: decode_outcome(WHOLE[:left]))
    assert "the value is no outcome" in refused(lambda: decode_outcome(WHOLE + more))


def test_arrow_begins_at_a_multiple_of_eight() -> None:
    for dead in ("", "x", "xx", "xxxxxxx"):
        value = encode_outcome(Outcome(tables=[TableRows.of(TEXT_ROWS, ("k",), [[1]])], dead=dead))
        begins = value.index(b"\n") + 1
        assert begins % 8 == 0
        assert pa.ipc.open_stream(value[begins:]).read_all().to_pydict() == {"k": [1]}, "anybody can read it"


def test_a_large_outcome_goes_in_parts_and_comes_back_whole() -> None:
    rows = [[number, "x" * 1000] for number in range(5 * PART_BYTES // 2000)]
    table = TableRows.of(TEXT_ROWS, ("k", "v"), rows, 1, {"w": "2025-12-26"})
    whole = Outcome(len(rows) + 1, [table], [RowProblem((7,), "no_payload")])
    pieces = parts(whole)
    assert len(pieces) > 2
    back = joined(pieces)
    assert [row for each in back.tables for row in each.rows()] == table.rows()
    assert {(each.table, each.source) for each in back.tables} == {("t", 1)}
    assert (back.read, back.skips) == (whole.read, whole.skips)


def test_what_all_rows_share_is_written_once_a_part() -> None:
    shared = {"w": "2025-12-26"}
    rows = [[number, "x" * 1000] for number in range(2 * PART_BYTES // 1000)]
    large = Outcome(read=len(rows), tables=[TableRows.of(TEXT_ROWS, ("k", "v"), rows, shared=shared)])
    messages = answer(lambda _, __: large, Lane("finra", LaneName.LOG), Origin("finra.log", 0, 0), None, b"", None)
    blocks = [each for message in messages for each in decode_outcome(message.value).tables]
    assert len(blocks) > 1
    assert [row for each in blocks for row in each.rows()] == [[*row, "2025-12-26"] for row in rows]
    long = "y" * 500
    one = TableRows.of(TEXT_ROWS, ("k",), [[number] for number in range(1000)], shared={"v": long})
    assert encode_outcome(Outcome(tables=[one])).count(long.encode()) == 1
