"""Arrow record batches as Postgres takes them in binary COPY.

Columns have the types of schemas/arrow.py. pgpq encodes all but numeric, which Arrow holds as text: each different
number is encoded once.
"""

from decimal import Decimal, InvalidOperation
from functools import lru_cache

import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg.types.numeric import DecimalBinaryDumper

from schemas.arrow import postgres_of

_KEPT_NUMBERS = 50_000


def encoded(rows: pa.RecordBatch) -> list[bytes]:
    """The input of a binary COPY in pieces, in the order of the batch's columns. ValueError: a value has none."""
    arrays, builders = [], {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        type_ = postgres_of(field)
        arrays.append(_numeric(column) if type_ == "numeric" else column)
        of = pa.field(field.name, arrays[-1].type)
        builders[field.name] = (
            StringEncoderBuilder.new_with_output(of, Jsonb())
            if type_ == "jsonb"
            else ArrowToPostgresBinaryEncoder.infer_encoder(of)
        )
    plain = pa.RecordBatch.from_arrays(arrays, names=rows.schema.names)
    encoder = ArrowToPostgresBinaryEncoder.new_with_encoders(plain.schema, builders)
    return [encoder.write_header(), encoder.write_batch(plain), encoder.finish()]


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
