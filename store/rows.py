"""Rows of the engine's tables as typed objects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from psycopg import Connection
from psycopg.rows import kwargs_row, scalar_row

T = TypeVar("T")
Parameters = Sequence[Any] | Mapping[str, Any] | None


def cause(message: str) -> str:
    """In SQL, what a message has in common with others of one cause: all but numbers and what is quoted."""
    return rf"""regexp_replace({message}, '\d+(\.\d+)?|''[^'']*''|"[^"]*"', '#', 'g')"""


def rows(connection: Connection, kind: Callable[..., T], query: str, parameters: Parameters = None) -> list[T]:
    """Every row as a `kind`, whose parameters are the query's columns."""
    with connection.cursor(row_factory=kwargs_row(kind)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def row(connection: Connection, kind: Callable[..., T], query: str, parameters: Parameters = None) -> T | None:
    """The first row as a `kind`, None when there is none."""
    with connection.cursor(row_factory=kwargs_row(kind)) as cursor:
        return cursor.execute(query, parameters).fetchone()


def value(connection: Connection, query: str, parameters: Parameters = None) -> Any:  # noqa: ANN401 - the column's
    """The first row's only column, None when there is no row."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, parameters).fetchone()


def values(connection: Connection, query: str, parameters: Parameters = None) -> list[Any]:
    """The only column of every row."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, parameters).fetchall()
