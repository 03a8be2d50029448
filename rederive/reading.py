"""Rows as polars frames: as they are served, or as a capture has computed them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from psycopg import Column as Described
from psycopg import Connection, sql

from rederive.comparison import side
from rederive.named_rows import column_of
from schemas.domain import Domain
from schemas.errors import UsageError
from schemas.table import Mode, Table
from sinks.policies import policy_of

if TYPE_CHECKING:
    import polars

_DECIMAL_DIGITS = 38


def read(
    connection: Connection,
    domain: Domain,
    table: Table,
    columns: Sequence[str] | None,
    start: datetime | None,
    end: datetime | None,
    capture: str | None,
    limit: int | None,
) -> "polars.DataFrame":
    """Rows of a table, by key: its key, then the columns named, all where none is; `end` is excluded.

    Of rows that hold their capture the newest captures' are served. UsageError for words that mean nothing, Failed as
    `captures.find`.
    """
    source, pieces = _rows(connection, domain, table, capture)
    query = sql.SQL("SELECT {columns} FROM ({source}) r WHERE {range} ORDER BY {key}{limit}").format(
        columns=sql.SQL(", ").join(map(sql.Identifier, _names(domain, table, columns))),
        source=sql.SQL(source),
        range=_range(table, start, end),
        key=sql.SQL(", ").join(sql.Identifier(column.name) for column in table.key),
        limit=sql.SQL(" LIMIT {}").format(limit) if limit is not None else sql.SQL(""),
    )
    # Where no piece has a row the table says what its columns are.
    described = connection.execute(
        sql.SQL("SELECT {} FROM {} LIMIT 0").format(
            sql.SQL(", ").join(map(sql.Identifier, _names(domain, table, columns))), sql.Identifier(table.name)
        ),
        binary=True,
    ).description
    rows: list[Any] = []
    for piece in pieces:
        rows += connection.execute(query, piece, binary=True).fetchall()
        if limit is not None and len(rows) >= limit:
            break
    return _frame(described or [], rows[:limit])


def _rows(
    connection: Connection, domain: Domain, table: Table, capture: str | None
) -> tuple[str, Iterable[Mapping[str, object]]]:
    """A query, and its parameters piece by piece in the order of keys."""
    if capture is None:
        shown = f"{table.name}_latest" if table.policy is Mode.INSERT and table.partition else table.name
        return f"SELECT * FROM {shown}", [{}]
    if table.shows is not None:
        shows = table.shows.table.name
        raise UsageError(f"{table.name} has no rows of its own", why=f"it shows those of {shows}", mend=f"read {shows}")
    run, own = side(connection, capture)
    if run.domain != domain.name:
        raise UsageError(f"{capture} is of {run.domain}, not of {domain.name}")
    # Held against itself it is what it says by itself, in shadow, too.
    sides = policy_of(table).sides(connection, table, own, own)
    return sides.one, ({**sides.parameters, **piece} for piece in sides.pieces(connection))


def _names(domain: Domain, table: Table, columns: Sequence[str] | None) -> list[str]:
    key = [column.name for column in table.key]
    every = [column.name for column in table.columns]
    if columns is None:
        return [*key, *every]
    chosen: list[str] = []
    for word in columns:
        scope = [name for name in domain.scopes.get(word, ()) if name in every]
        chosen += (scope or every) if word in domain.scopes else [_known(domain, table, word)]
    return list(dict.fromkeys([*key, *chosen]))


def _known(domain: Domain, table: Table, name: str) -> str:
    return name if any(column.name == name for column in table.key) else column_of(domain, table, name).name


def _range(table: Table, start: datetime | None, end: datetime | None) -> sql.Composable:
    parts: list[sql.Composable] = [sql.SQL("TRUE")]
    if start is not None or end is not None:
        if table.dated is None:
            raise UsageError(f"{table.name} knows no range", why="no column of it says of which day a row is")
        name = sql.Identifier(table.dated.name)
        parts += [sql.SQL("{} >= {}").format(name, start)] if start is not None else []
        parts += [sql.SQL("{} < {}").format(name, end)] if end is not None else []
    return sql.SQL(" AND ").join(parts)


def _frame(described: Sequence[Described], rows: Sequence[tuple[Any, ...]]) -> "polars.DataFrame":
    import polars

    kinds: dict[str, polars.DataType | type[polars.DataType]] = {
        "bool": polars.Boolean,
        "int2": polars.Int16,
        "int4": polars.Int32,
        "int8": polars.Int64,
        "float4": polars.Float32,
        "float8": polars.Float64,
        "date": polars.Date,
        "timestamp": polars.Datetime("us"),
        "timestamptz": polars.Datetime("us", "UTC"),
        "time": polars.Time,
        "bytea": polars.Binary,
    }
    cells = list(zip(*rows, strict=True)) or [()] * len(described)
    series = []
    for column, values in zip(described, cells, strict=True):
        name = column.type_display.partition("(")[0]
        if name == "numeric":
            series.append(_decimals(column.name, values))
        else:
            kind = kinds.get(name, polars.String)
            texts = map(_text, values) if kind is polars.String else values
            series.append(polars.Series(column.name, list(texts), dtype=kind))
    return polars.DataFrame(series)


def _decimals(name: str, values: Sequence[Decimal | None]) -> "polars.Series":
    """Exact, with as many places as the longest has; text where polars has no such number."""
    import polars

    known = [value.as_tuple() for value in values if value is not None]
    exponents = [one.exponent for one in known if isinstance(one.exponent, int)]
    scale = max(0, *(-one for one in exponents)) if exponents else 0
    digits = max((one.adjusted() + 1 for one in values if one is not None and one.is_finite()), default=1)
    if len(exponents) < len(known) or scale + max(digits, 1) > _DECIMAL_DIGITS:
        return polars.Series(name, [None if value is None else str(value) for value in values], dtype=polars.String)
    return polars.Series(name, list(values), dtype=polars.Decimal(_DECIMAL_DIGITS, scale))


def _text(value: object) -> str | None:
    """Text as it is, what is nested as JSON."""
    import orjson

    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value, default=str).decode() if isinstance(value, list | dict) else str(value)
