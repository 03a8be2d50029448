"""Columns of a table spec as Arrow: which type holds a Postgres type, and how Python values become arrays and back.

| Postgres | Arrow |
|---|---|
| int2, int4, int8 | int16, int32, int64 |
| float8 | float64 |
| numeric | string, the number's decimal text |
| text, varchar | string |
| boolean | bool |
| timestamptz | timestamp[us, UTC] |
| date, time | date32, time64[us] |
| jsonb | string, JSON |

Fields whose Arrow type alone doesn't tell say their Postgres type in their metadata, as "postgres".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson
import pyarrow as pa

from schemas.table import Column, Table

TIMESTAMP = pa.timestamp("us", tz="UTC")
POSTGRES = b"postgres"
"""The key of a field's metadata."""

_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_MIDNIGHT = datetime(1970, 1, 1, tzinfo=UTC).date()
_MICROSECOND = timedelta(microseconds=1)
_DATE_CHARS = len("2000-01-01")
_KEPT_VALUES = 50_000
_ALIASES = {
    "smallint": "int2",
    "int": "int4",
    "integer": "int4",
    "bigint": "int8",
    "double precision": "float8",
    "decimal": "numeric",
    "character varying": "varchar",
    "bool": "boolean",
    "timestamp with time zone": "timestamptz",
}
_TYPES: dict[str, pa.DataType] = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float8": pa.float64(),
    "numeric": pa.string(),
    "text": pa.string(),
    "varchar": pa.string(),
    "boolean": pa.bool_(),
    "timestamptz": TIMESTAMP,
    "date": pa.date32(),
    "time": pa.time64("us"),
    "jsonb": pa.string(),
}
_UNTOLD = ("numeric", "jsonb")


def plain(type_: str) -> str:
    """A Postgres type by its short name, without its length: "numeric" for "decimal(10,2)". ValueError if unknown."""
    name = type_.partition("(")[0].strip()
    name = _ALIASES.get(name, name)
    if name not in _TYPES:
        raise ValueError(f"columns of type {type_} can't be derived, only of {', '.join(_TYPES)}")
    return name


def field(column: Column) -> pa.Field:
    """The Arrow field of a column."""
    name = plain(column.type)
    return pa.field(column.name, _TYPES[name], metadata={POSTGRES: name.encode()} if name in _UNTOLD else None)


def postgres_of(of: pa.Field) -> str:
    """The Postgres type that a field stands for, by its short name; of varchar that is text."""
    said = _said(of)
    return said if said is not None else _NAMES[of.type]


@lru_cache
def fields(table: Table) -> Mapping[str, pa.Field]:
    """The fields that derived rows of a table may have: key, columns, and the observation if it is none of them."""
    found = {column.name: field(column) for column in (*table.key, *table.columns)}
    return found if table.observed in found else {**found, table.observed: pa.field(table.observed, TIMESTAMP)}


def batch(
    table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]], shared: Mapping[str, Any] | None = None
) -> pa.RecordBatch:
    """Rows of Python values, in the order of `columns`, with what all of them share behind them.

    ValueError when a name is unknown, a row too short, or a value not one of its column.
    """
    if others := set(map(len, rows)) - {len(columns)}:
        raise ValueError(f"a row of {table.name} has {others.pop()} values for {len(columns)} columns")
    given: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    wanted = _known(table, columns)
    arrays = [_named(each, values) for each, values in zip(wanted, given, strict=True)]
    return with_shared(table, pa.RecordBatch.from_arrays(arrays, schema=pa.schema(wanted)), len(rows), shared or {})


def with_shared(table: Table, rows: pa.RecordBatch, count: int, shared: Mapping[str, Any]) -> pa.RecordBatch:
    """The same `count` rows with further columns, of which all rows have the same value."""
    wanted = _known(table, shared)
    arrays = [_constant(each, value, count) for each, value in zip(wanted, shared.values(), strict=True)]
    typed = [each.with_type(made.type) for each, made in zip(wanted, arrays, strict=True)]
    return pa.RecordBatch.from_arrays([*rows.columns, *arrays], schema=pa.schema([*rows.schema, *typed]))


