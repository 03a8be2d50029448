"""Arrow record batches in binary COPY, value by value: what `encoding.py` falls back on where pgpq has no wheel."""

import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from schemas.arrow import postgres_of

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
# Postgres counts from the first day of 2000.
_DAYS, _MICROSECONDS = 10_957, 946_684_800_000_000


def _packed(form: str, since: int = 0) -> Callable[[Any], bytes]:
    whole = struct.Struct(f">i{form}")
    size = whole.size - 4
    return lambda value: whole.pack(size, value - since) if since else whole.pack(size, value)


def _framed(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "int2": _packed("h"),
    "int4": _packed("i"),
    "int8": _packed("q"),
    "float8": _packed("d"),
    "boolean": _packed("?"),
    "text": lambda value: _framed(value.encode()),
    "jsonb": lambda value: _framed(b"\x01" + value.encode()),
    "numeric": _framed,
    "timestamptz": _packed("q", _MICROSECONDS),
    "date": _packed("i", _DAYS),
    "time": _packed("q"),
}
_COUNTED = {"timestamptz": pa.int64(), "date": pa.int32(), "time": pa.int64()}


def encoded_plainly(rows: pa.RecordBatch) -> list[bytes]:
    """The input of a binary COPY, in the order of the batch's columns; numbers of numeric columns as sent."""
    start = struct.pack(">h", rows.num_columns)
    columns = [_fields(field, column) for field, column in zip(rows.schema, rows.columns, strict=True)]
    return [_HEADER, b"".join(start + b"".join(row) for row in zip(*columns, strict=True)), _END]


def _fields(of: pa.Field, column: pa.Array) -> list[bytes]:
    name = postgres_of(of)
    write = _WRITERS[name]
    counted = column.cast(_COUNTED[name]) if name in _COUNTED else column
    return [_NULL if value is None else write(value) for value in counted.to_pylist()]
