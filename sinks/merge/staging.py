"""Derived rows made ready for a merge: those that it needs, in key order, as binary COPY takes them. Pure."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas import arrow
from schemas.outcome import Key, TableRows
from schemas.table import Mode, Table
from sinks.encoding import encoded

# Fields that are no columns; no column is called so.
_SOURCE, _SEEN, _SHARED = "/source", "/observed", "/shared"

_Flags = NDArray[np.bool_]
_Numbers = NDArray[np.int64]


class Staged:
    """Rows of one table for a merge in a mode, of blocks that each have their unit's number in the batch.

    `copied` is the input of a binary COPY: key, source, observed, columns, whether the key is there more than once.
    `keys` is how many different keys are in it, `shared` whether any is there more than once. Repeats are left out, of
    which the first stays; where precedence decides, also rows that can say nothing: wherever they have a value, one of
    their key and source that was observed later has one, too. A row without any value is left out, unless the table
    takes bare rows, or with `clears`. A shadow keeps it, too: it may come to clear. ValueError when a block doesn't fit
    the table.
    """

    def __init__(
        self, table: Table, blocks: Sequence[tuple[int, TableRows]], mode: Mode, *, clears: bool = False
    ) -> None:
        self.table = table
        bare = table.bare or clears or mode is Mode.SHADOW
        found = [_telling(table, *alike, bare=bare) for alike in _together(blocks)]
        pieces = [(piece, units) for piece, units in found if piece.num_rows]
        self.copied: Sequence[bytes] = ()
        self.keys = 0
        self.shared = False
        if not pieces:
            return
        rows = pa.concat_tables([pa.Table.from_batches([piece]) for piece, _ in pieces], promote_options="default")
        given = np.concatenate([units for _, units in pieces])
        names = [column.name for column in table.key]
        order = _numbers(pc.sort_indices(rows.select(names), sort_keys=[(name, "ascending") for name in names]))
        rows = rows.take(pa.array(order)).combine_chunks()
        first = _changes(rows.select(names))
        groups = np.cumsum(first) - 1
        self.keys = int(groups[-1]) + 1
        self._keys = rows.select(names).filter(pa.array(first))
        # The sort is stable: the last of a key is the row that came last.
        self._units = given[order[np.flatnonzero(np.append(first[1:], True))]]
        if self.keys < rows.num_rows:
            needed = _needed(table, rows, groups, order, mode)
            rows, groups = rows.filter(pa.array(needed)), groups[needed]
        shared = np.bincount(groups)[groups] > 1
        self.shared = bool(shared.any())
        self.copied = encoded(_ordered(table, rows, shared))

    def __bool__(self) -> bool:
        return bool(self.copied)

    def units(self, changed: Collection[Key]) -> Counter[int]:
        """To how many of the keys, as the database returns them, each unit has brought a row."""
        if len(changed) == self.keys:
            return Counter(self._units.tolist())
        if not changed:
            return Counter()
        return Counter(map(self._unit_of.__getitem__, changed))

    @cached_property
    def _unit_of(self) -> dict[Key, int]:
        keys = zip(*(column.to_pylist() for column in self._keys.columns), strict=True)
        return dict(zip(keys, self._units.tolist(), strict=True))


def _together(blocks: Sequence[tuple[int, TableRows]]) -> Iterator[tuple[TableRows, _Numbers]]:
    """Neighbours that have the same columns and source as one block, with the unit of each row.

    What live brings are many blocks of a row or two: a look at each column of each would take longer than all else.
    """
    alike: list[tuple[int, TableRows]] = []
    for unit, block in blocks:
        if alike and not _are_alike(alike[0][1], block):
            yield _one(alike)
            alike = []
        alike.append((unit, block))
    if alike:
        yield _one(alike)


def _are_alike(one: TableRows, other: TableRows) -> bool:
    return one.source == other.source and one.batch.schema.equals(other.batch.schema, check_metadata=True)


def _one(alike: Sequence[tuple[int, TableRows]]) -> tuple[TableRows, _Numbers]:
    units = np.repeat([unit for unit, _ in alike], [len(block) for _, block in alike])
    first = alike[0][1]
    if len(alike) == 1:
        return first, units
    rows = pa.Table.from_batches([block.batch for _, block in alike])
    # Blocks have dictionaries of their own.
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in rows.columns
    ]
    fields = [field.with_type(column.type) for field, column in zip(rows.schema, columns, strict=True)]
    arrays = [column.combine_chunks() for column in columns]
    return replace(first, batch=pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))), units


def _telling(table: Table, block: TableRows, units: _Numbers, *, bare: bool) -> tuple[pa.RecordBatch, _Numbers]:
    """The rows of a block that say anything, with their source and observation, and their units."""
    rows = arrow.fitted(table, block.batch)
    if table.observed not in rows.schema.names:
        raise ValueError(f"rows of {table.name} have no {table.observed}")
    seen = rows.column(table.observed).cast(arrow.TIMESTAMP)
    if seen.null_count:
        raise ValueError(f"a row of {table.name} has no {table.observed}")
    source = pa.repeat(pa.scalar(block.source, pa.int16()), rows.num_rows)
    whole = rows.append_column(_SOURCE, source).append_column(_SEEN, seen)
    if bare:
        return whole, units
    values = {column.name for column in table.values}
    said = np.zeros(rows.num_rows, np.bool_)
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        if name in values:
            said |= _flags(column.is_valid())
            if said.all():
                return whole, units
    return whole.filter(pa.array(said)), units[said]


def _needed(table: Table, rows: pa.Table, groups: _Numbers, order: _Numbers, mode: Mode) -> _Flags:
    """Which rows a merge needs, of rows in the order of their keys; `order` says which came earlier."""
    among = np.flatnonzero(np.bincount(groups)[groups] > 1)
    source = _numbers(rows.column(_SOURCE).take(pa.array(among)))
    seen = _numbers(rows.column(_SEEN).take(pa.array(among)).cast(pa.int64()))
    # By key and source, the last observed first; of one observation that which came first.
    by = np.lexsort((order[among], -seen, source, groups[among]))
    among, source, seen = among[by], source[by], seen[by]
    lists = _starts(groups[among], source)
    if mode is not Mode.FILL:
        kept = _uncovered(table, rows.take(pa.array(among)), seen, lists)
    else:
        kept = lists | _starts(seen)
    needed = np.ones(rows.num_rows, np.bool_)
    needed[among] = kept
    return needed


def _uncovered(table: Table, rows: pa.Table, seen: _Numbers, lists: _Flags) -> _Flags:
    """Which rows of a list say something that none kept before them says, of another observation than theirs.

    `lists` marks where a list begins, `seen` are the observations.
    """
    names = [column.name for column in table.columns if column.name in rows.schema.names]
    said = np.column_stack([_flags(rows.column(name).is_valid()) for name in names]) if names else _nothing(rows)
    covering = said.copy()
    for group in table.groups:
        of = [names.index(name) for name in group if name in names]
        covering[:, of] |= said[:, of].any(axis=1, keepdims=True)
    starts = np.flatnonzero(lists)[np.cumsum(lists) - 1]
    place = np.arange(len(lists)) - starts
    kept = np.ones(len(lists), np.bool_)
    # Row after row of all lists at once: the first covers nearly all that follow.
    above = 0
    while len(left := np.flatnonzero(kept & (place > above))):
        upper = starts[left] + above
        covered = ~(said[left] & ~covering[upper]).any(axis=1) | (seen[left] == seen[upper])
        kept[left[covered & kept[upper]]] = False
        above += 1
    return kept


def _nothing(rows: pa.Table) -> _Flags:
    return np.zeros((rows.num_rows, 0), np.bool_)


def _ordered(table: Table, rows: pa.Table, shared: _Flags) -> pa.RecordBatch:
    """The rows with all fields of the stage in its order; what is absent is NULL there."""
    fields = arrow.fields(table)
    columns = [fields[column.name] for column in table.columns]
    wanted = [fields[column.name] for column in table.key]
    wanted += [rows.schema.field(_SOURCE), rows.schema.field(_SEEN), *columns]
    given = set(rows.schema.names)
    arrays = [
        rows.column(field.name).combine_chunks() if field.name in given else pa.nulls(rows.num_rows, field.type)
        for field in wanted
    ]
    schema = pa.schema([*wanted, pa.field(_SHARED, pa.bool_())])
    return pa.RecordBatch.from_arrays([*arrays, pa.array(shared)], schema=schema)


def _changes(rows: pa.Table) -> _Flags:
    """Where a row differs from the one before it in any column; the first does."""
    found = np.ones(rows.num_rows, np.bool_)
    found[1:] = False
    for column in rows.columns:
        values = column.combine_chunks()
        found[1:] |= _flags(pc.fill_null(pc.not_equal(values[1:], values[:-1]), True))
    return found


def _starts(*columns: _Numbers) -> _Flags:
    """Where a row differs from the one before it, of columns without gaps; the first does."""
    found = np.ones(len(columns[0]), np.bool_)
    found[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return found


def _numbers(values: Any) -> _Numbers:  # noqa: ANN401 - an array or a chunked one
    return np.asarray(values.to_numpy(), np.int64)


def _flags(values: Any) -> _Flags:  # noqa: ANN401
    if isinstance(values, pa.ChunkedArray):
        return np.asarray(values.to_numpy())
    return np.asarray(values.to_numpy(zero_copy_only=False))