def fitted(table: Table, rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with every column of just the type that the table's spec says.

    Dictionaries are decoded, integers widened or narrowed, text of other layouts made plain. ValueError when a column
    is unknown, occurs twice, or can't be had without loss.
    """
    names = rows.schema.names
    schema = pa.schema(_known(table, names))
    if len(set(names)) < len(names):
        raise ValueError(f"a column of {table.name} occurs twice: {', '.join(names)}")
    if rows.schema.equals(schema, check_metadata=True):
        return rows
    arrays = [_fitted(each, values) for each, values in zip(schema, rows.columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def array(type_: str, values: Sequence[Any]) -> pa.Array:
    """Python values of a column of a Postgres type, None for NULL. ValueError, TypeError, OverflowError: not of it.

    Times are ISO 8601 text or objects of datetime; a date stands for its midnight in UTC where a timestamp is due. A
    numeric is an int, float or Decimal, a jsonb whatever JSON has a word for.
    """
    name = plain(type_)
    if (read := _READERS.get(name)) is not None:
        return pa.array([None if value is None else read(value) for value in values], _READ_AS.get(name)).cast(
            _TYPES[name]
        )
    if name == "float8":
        return _floats(values)
    wanted = _TYPES[name]
    if not pa.types.is_integer(wanted):
        return pa.array(values, wanted)
    if set(map(type, values)) <= {int, type(None)}:
        return pa.array(values, wanted)
    # Asked for integers, it would cut the fractions of floats off.
    found = pa.array(values)
    if not (pa.types.is_null(found.type) or _alike(found.type, wanted)):
        raise TypeError(f"a {found.type} is no {type_}")
    return found.cast(wanted)


def values(rows: pa.Array, of: pa.Field | None = None) -> list[Any]:
    """An array's values as JSON has them: times as ISO 8601 text, timestamps in UTC; `of` is its field, if any."""
    plain_rows = rows.dictionary_decode() if pa.types.is_dictionary(rows.type) else rows
    found: list[Any] = plain_rows.to_pylist()
    if (said := _said(of)) is not None or (said := _TOLD.get(plain_rows.type)) is not None:
        show = _SHOWN[said]
        return [None if value is None else show(value) for value in found]
    return found


def python_rows(rows: pa.RecordBatch) -> list[list[Any]]:
    """The rows one by one, their values as `values` gives them."""
    if not rows.num_columns:
        return [[] for _ in range(rows.num_rows)]
    columns = [values(column, of) for column, of in zip(rows.columns, rows.schema, strict=True)]
    return list(map(list, zip(*columns, strict=True)))


def _known(table: Table, names: Iterable[str]) -> list[pa.Field]:
    known = fields(table)
    try:
        return [known[name] for name in names]
    except KeyError as unknown:
        raise ValueError(f"{table.name} has no column {unknown.args[0]}") from None


def _named(of: pa.Field, given: Sequence[Any]) -> pa.Array:
    try:
        return array(postgres_of(of), given)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{of.name}: {error}".encode("utf-8", "backslashreplace").decode()) from None


def _said(of: pa.Field | None) -> str | None:
    """The Postgres type that a field's metadata says, of those that need saying."""
    said = None if of is None or of.metadata is None else of.metadata.get(POSTGRES)
    return said.decode("utf-8", "replace") if said in _UNTOLD_BYTES else None


def _constant(of: pa.Field, value: object, count: int) -> pa.Array:
    """A dictionary of one value: as many bytes as rows, whatever its length."""
    one = _named(of, [value])
    if value is None:
        return pa.nulls(count, of.type)
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), count), one)


def _fitted(of: pa.Field, given: pa.Array) -> pa.Array:
    found = given.dictionary_decode() if pa.types.is_dictionary(given.type) else given
    if found.type == of.type:
        return found
    if not (pa.types.is_null(found.type) or _alike(found.type, of.type)):
        raise ValueError(f"column {of.name} is of {given.type}, not {of.type}")
    return found.cast(of.type)


