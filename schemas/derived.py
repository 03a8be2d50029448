"""The value of a derived record: an outcome as one line of JSON and an Arrow IPC stream per table (docs/records.md).

The line ends in spaces so that what follows begins at a multiple of 8. Decoding gives back what was encoded; anything
else is refused by ValueError with a reason.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pyarrow as pa

from schemas.outcome import Outcome, RowProblem, TableRows

PART_BYTES = 1024 * 1024
"""A larger outcome goes in parts, merged with the last."""

_ALIGNMENT = 8
_NOT_OURS = (KeyError, TypeError, AttributeError, ValueError, OSError, StopIteration, pa.ArrowException)
"""What reading raises where the value is no outcome."""


def encode_outcome(outcome: Outcome) -> bytes:
    """As the value of a derived record. TypeError when a problem's key holds what JSON has no word for."""
    streams = [_stream(block.batch) for block in outcome.tables]
    line = orjson.dumps(
        {
            "read": outcome.read,
            "tables": [
                {"table": block.table, "source": block.source, "rows": len(block), "bytes": stream.size}
                for block, stream in zip(outcome.tables, streams, strict=True)
            ],
            "skips": [(p.key, p.reason, p.text) for p in outcome.skips],
            "errors": [(p.key, p.reason, p.text) for p in outcome.errors],
            "dead": outcome.dead,
        }
    )
    return b"".join([line, b" " * (-(len(line) + 1) % _ALIGNMENT), b"\n", *streams])


def decode_outcome(value: bytes) -> Outcome:
    """From a derived record's value; rows are not copied. Whoever writes them looks whether they fit their table."""
    try:
        end = value.index(b"\n") + 1
        body = orjson.loads(value[:end])
        return Outcome(
            read=_is(int, body["read"]),
            tables=_tables(_is(list, body["tables"]), pa.py_buffer(value), end),
            skips=_problems(body["skips"]),
            errors=_problems(body["errors"]),
            dead=None if body["dead"] is None else _is(str, body["dead"]),
        )
    except _NOT_OURS as error:
        raise ValueError(f"the value is no outcome: {type(error).__name__}: {error}") from None


def parts(outcome: Outcome) -> list[bytes]:
    """The encoded outcome, in parts when it is large; all but rows stand in the last part."""
    whole = encode_outcome(outcome)
    if len(whole) <= PART_BYTES:
        return [whole]
    pieces: list[TableRows] = []
    for block in outcome.tables:
        size = max(1, len(block) * PART_BYTES // len(whole))
        pieces += [replace(block, batch=block.batch.slice(at, size)) for at in range(0, len(block), size)]
    last = replace(outcome, tables=[])
    return [*(encode_outcome(Outcome(tables=[piece])) for piece in pieces), encode_outcome(last)]


def joined(pieces: Iterable[bytes]) -> Outcome:
    """The outcome of which these are all parts, in order."""
    decoded = [decode_outcome(piece) for piece in pieces]
    return replace(decoded[-1], tables=[block for piece in decoded for block in piece.tables])


def _stream(rows: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    return sink.getvalue()


def _tables(said: Sequence[dict[str, Any]], value: pa.Buffer, at: int) -> list[TableRows]:
    found = []
    for table in said:
        size = _is(int, table["bytes"])
        if not 0 <= size <= value.size - at:
            raise ValueError(f"a table of {size} bytes, {value.size - at} are left")
        rows = _rows(value.slice(at, size))
        if rows.num_rows != table["rows"]:
            raise ValueError(f"a table of {table['rows']} rows has {rows.num_rows}")
        found.append(TableRows(_is(str, table["table"]), rows, _is(int, table["source"])))
        at += size
    if at != value.size:
        raise ValueError(f"{value.size - at} bytes belong to no table")
    return found


def _rows(stream: pa.Buffer) -> pa.RecordBatch:
    """The one batch of a stream, looked through: bytes from elsewhere must not send a reader beyond them."""
    with pa.ipc.open_stream(stream) as reader:
        rows = reader.read_next_batch()
        if next(iter(reader), None) is not None:
            raise ValueError("a table has more than one batch")
    rows.validate(full=True)
    # Names that are no UTF-8 are refused here.
    _ = rows.schema.names
    return rows


def _problems(said: list[Any]) -> list[RowProblem]:
    return [RowProblem(tuple(_is(list, key)), _is(str, reason), _is(str, text)) for key, reason, text in said]


def _is(kind: type, value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if type(value) is not kind:
        raise TypeError(f"{value!r:.60} is no {kind.__name__}")
    return value
