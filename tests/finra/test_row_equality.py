from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest

from schemas.finra.row_equality import rows_equal_deterministic


@dataclass
class Row:
    symbol: str
    volume: int | None
    capture_id: str = "x"


OLD: dict[str, Any] = {
    "id": 1,
    "symbol": "AABB",
    "week": date(2025, 12, 26),
    "share": 0.5,
    "calculated_at": datetime(2026, 1, 1, tzinfo=UTC),
    "capture_id": "a",
    "captured_at": datetime(2026, 1, 1, tzinfo=UTC),
    "execution_id": None,
    "batch_id": "b",
    "input_min_capture_id": "z",
}
NEW = {**OLD, "id": 2, "calculated_at": None, "capture_id": "b", "captured_at": None, "input_min_capture_id": "y"}


def test_another_capture_of_the_same_rows_is_equal() -> None:
    assert rows_equal_deterministic([OLD], [NEW])
    assert not rows_equal_deterministic([OLD], [NEW], ignore_capture=False)
    assert rows_equal_deterministic([OLD], [{**OLD, "id": 9}], ignore_capture=False)
    assert not rows_equal_deterministic([OLD], [{**NEW, "share": 0.6}])


def test_order_does_not_matter_and_repetition_does() -> None:
    a, b = {"symbol": "A", "volume": None}, {"symbol": "B", "volume": 1}
    assert rows_equal_deterministic([a, b], [b, a])
    assert not rows_equal_deterministic([a, a, b], [a, b, b])
    assert not rows_equal_deterministic([a], [a, a])


def test_nulls_dates_numbers_and_texts_may_meet_in_a_column() -> None:
    rows = [{"value": value} for value in (None, 1, "1", date(2025, 1, 1), float("nan"), [1, {"a": None}])]
    assert rows_equal_deterministic(rows, [dict(row) for row in reversed(rows)])
    assert not rows_equal_deterministic([{"value": None}], [{"value": 0}])


def test_dataclasses_are_rows_too() -> None:
    assert rows_equal_deterministic([Row("A", None)], [{"symbol": "A", "volume": None, "capture_id": "y"}])
    assert not rows_equal_deterministic([Row("A", None)], [Row("A", 1)])


def test_what_is_no_row_is_refused() -> None:
    with pytest.raises(TypeError, match="a row is a mapping or a dataclass, not int"):
        rows_equal_deterministic([1], [])
