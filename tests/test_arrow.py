"""Python values of every column type become Arrow arrays and come back the same; what isn't of the type is refused."""

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings

from schemas import arrow
from schemas.outcome import TableRows
from schemas.table import Column, Mode, Table
from tests.every_type import COLUMNS, EVERY, ROW, ROWS, told


@settings(deadline=None)
@given(ROWS)
def test_values_of_every_type_come_back(rows: list[tuple[Any, ...]]) -> None:
    back = TableRows.of(EVERY, COLUMNS, rows).rows()
    assert [list(map(told, row)) for row in back] == [list(map(told, row)) for row in rows]


@settings(deadline=None)
@given(ROWS, ROW)
def test_shared_columns_stand_in_every_row(rows: list[tuple[Any, ...]], common: tuple[Any, ...]) -> None:
    shared = dict(zip(COLUMNS[4:], common[4:], strict=True))
    block = TableRows.of(EVERY, COLUMNS[:4], [row[:4] for row in rows], shared=shared)
    assert block.columns == COLUMNS
    whole = TableRows(block.table, arrow.fitted(EVERY, block.batch))
    for read in (block, whole):
        assert [list(map(told, row)) for row in read.rows()] == [
            [*map(told, row[:4]), *map(told, shared.values())] for row in rows
        ]
    assert whole.batch.schema.types == [arrow.fields(EVERY)[name].type for name in COLUMNS]


WRONG = {
    "int4": [2**31, -(2**31) - 1, 1.5, 1.0, "1", True],
    "int8": [2**63, -(2**63) - 1, 1.5, "1", False, [1]],
    "float8": ["1.5", True, [1.5]],
    "numeric": ["1", True, None.__class__],
    "text": [1, 1.5, True, "\ud800", b"\xff"],
    "boolean": [1, 0, "true"],
    "timestamptz": ["2026-01-01T00:00:00", "x", 5, "2026-13-01T00:00:00Z"],
    "date": ["2026-01-01T00:00:00Z", "x", 5, "2026-02-30"],
    "time": ["25:00", "10:00Z", 5],
    "jsonb": [{1}, float],
}


@pytest.mark.parametrize(("type_", "value"), [(type_, value) for type_, values in WRONG.items() for value in values])
def test_what_is_no_value_of_the_type_is_refused_and_the_column_named(type_: str, value: object) -> None:
    table = Table("t", (Column("k", "int8"),), (), (Column("odd", type_),), "seen", Mode.FILL)
    with pytest.raises(ValueError, match="odd: "):
        TableRows.of(table, ("k", "odd"), [[1, None], [2, value]])


def test_objects_are_taken_for_their_texts() -> None:
    table = Table(
        "t", (Column("at", "timestamptz"),), (), (Column("d", "date"), Column("n", "numeric")), "seen", Mode.FILL
    )
    at = datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=2)))
    block = TableRows.of(table, ("at", "d", "n", "seen"), [[at, at.date(), Decimal("1.50"), "2026-01-02"]])
    assert block.rows() == [["2026-01-02T01:04:05.000006+00:00", "2026-01-02", 1.5, "2026-01-02T00:00:00+00:00"]]
    assert block.batch.column("n").to_pylist() == ["1.50"]


def test_a_text_is_no_number_whatever_it_says() -> None:
    table = Table("t", (Column("k", "text"),), (), (Column("q", "numeric"),), "seen", Mode.FILL)
    with pytest.raises(ValueError, match=r"^q: a str is no numeric$"):
        TableRows.of(table, ("k", "q"), [["a", "1.10"]])


def test_unknown_columns_and_short_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="every has no column nonsense"):
        TableRows.of(EVERY, ("k", "nonsense"), [[1, 2]])
    with pytest.raises(ValueError, match="a row of every has 1 values for 2 columns"):
        TableRows.of(EVERY, ("k", "c0"), [[1]])
    with pytest.raises(ValueError, match="columns of type polygon can't be derived"):
        arrow.plain("polygon")


NUMBERS = pa.array([1, None], pa.int64())


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (NUMBERS, [1, None]),
        (NUMBERS.cast(pa.uint8()), [1, None]),
        (NUMBERS.dictionary_encode(), [1, None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_batches_are_fitted_to_the_spec(given: pa.Array, wanted: list[int | None]) -> None:
    fitted = arrow.fitted(EVERY, pa.record_batch({"c1": given}))
    assert (fitted.schema.types, fitted.column(0).to_pylist()) == ([pa.int32()], wanted)


@pytest.mark.parametrize(
    "given",
    [
        {"c1": pa.array([2**31])},
        {"c1": pa.array([1.0])},
        {"c1": pa.array(["1"])},
        {"c7": pa.array([1])},
        {"c10": pa.array(["2026-01-01T00:00:00Z"])},
        {"c10": pa.array([1], pa.timestamp("us"))},
        {"nonsense": NUMBERS},
    ],
)
def test_batches_that_do_not_fit_are_refused(given: dict[str, pa.Array]) -> None:
    with pytest.raises(ValueError, match=r"column|truncated|bounds|range"):
        arrow.fitted(EVERY, pa.record_batch(given))


def test_json_stays_as_exact_as_its_text() -> None:
    (row,) = TableRows.of(EVERY, ("k", "c13"), [[1, {"a": [1.5, "é\u2028", None]}]]).rows()
    assert json.dumps(row[1]) == json.dumps({"a": [1.5, "é\u2028", None]})
