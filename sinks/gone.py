"""Derived rows whose source row isn't there, or was deleted since it was read: a foreign key would refuse them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection, sql

from schemas.arrow import values
from schemas.domain import Domain
from schemas.outcome import Outcome, RowProblem, TableRows

GONE = "gone"
"""The reason of such a row's skip."""

# Fields that are no columns; no column is called so.
_FOUND, _PLACE = "/found", "/place"


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
        referring = [_referring(block, reference) for outcome in left for block in outcome.tables]
        keys = [each.drop_null() for each in referring if each is not None]
        if not keys:
            continue
        names = list(reference.columns)
        gone = _absent(connection, reference, pa.concat_tables(keys).group_by(names, use_threads=False).aggregate([]))
        if gone.num_rows:
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


def _referring(block: TableRows, reference: _Reference) -> pa.Table | None:
    """What each row of the block refers to, None when the block has no such column; a NULL refers to nothing."""
    if block.table != reference.table or not set(block.columns) >= reference.columns.keys():
        return None
    columns = [block.batch.column(name) for name in reference.columns]
    plain = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in columns]
    return pa.table(plain, names=list(reference.columns))


def _absent(connection: Connection, reference: _Reference, keys: pa.Table) -> pa.Table:
    """Those of the keys that the table referred to doesn't hold."""
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
    texts = [pc.cast(column, pa.string()).to_pylist() for column in keys.columns]
    return keys.take(pa.array([place - 1 for (place,) in connection.execute(query, texts)], pa.int64()))


def _without(outcome: Outcome, reference: _Reference, gone: pa.Table) -> Outcome:
    tables, skipped = [], {problem.key for problem in outcome.skips}
    skips = list(outcome.skips)
    for block in outcome.tables:
        referring = _referring(block, reference)
        lost = None if referring is None else _among(referring, gone)
        if referring is None or lost is None or not pc.any(lost).as_py():
            tables.append(block)
            continue
        # A source row that gives several rows is skipped once.
        found = dict.fromkeys(zip(*(values(column) for column in referring.filter(lost).columns), strict=True))
        new = [key for key in found if key not in skipped]
        skipped.update(new)
        skips += [RowProblem(key, GONE, f"{reference.parent} has no such row (any more)") for key in new]
        tables.append(replace(block, batch=block.batch.filter(pc.invert(lost))))
    return replace(outcome, tables=tables, skips=skips)


def _among(keys: pa.Table, some: pa.Table) -> pa.Array:
    """Which of the keys are among some, true or false for each."""
    names = keys.schema.names
    marked = some.append_column(_FOUND, pa.repeat(True, some.num_rows))
    placed = keys.append_column(_PLACE, pa.array(range(keys.num_rows), pa.int64()))
    joined = placed.join(marked, names, join_type="left outer", use_threads=False).sort_by(_PLACE)
    return joined.column(_FOUND).combine_chunks().fill_null(False)
