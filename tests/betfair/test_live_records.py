"""What records live makes of snapshots."""

from datetime import UTC, datetime
from typing import Any

import orjson

from producers.betfair.live import values
from schemas.wire import CARGO_BYTES

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(snapshot_id: int, size: int = 0) -> tuple[Any, ...]:
    return snapshot_id, AT, "1.100", b'{"x":"' + b"x" * size + b'"}', 11, 22, 33


def test_snapshots_that_fit_are_one_record_of_all_that_were_asked_for() -> None:
    ((value, ids),) = values([1, 2, 3], [row(1), row(3)])
    assert ids == [1, 2, 3], "the one that is gone is counted"
    assert [orjson.loads(line)["snapshot_id"] for line in value.splitlines()] == [1, 3]


def test_one_that_is_too_large_is_named_even_where_another_is_gone() -> None:
    found = list(values([1, 2, 3], [row(2, CARGO_BYTES), row(3)]))
    assert [ids for _, ids in found] == [[2], [3]]
    refused, whole = (orjson.loads(value) for value, _ in found)
    assert refused["snapshot_id"] == 2
    assert "over the limit" in refused["refused"]
    assert (whole["snapshot_id"], whole["raw_payload"]) == (3, {"x": ""})