def _alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a safe cast of one type to the other keeps what is meant."""
    types = pa.types
    return bool(
        found == wanted
        or (types.is_integer(found) and types.is_integer(wanted))
        or (types.is_string(wanted) and (types.is_large_string(found) or types.is_string_view(found)))
        or (types.is_timestamp(wanted) and types.is_timestamp(found) and found.tz == "UTC")
        or (types.is_time(wanted) and types.is_time(found))
    )


def _floats(given: Sequence[Any]) -> pa.Array:
    wrong = set(map(type, given)) - {float, int, type(None)}
    if wrong:
        raise TypeError(f"a {wrong.pop().__name__} is no float8")
    try:
        return pa.array(given, pa.float64())
    except pa.ArrowInvalid:
        # An integer of more than 53 bits: the nearest float.
        return pa.array([None if value is None else float(value) for value in given], pa.float64())


@lru_cache(_KEPT_VALUES)
def _timestamp(value: str | datetime | date) -> int:
    """Microseconds since 1970."""
    if isinstance(value, str):
        seen: datetime | date = datetime.fromisoformat(value)
        if len(value) == _DATE_CHARS and isinstance(seen, datetime):
            seen = seen.date()
    else:
        seen = value
    if not isinstance(seen, date):
        raise TypeError(f"{value!r} is no time")
    if not isinstance(seen, datetime):
        seen = datetime(seen.year, seen.month, seen.day, tzinfo=UTC)
    if seen.utcoffset() is None:
        raise ValueError(f"{value} says no offset")
    return (seen - _ZERO) // _MICROSECOND


@lru_cache(_KEPT_VALUES)
def _date(value: str | date) -> int:
    """Days since 1970."""
    found = date.fromisoformat(value) if isinstance(value, str) else value
    if type(found) is not date:
        raise TypeError(f"{value!r} is no date")
    return (found - _MIDNIGHT).days


@lru_cache(_KEPT_VALUES)
def _time(value: str | time) -> int:
    """Microseconds since midnight."""
    read = time.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(read, time) or read.tzinfo:
        raise ValueError(f"{value} is no time of day without an offset")
    return (datetime.combine(_MIDNIGHT, read, UTC) - _ZERO) // _MICROSECOND


@lru_cache(_KEPT_VALUES, typed=True)
def _numeric(value: float | Decimal) -> str:
    """The shortest text of a number."""
    if type(value) not in (int, float, Decimal):
        raise TypeError(f"a {type(value).__name__} is no numeric")
    # A numeric's zero has no sign; what is kept of equal values must be the same.
    return str(value) if value else str(abs(value))


def _jsonb(value: object) -> str:
    return orjson.dumps(value).decode()


def _number(text: str) -> float:
    """A numeric's text as JSON would have it: an integer stays one."""
    return int(text) if text.lstrip("-").isdecimal() else float(text)


_READERS: dict[str, Callable[[Any], Any]] = {
    "timestamptz": _timestamp,
    "date": _date,
    "time": _time,
    "numeric": _numeric,
    "jsonb": _jsonb,
}
_READ_AS = {
    "timestamptz": pa.int64(),
    "date": pa.int32(),
    "time": pa.int64(),
    "numeric": pa.string(),
    "jsonb": pa.string(),
}
_SHOWN: dict[str, Callable[[Any], Any]] = {
    "timestamptz": datetime.isoformat,
    "date": date.isoformat,
    "time": time.isoformat,
    "numeric": _number,
    "jsonb": orjson.loads,
}
_NAMES = {type_: name for name, type_ in _TYPES.items() if name not in (*_UNTOLD, "varchar")}
_TOLD = {type_: name for type_, name in _NAMES.items() if name in _SHOWN}
_UNTOLD_BYTES = {name.encode() for name in _UNTOLD}
