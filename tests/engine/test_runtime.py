"""What of faust's consumer is ours: nothing is committed behind a record not done, nothing that waits is dropped."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from intervaltree import IntervalTree  # type: ignore[import-untyped]

from processors.runtime import _Consumer, _FlowControl

TP = ("meters.log", 1)


def consumer(committed: int | None, done: Sequence[int] = ()) -> Any:
    made: Any = object.__new__(_Consumer)
    made._acked = defaultdict(list, {TP: list(done)})
    made._acked_index = defaultdict(set, {TP: set(done)})
    made._gap = defaultdict(IntervalTree)
    made._committed_offset = defaultdict(lambda: None, {TP: committed})
    made._stops = made._fetched = 0
    made._first, made._next = {}, {}
    return made


@pytest.mark.parametrize(
    ("committed", "done", "expected"),
    [
        (3, [3, 4], 5),
        (3, [4], None),
        (3, [4, 5], None),
        (3, [3, 5], 4),
        (3, [6], None),
        (None, [0, 1], 2),
        (3, [], None),
    ],
)
def test_what_is_committed(committed: int | None, done: list[int], expected: int | None) -> None:
    assert consumer(committed, done)._new_offset(TP) == expected


def read(made: Any, monkeypatch: pytest.MonkeyPatch, *offsets: int, stopped_after: int | None = None) -> list[int]:
    """The offsets that are read of those that were fetched."""

    async def fetched(_: object, __: float) -> Any:
        for offset in offsets:
            yield TP, SimpleNamespace(offset=offset)

    monkeypatch.setattr(_Consumer.__mro__[1], "getmany", fetched)

    async def taken() -> list[int]:
        found = []
        async for _, message in made.getmany(1.0):
            found.append(message.offset)
            if message.offset == stopped_after:
                made._stops += 1
        return found

    return asyncio.run(taken())


def test_offsets_without_a_record_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    made = consumer(3)
    assert read(made, monkeypatch, 5, 6, 9) == [5, 6, 9]
    made._acked[TP] = [5, 6]
    assert made._new_offset(TP) == 7
    made._committed_offset[TP] = 7
    made._acked[TP] = [9]
    assert made._new_offset(TP) == 10


def test_what_is_read_again_is_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    made = consumer(3)
    read(made, monkeypatch, 3, 4)
    read(made, monkeypatch, 3, 4, 5)
    made._acked[TP] = [4, 5]
    assert made._new_offset(TP) is None


def test_what_was_fetched_before_a_stop_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(consumer(3), monkeypatch, 3, 4, 5, stopped_after=4) == [3, 4]


def test_what_waits_is_not_dropped_when_an_open_gate_is_opened() -> None:
    class Queue(asyncio.Queue[int]):
        def clear(self) -> None:
            while not self.empty():
                self.get_nowait()

    async def waiting() -> list[int]:
        gate, queue = _FlowControl(), Queue()
        gate.manage_queue(cast("Any", queue))
        sizes = []
        for step in (gate.resume, gate.resume, gate.suspend, gate.resume):
            queue.put_nowait(1)
            step()
            sizes.append(queue.qsize())
        return sizes

    assert asyncio.run(waiting()) == [0, 1, 2, 0]


@pytest.mark.parametrize(("full", "longest"), [([TP], 0.1), ([], 1.0)])
def test_a_partition_that_waits_is_not_held_up_by_empty_ones(
    monkeypatch: pytest.MonkeyPatch, full: list[tuple[str, int]], longest: float
) -> None:
    made = consumer(3)
    made.flow_active, made._buffered_partitions = True, set(full)
    monkeypatch.setattr(_Consumer, "_get_active_partitions", lambda _: {("meters.log", 2)})

    async def waits(_: object, timeout: float) -> float:
        return timeout

    monkeypatch.setattr(_Consumer.__mro__[1], "_wait_next_records", waits)
    assert asyncio.run(made._wait_next_records(1.0)) <= longest
