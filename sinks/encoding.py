"""Arrow record batches as Postgres takes them in binary COPY.

Columns have the types of schemas/arrow.py. pgpq encodes all but numeric, which Arrow holds as text: each different
number is encoded once. Where pgpq has no wheel (Linux on ARM), and of a few rows, values are encoded one by one, to the
same bytes.
"""

from decimal import Decimal, InvalidOperation
from functools import lru_cache

import pyarrow as pa
from psycopg.types.numeric import DecimalBinaryDumper

from schemas.arrow import postgres_of
from sinks.plain_encoding import encoded_plainly

try:
    import pgpq
    from pgpq.encoders import StringEncoderBuilder
    from pgpq.schema import Jsonb

    HAS_PGPQ = True
except ImportError:
    HAS_PGPQ = False

_KEPT_NUMBERS = 50_000
_FEW_ROWS = 64


def encoded(rows: pa.RecordBatch) -> list[bytes]:
    """The input of a binary COPY in pieces, in the order of the batch's columns. ValueError: a value has none."""
    sent = _with_numbers_sent(rows)
    # An encoder takes longer to make than a few rows take without it.
    if not HAS_PGPQ or rows.num_rows < _FEW_ROWS:
        return encoded_plainly(sent)
    builders = {}
    for field, column in zip(rows.schema, sent.columns, strict=True):
        of = pa.field(field.name, column.type)
        builders[field.name] = (
            StringEncoderBuilder.new_with_output(of, Jsonb())
            if postgres_of(field) == "jsonb"
            else pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(of)
        )
    plain = pa.RecordBatch.from_arrays(sent.columns, names=rows.schema.names)
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(plain.schema, builders)
    return [encoder.write_header(), encoder.write_batch(plain), encoder.finish()]


def _with_numbers_sent(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with numeric columns as bytes; fields still say which those are."""
    arrays = [
        _numeric(column) if postgres_of(field) == "numeric" else column
        for field, column in zip(rows.schema, rows.columns, strict=True)
    ]
    fields = [field.with_type(array.type) for field, array in zip(rows.schema, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _numeric(texts: pa.Array) -> pa.Array:
    """Numbers by their texts, as the type numeric sends them."""
    found = texts.dictionary_encode()
    sent = pa.array([None if text is None else _sent(text) for text in found.dictionary.to_pylist()], pa.binary())
    return sent.take(found.indices)


@lru_cache(_KEPT_NUMBERS)
def _sent(text: str) -> bytes:
    try:
        return bytes(DecimalBinaryDumper(Decimal).dump(Decimal(text)) or b"")
    except InvalidOperation:
        raise ValueError(f"{text} is no number") from None
