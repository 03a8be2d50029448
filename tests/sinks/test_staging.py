"""What is staged of a batch, against the same said row by row; and how many keys each unit has brought."""

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.outcome import TableRows
from schemas.table import Mode, Table
from sinks.merge.staging import Staged
from tests.sinks.made_tables import MODES, THREE_SOURCES, TWO_SOURCES

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
NAMES = {table.name: tuple(column.name for column in table.values) for table in (TWO_SOURCES, THREE_SOURCES)}


class Given(NamedTuple):
    """A row as a unit gives it; `seen` counts seconds."""

    unit: int
    key: int
    source: int
    seen: int
    values: tuple[float | None, ...]


def blocks(table: Table, rows: Sequence[Given]) -> list[tuple[int, TableRows]]:
    columns = ("k", "seen", *NAMES[table.name])
    return [
        (
            row.unit,
            TableRows.of(table, columns, [[row.key, EPOCH + timedelta(seconds=row.seen), *row.values]], row.source),
        )
        for row in rows
    ]


def needed(table: Table, rows: Sequence[Given], mode: Mode) -> list[Given]:
    """Of rows with the same key, source and observation the first; of others those that say what no later one says."""
    names = NAMES[table.name]
    kept: list[Given] = []
    for row in sorted(rows, key=lambda row: -row.seen) if mode is Mode.SUPERSEDE else rows:
        own = [one for one in kept if (one.key, one.source) == (row.key, row.source)]
        covered = mode is Mode.SUPERSEDE and any(_covers(table, names, one.values, row.values) for one in own)
        if not covered and row.seen not in [one.seen for one in own]:
            kept.append(row)
    return kept


def _covers(table: Table, names: Sequence[str], upper: Sequence[Any], lower: Sequence[Any]) -> bool:
    said = {name for name, value in zip(names, upper, strict=True) if value is not None}
    said |= {name for group in table.groups if said.intersection(group) for name in group}
    return {name for name, value in zip(names, lower, strict=True) if value is not None} <= said


def copied(table: Table, sent: bytes) -> Iterator[tuple[Given, bool]]:
    """The rows of a binary COPY, and whether their key is there more than once."""
    at = 19
    while (count := struct.unpack_from("!h", sent, at)[0]) >= 0:
        at += 2
        fields: list[bytes | None] = []
        for _ in range(count):
            (size,) = struct.unpack_from("!i", sent, at)
            fields.append(sent[at + 4 : at + 4 + size] if size >= 0 else None)
            at += 4 + max(size, 0)
        key, source, seen, *values, shared = fields
        assert key is not None
        assert source is not None
        assert seen is not None
        figures = tuple(None if value is None else struct.unpack("!d", value)[0] for value in values[-5:])
        assert len(values) == len(table.columns)
        assert len(figures) == len(NAMES[table.name])
        seconds = int.from_bytes(seen, signed=True) // 1_000_000
        found = Given(0, int.from_bytes(key, signed=True), int.from_bytes(source), seconds, figures)
        yield found, shared == b"\1"


VALUES = st.tuples(*[st.sampled_from([None, None, 1.0, 2.0])] * 5)
ROWS = st.lists(st.builds(Given, st.integers(0, 3), st.integers(0, 3), st.integers(0, 1), st.integers(0, 4), VALUES))


@settings(deadline=None)
@given(st.sampled_from([TWO_SOURCES, THREE_SOURCES]), ROWS, st.sampled_from(MODES))
@example(
    TWO_SOURCES,
    [Given(n, 1, 1, 9 - n, (None, *[1.0] * (n % 4 + 1), *[None] * (3 - n % 4))) for n in range(8)],
    Mode.SUPERSEDE,
)
def test_what_is_staged_is_what_a_merge_needs(table: Table, rows: list[Given], mode: Mode) -> None:
    staged = Staged(table, blocks(table, rows), mode)
    told = [row for row in rows if table.bare or any(value is not None for value in row.values)]
    assert bool(staged) == bool(told)
    if not told:
        return
    expected = needed(table, told, mode)
    keys = Counter(row.key for row in expected)
    found = list(copied(table, b"".join(staged.copied)))
    assert [row.key for row, _ in found] == sorted(row.key for row in expected)
    assert Counter(found) == Counter((row._replace(unit=0), keys[row.key] > 1) for row in expected)
    assert staged.keys == len(keys)
    # A key counts for the unit that has brought it last.
    unit_of = {row.key: row.unit for row in told}
    some = [(key,) for key in sorted(unit_of)[1:]]
    assert staged.units([(key,) for key in unit_of]) == Counter(unit_of.values())
    assert staged.units(some) == Counter(unit_of[key] for (key,) in some)


def test_blocks_of_one_row_are_staged_as_one_block_of_many() -> None:
    # Each has a dictionary of its own; together they have more values than an index of one has room for.
    seen = [(EPOCH + timedelta(seconds=n)).isoformat() for n in range(300)]
    ones = [
        (n, TableRows.of(TWO_SOURCES, ("k", "ca"), [[n, 1.0 if n % 2 else None]], shared={"seen": seen[n]}))
        for n in range(300)
    ]
    rows = [[n, 1.0 if n % 2 else None, seen[n]] for n in range(300)]
    together = Staged(TWO_SOURCES, [(0, TableRows.of(TWO_SOURCES, ("k", "ca", "seen"), rows))], Mode.FILL)
    staged = Staged(TWO_SOURCES, ones, Mode.FILL)
    assert b"".join(staged.copied) == b"".join(together.copied)
    assert staged.units([(1,), (299,)]) == Counter({1: 1, 299: 1})
    assert not staged.shared
