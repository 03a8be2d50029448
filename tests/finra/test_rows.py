"""Frames become an outcome's arrays without any value becoming another."""

from datetime import UTC, date, datetime

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.finra.normalize import VOLUME_SCHEMA
from processors.finra.rows import rows_of
from schemas import arrow
from schemas.finra.tables import VENUE_SHARE, VENUE_VOLUME
from schemas.finra.units import Batch
from tests.every_type import TEXTS, told

BATCH = Batch(date(2025, 12, 26), "OTC", "otc 1", datetime(2025, 12, 29, 14, 30, 0, 5, UTC), batch_id="b")
SCHEMA = {**VOLUME_SCHEMA, "avg_trade_size": pl.Float64(), "of_no_column": pl.Boolean()}
INT8 = st.integers(-(2**63), 2**63 - 1)
ROWS = st.lists(
    st.tuples(
        *(st.none() | each for each in (TEXTS, TEXTS, TEXTS, INT8, INT8, st.dates(), st.floats(), st.booleans()))
    ),
    max_size=5,
)


@settings(deadline=None)
@given(ROWS)
def test_a_frame_s_rows_are_those_of_the_batch(rows: list[tuple[object, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    made = rows_of(VENUE_VOLUME, frame, BATCH, {"input_capture_id": None})
    names = [name for name in (column.name for column in (*VENUE_VOLUME.key, *VENUE_VOLUME.columns)) if name in SCHEMA]
    common = ["2025-12-26", "OTC", "otc 1", "2025-12-29T14:30:00.000005+00:00", "b", None]
    expected = [
        [row[name].isoformat() if isinstance(row[name], date) else row[name] for name in names] + common
        for row in frame.iter_rows(named=True)
    ]
    assert [list(map(told, row)) for row in made.rows()] == [list(map(told, row)) for row in expected]
    fitted = arrow.fitted(VENUE_VOLUME, made.batch)
    assert orjson.dumps(arrow.python_rows(fitted)) == orjson.dumps(expected)


def test_integers_are_of_their_columns() -> None:
    counts = pl.DataFrame({"mpid": ["NITE"], "symbol_count": [2**31 - 1], "rank": [1]})
    assert {"int32"} == {
        str(rows_of(VENUE_SHARE, counts, BATCH).batch.schema.field(name).type) for name in ("symbol_count", "rank")
    }
    with pytest.raises(ValueError, match="2147483648 not in range"):
        rows_of(VENUE_SHARE, counts.with_columns(pl.lit(2**31).alias("rank")), BATCH)
