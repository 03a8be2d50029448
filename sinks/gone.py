"""Derived rows whose source row isn't there, or was deleted since it was read: a foreign key would refuse them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import Connection, sql

from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.table import Domain

GONE = "gone"
"""The reason of such a row's skip."""


@dataclass(frozen=True, slots=True)
class _Reference:
    """A foreign key from a domain's table to one outside it, `{column: (referred column, its type)}`."""

    table: str
    schema: str
    parent: str
    columns: Mapping[str, tuple[str, str]]


def without_gone(connection: Connection, domain: Domain, outcomes: Sequence[Outcome]) -> list[Outcome] | None:
    """The outcomes with a skip in place of each row that refers to a row which isn't there; None when none does.

    Only what a domain doesn't write itself can be gone: a row that lacks a parent among its own tables is a bug.
    """
    left, found = list(outcomes), False
    for reference in _references(connection, domain):
        keys = {key for outcome in left for block in outcome.tables for key in _keys(block, reference)}
        gone = _absent(connection, reference, keys)
        if gone:
            found = True
            left = [_without(outcome, reference, gone) for outcome in left]
    return left if found else None


def _references(connection: Connection, domain: Domain) -> list[_Reference]:
    rows = connection.execute(
        """SELECT t.relname, n.nspname, p.relname, array_agg(a.attname::text ORDER BY k.place),
                  array_agg(r.attname::text ORDER BY k.place),
                  array_agg(format_type(r.atttypid, r.atttypmod) ORDER BY k.place)
           FROM pg_constraint c
           JOIN pg_class t ON t.oid = c.conrelid
           JOIN pg_class p ON p.oid = c.confrelid
           JOIN pg_namespace n ON n.oid = p.relnamespace
           CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY AS k(own, referred, place)
           JOIN pg_attribute a ON (a.attrelid, a.attnum) = (c.conrelid, k.own)
           JOIN pg_attribute r ON (r.attrelid, r.attnum) = (c.confrelid, k.referred)
           WHERE c.contype = 'f' AND c.conrelid IN (SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS name)
             AND c.confrelid NOT IN (SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS name
                                     WHERE to_regclass(name) IS NOT NULL)
           GROUP BY c.oid, t.relname, n.nspname, p.relname ORDER BY t.relname, c.oid""",
        {"tables": [table.name for table in domain.tables]},
    ).fetchall()
    return [
        _Reference(table, schema, parent, dict(zip(own, zip(referred, types, strict=True), strict=True)))
        for table, schema, parent, own, referred, types in rows
    ]


def _keys(block: TableRows, reference: _Reference) -> list[tuple[Any, ...]]:
    """What each row of the block refers to; nothing where it has no value for a column of the reference."""
    if block.table != reference.table:
        return []
    at = {name: index for index, name in enumerate((*block.columns, *block.shared))}
    if not at.keys() >= reference.columns.keys():
        return []
    shared = tuple(block.shared.values())
    places = [at[name] for name in reference.columns]
    keys = [tuple((*row, *shared)[place] for place in places) for row in block.rows]
    return [key for key in keys if None not in key]


def _absent(connection: Connection, reference: _Reference, keys: set[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    """Those of the keys that the table referred to doesn't hold."""
    if not keys:
        return set()
    given = list(keys)
    names = [sql.Identifier(name) for name, _ in reference.columns.values()]
    # Typed by the catalog, which is no text of anybody else's.
    types = [sql.SQL(type_ + "[]") for _, type_ in reference.columns.values()]
    arrays = sql.SQL(", ").join(sql.SQL("%s::text[]::{}").format(type_) for type_ in types)
    same = sql.SQL(" AND ").join(sql.SQL("p.{0} = q.{0}").format(name) for name in names)
    query = sql.SQL(
        """SELECT q.place FROM unnest({arrays}) WITH ORDINALITY AS q({names}, place)
           WHERE NOT EXISTS (SELECT FROM {parent} p WHERE {same})"""
    ).format(
        arrays=arrays,
        names=sql.SQL(", ").join(names),
        parent=sql.Identifier(reference.schema, reference.parent),
        same=same,
    )
    columns = [[str(value) for value in column] for column in zip(*given, strict=True)]
    return {given[place - 1] for (place,) in connection.execute(query, columns)}


def _without(outcome: Outcome, reference: _Reference, gone: set[tuple[Any, ...]]) -> Outcome:
    tables, skipped = [], {problem.key for problem in outcome.skips}
    skips = list(outcome.skips)
    for block in outcome.tables:
        if not gone.intersection(_keys(block, reference)):
            tables.append(block)
            continue
        whole = block.whole()
        places = [whole.columns.index(name) for name in reference.columns]
        kept = []
        for row, own in zip(block.rows, whole.rows, strict=True):
            key = tuple(own[place] for place in places)
            if key not in gone:
                kept.append(row)
            elif key not in skipped:
                # A source row that gives several rows is skipped once.
                skipped.add(key)
                skips.append(RowProblem(key, GONE, f"{reference.parent} has no such row (any more)"))
        tables.append(replace(block, rows=kept))
    return replace(outcome, tables=tables, skips=skips)
