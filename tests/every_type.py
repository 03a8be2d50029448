"""Rows of every column type, for tests: what Hypothesis draws, and how two values are told apart."""

import math
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from schemas.table import Column, Mode, Table

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
TIMES = st.datetimes(timezones=st.just(UTC))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "float8": st.floats(),
    # Its zero has no sign.
    "numeric": st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value or 0.0),
    "numeric(10,2)": st.integers(-99, 99),
    "text": TEXTS,
    "varchar(50)": TEXTS,
    "boolean": st.booleans(),
    "timestamptz": TIMES.map(datetime.isoformat),
    "date": st.dates().map(date.isoformat),
    "time": st.times().map(lambda time: time.isoformat()),
    "jsonb": JSON.filter(lambda value: value is not None),
}
"""By Postgres type the values that come back just as they were."""

EVERY = Table(
    name="every",
    key=(Column("k", "int8"),),
    attributes=(),
    values=tuple(Column(f"c{at}", type_) for at, type_ in enumerate(VALUES)),
    observed="seen",
    policy=Mode.SUPERSEDE,
)
ROW = st.tuples(VALUES["int8"], *(st.none() | strategy for strategy in VALUES.values()), VALUES["timestamptz"])
ROWS = st.lists(ROW, max_size=3)
COLUMNS = ("k", *(column.name for column in EVERY.values), "seen")


def told(value: object) -> object:
    """A value such that NaN equals NaN and 0.0 isn't -0.0."""
    return (value, math.copysign(1, value)) if isinstance(value, float) and not math.isnan(value) else repr(value)
