"""Tables, columns and rows as a person names them: the parts of a key are joined by `/`."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import Connection, sql

from rederive.database import first_line
from schemas.domain import Domain
from schemas.errors import Failed, UsageError
from schemas.table import CAPTURE, Column, Mode, Table

_NEAR = 3


def table_of(domain: Domain, name: str | None, column: str) -> Table:
    """The table that is meant, by its name or its end, or by the column. UsageError, with near ones, otherwise."""
    if name is not None:
        found = [table for table in domain.tables if table.name == name]
        found = found or [table for table in domain.tables if table.name.endswith(f"_{name}")]
        if len(found) == 1:
            return found[0]
        names = [table.name for table in (found or domain.tables)]
        near = names if found else difflib.get_close_matches(name, names, 3, 0.5) or names
        what = f"{domain.name} has {'several tables' if found else 'no table'} {name}"
        raise UsageError(what, mend=f"say one of {', '.join(near)}")
    tables = [table for table in domain.tables if any(one.name == column for one in table.columns)]
    if len(tables) == 1:
        return tables[0]
    if tables or len(domain.tables) > 1:
        named = ", ".join(table.name for table in (tables or domain.tables))
        why = f"these have a column {column}: {named}" if tables else f"no table has a column {column}"
        raise UsageError("the table must be named", why=why, mend=f"rederive explain {domain.name} TABLE KEY {column}")
    return domain.tables[0]


def column_of(domain: Domain, table: Table, name: str) -> Column:
    """A derived column. UsageError, with near ones, when the table has none of that name."""
    for column in table.columns:
        if column.name == name:
            return column
    names = [column.name for column in table.columns]
    if any(column.name == name for column in table.key):
        why = "it is a part of the key: nothing is computed"
    elif any(step.name == f"{table.name}.{name}" for step in domain.steps):
        why = "it is computed of whole tables, when a run's units are done: no record gives it"
    else:
        why = f"near it are {', '.join(difflib.get_close_matches(name, names, 3, 0.4) or names[:3])}"
    raise UsageError(f"{table.name} has no derived column {name}", why=why, mend="say a column that is derived")


def parts_of(connection: Connection, table: str, columns: Sequence[Column], word: str) -> Sequence[str]:
    """The key's parts as the server writes them. UsageError when it can't be one."""
    parts = word.split("/") if len(columns) > 1 else [word]
    if len(parts) != len(columns):
        raise _no_key(table, columns, word, f"it has {len(parts)} parts")
    return _cast(connection, table, columns, parts, word)


def _cast(connection: Connection, table: str, columns: Sequence[Column], parts: Sequence[str], word: str) -> list[str]:
    casts = sql.SQL(", ").join(sql.SQL("(%s::{})::text").format(sql.SQL(column.type)) for column in columns)
    try:
        found = connection.execute(sql.SQL("SELECT {}").format(casts), list(parts)).fetchone()
    except psycopg.DataError as error:
        raise _no_key(table, columns, word, first_line(error)) from error
    assert found is not None
    return list(found)


def _no_key(table: str, columns: Sequence[Column], word: str, why: str) -> UsageError:
    names = "/".join(column.name for column in columns)
    return UsageError(f"{word!r} is no key of {table}", why=why, mend=f"write {names}")


def whole_key(connection: Connection, table: Table, word: str) -> dict[str, str]:
    """The whole key that a word means, by column, as the server writes it; the row need not be there.

    Of rows that hold their capture it may leave the capture out, and whatever stands last in the key: then the newest
    capture's row is meant. UsageError when it can't be a key or means several rows; Failed when that row isn't there.
    """
    if table.policy is not Mode.INSERT:
        found = parts_of(connection, table.name, table.key, word)
        return dict(zip(_names(table.key), found, strict=True))
    parts = word.split("/")
    if len(parts) == len(table.key):
        return dict(zip(_names(table.key), _cast(connection, table.name, table.key, parts, word), strict=True))
    columns = [column for column in table.key if column.name != CAPTURE]
    if len(parts) > len(columns):
        raise _no_key(table.name, columns, word, f"it has {len(parts)} parts")
    given = columns[: len(parts)]
    cast = _cast(connection, table.name, given, parts, word)
    return _newest(connection, table, given, cast, word)


def _newest(
    connection: Connection, table: Table, given: Sequence[Column], parts: Sequence[str], word: str
) -> dict[str, str]:
    names = _names(table.key)
    same = " AND ".join(f"{one.name} = %s::{one.type}" for one in given)
    views = [f"{table.name}_latest", table.name] if table.partition else [table.name]
    newest = f"{table.observed} DESC, " if table.partition else ""
    for view in views:
        rows = connection.execute(
            f"""SELECT {", ".join(f"{name}::text" for name in names)} FROM {view} WHERE {same}
                ORDER BY {newest}{CAPTURE} DESC LIMIT 50""",
            list(parts),
        ).fetchall()
        found = [dict(zip(names, row, strict=True)) for row in rows]
        others = {tuple(value for name, value in one.items() if name != CAPTURE) for one in found}
        if len(others) > 1:
            near = ", ".join(sorted("/".join(one) for one in others)[:_NEAR])
            what = f"{word} means several rows of {table.name}"
            raise UsageError(what, why=f"among them {near}", mend="say more of the key")
        if found:
            return found[0]
    raise no_row(connection, table, dict(zip(_names(given), parts, strict=True)), word)


def no_row(connection: Connection, table: Table, key: Mapping[str, str], word: str) -> Failed:
    """The message for a row that isn't there, with those whose keys stand next to it."""
    columns = [column for column in table.key if column.name in key and column.name != CAPTURE]
    names = ", ".join(_names(columns))
    here = ", ".join(f"%({column.name})s::{column.type}" for column in columns)
    texts = ", ".join(f"{name}::text" for name in _names(columns))
    back = ", ".join(f"{name} DESC" for name in _names(columns))
    near: list[Any] = []
    for beyond, order in ((">", names), ("<", back)):
        near += connection.execute(
            f"""SELECT {texts} FROM {table.name} WHERE ({names}) {beyond} ({here})
                GROUP BY {names} ORDER BY {order} LIMIT {_NEAR}""",
            dict(key),
        ).fetchall()
    shown = ", ".join("/".join(row) for row in near)
    return Failed(
        f"{table.name} has no row {word}, and no capture has said anything of it",
        why=f"next to it are {shown}" if shown else "the table is empty",
        mend="correct the key, or compute the row: `rederive replay`",
    )


def json_key(connection: Connection, table: Table, key: Mapping[str, str]) -> dict[str, Any]:
    """The key's values as JSON has them."""
    casts = ", ".join(f"to_jsonb(%({column.name})s::{column.type})" for column in table.key)
    found = connection.execute(f"SELECT {casts}", dict(key)).fetchone()
    assert found is not None
    return dict(zip(_names(table.key), found, strict=True))


def _names(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns]
