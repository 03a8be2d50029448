"""Rows of derived tables as they are stored: their models, made from the tables' specs, and their reading."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row
from pydantic import BaseModel, create_model

from schemas.table import Column, Table

_TYPES: Mapping[str, Any] = {
    "text": str,
    "varchar": str,
    "int4": int,
    "int8": int,
    "integer": int,
    "bigint": int,
    "float8": float,
    "numeric": float,
    "boolean": bool,
    "date": date,
    "time": time,
    "timestamptz": datetime,
}


def model_of(name: str, table: Table, *, without: Iterable[str] = (), **more: Any) -> type[BaseModel]:  # noqa: ANN401
    """The model of a table's rows; what isn't in the key may be null. `more` are further fields for pydantic."""
    left_out = set(without)
    fields: dict[str, Any] = {column.name: (_type(column), ...) for column in table.key}
    fields |= {column.name: (_type(column) | None, ...) for column in table.columns}
    kept = {column: kind for column, kind in fields.items() if column not in left_out}
    return create_model(name, __doc__=f"A row of {table.name}.", **kept, **more)


def many(model: type[BaseModel]) -> Any:  # noqa: ANN401 - a type
    """Lists of a model that was made, as a type."""
    return list[model]  # type: ignore[valid-type]


def maybe(model: type[BaseModel]) -> Any:  # noqa: ANN401 - a type
    """A model that was made, or null, as a type."""
    return model | None


def _type(column: Column) -> Any:  # noqa: ANN401 - a type, or any
    return _TYPES.get(column.type.partition("(")[0], Any)


def select(
    connection: Connection,
    relation: str,
    model: type[BaseModel],
    condition: str = "true",
    parameters: Mapping[str, Any] | None = None,
    *,
    order: Sequence[str],
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Rows of a table or view that fit a condition (SQL), with the model's columns, in an order (SQL)."""
    query = sql.SQL("SELECT {columns} FROM {relation} t WHERE {condition} ORDER BY {order} LIMIT %(limit)s").format(
        columns=sql.SQL(", ").join(sql.Identifier("t", name) for name in model.model_fields),
        relation=sql.Identifier(relation),
        condition=sql.SQL(condition),
        order=sql.SQL(", ".join(order)),
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, {**(parameters or {}), "limit": limit}).fetchall()
