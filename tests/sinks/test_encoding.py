"""Binary COPY by arrays writes what psycopg's own binary COPY writes, of every type and to the last bit."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from unittest import mock

import psycopg
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from rederive.settings import Endpoints
from schemas import arrow
from schemas.table import Column
from sinks import encoding
from sinks.copying import copy
from sinks.encoding import encoded
from tests.every_type import EVERY, VALUES

_OBJECTS: dict[str, Any] = {
    "timestamptz": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "numeric": lambda number: Decimal(str(number)),
    "jsonb": Jsonb,
}
# Postgres stores no NUL.
_ROW = st.tuples(*(st.none() | strategy for strategy in VALUES.values())).filter(lambda row: "\\x00" not in repr(row))
_LIMITS: tuple[Any, ...] = (
    -(2**15), -(2**31), 2**31 - 1, -(2**63), -0.0, -1e-300, 99, "é\u2028\U0001f409\\\t", "", False,
    "0001-01-01T00:00:00+00:00", "9999-12-31", "23:59:59.999999", {"a\\": ["é", None, 1e-7]},
)  # fmt: skip
_ODD: tuple[Any, ...] = (
    2**15 - 1, 0, -1, 2**63 - 1, float("nan"), 1e300, -7, "\\N", " ", True,
    "9999-12-31T23:59:59.999999+00:00", "0001-01-01", "00:00:00", [],
)  # fmt: skip
_INFINITE = (None, None, None, None, float("-inf"), 2**63 - 1, None, None, None, None, None, None, None, "x")


@pytest.fixture(scope="module")
def database(endpoints: Endpoints) -> Iterator[psycopg.Connection]:
    """Two tables of a column of every type."""
    columns = ", ".join(f"{column.name} {column.type}" for column in EVERY.values)
    with psycopg.connect(endpoints.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE TEMP TABLE ours ({columns}); CREATE TEMP TABLE theirs ({columns})")
        yield connection


def _theirs(connection: psycopg.Connection, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    names = ", ".join(column.name for column in columns)
    objects = [_OBJECTS.get(arrow.plain(column.type), lambda value: value) for column in columns]
    with connection.cursor().copy(f"COPY theirs ({names}) FROM STDIN (FORMAT BINARY)") as copying:
        copying.set_types([arrow.plain(column.type) for column in columns])
        for row in rows:
            copying.write_row([None if v is None else make(v) for make, v in zip(objects, row, strict=True)])


@pytest.mark.services
@settings(deadline=None)
@example([_LIMITS, _ODD, _INFINITE])
@given(st.lists(_ROW, min_size=1, max_size=5))
def test_every_value_is_copied_as_psycopg_copies_it(database: psycopg.Connection, rows: list[tuple[Any, ...]]) -> None:
    names = [column.name for column in EVERY.values]
    with mock.patch.object(encoding, "_FEW_ROWS", 0):
        copy(database, "ours", ", ".join(names), encoded(arrow.batch(EVERY, names, rows)))
    _theirs(database, EVERY.values, rows)
    # As the server sends them: rows of both tables, byte for byte.
    found = {}
    for table in ("ours", "theirs"):
        with database.cursor().copy(f"COPY {table} TO STDOUT (FORMAT BINARY)") as copying:
            found[table] = b"".join(map(bytes, copying))
        database.execute(f"TRUNCATE {table}")
    assert found["ours"] == found["theirs"]


@example([_LIMITS, _ODD, _INFINITE])
@given(st.lists(_ROW, max_size=5))
def test_values_one_by_one_are_the_same_bytes(rows: list[tuple[Any, ...]]) -> None:
    batch = arrow.batch(EVERY, [column.name for column in EVERY.values], rows)
    # However few they are.
    with mock.patch.object(encoding, "_FEW_ROWS", 0):
        fast = b"".join(encoded(batch))
    assert b"".join(encoded(batch)) == fast


def test_texts_that_are_no_numbers_are_refused() -> None:
    rows = arrow.batch(EVERY, ("c5",), [[1]])
    with pytest.raises(ValueError, match="x is no number"):
        encoded(rows.set_column(0, rows.schema.field(0), pa.array(["x"])))
