"""Tables of domains from elsewhere are made from their specs, those of shipped domains by migrations: alike."""

import psycopg
import pytest

from rederive import domains
from schemas.table import Mode
from sinks.merge.companions import Companions
from sinks.policies import make
from store.rows import values

_COLUMNS = """SELECT attrelid::regclass || '.' || attname || ': ' || format_type(atttypid, atttypmod)
              FROM pg_attribute WHERE attrelid = ANY(%s::text[]::regclass[]) AND attnum > 0 AND NOT attisdropped"""
_ALL = """SELECT concat_ws(' ', attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull,
                           pg_get_expr(adbin, adrelid))
          FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
          WHERE attrelid = ANY(%(tables)s::text[]::regclass[]) AND attnum > 0 AND NOT attisdropped
          UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
          FROM pg_constraint WHERE conrelid = ANY(%(tables)s::text[]::regclass[]) AND contype <> 'n'
          UNION ALL SELECT pg_get_indexdef(indexrelid)
          FROM pg_index WHERE indrelid = ANY(%(tables)s::text[]::regclass[])
          UNION ALL SELECT pg_get_triggerdef(oid)
          FROM pg_trigger WHERE tgrelid = ANY(%(tables)s::text[]::regclass[]) ORDER BY 1"""
_TRIGGERS = """SELECT pg_get_triggerdef(oid) FROM pg_trigger
               WHERE tgrelid = ANY(%s::text[]::regclass[]) AND NOT tgisinternal ORDER BY 1"""

TABLES = [table for domain in domains.shipped() for table in domain.tables]
MERGED = [Companions(table) for table in TABLES if table.policy is not Mode.INSERT]
CAPTURED = [table for table in TABLES if table.partition]
BESIDE = [name for one in MERGED for name in (one.history, one.baseline)] + [table.captures for table in CAPTURED]
NEWEST = [f"{table.name}_latest" for table in CAPTURED]
SHOWING = [table.name for table in TABLES if table.shows]
SERVING = [table.name for table in TABLES]


def made(connection: psycopg.Connection) -> None:
    for domain in domains.shipped():
        make(connection, domain)


@pytest.mark.services
def test_specs_add_nothing_to_tables_that_migrations_have_made(connection: psycopg.Connection) -> None:
    everything = {"tables": SERVING + BESIDE + NEWEST}
    before = values(connection, _ALL, everything)
    made(connection)
    assert values(connection, _ALL, everything) == before


@pytest.mark.services
def test_specs_make_what_migrations_make(connection: psycopg.Connection) -> None:
    serving = set(values(connection, _COLUMNS, [SERVING + NEWEST]))
    keeping = values(connection, _TRIGGERS, [[table.name for table in CAPTURED]])
    beside = values(connection, _ALL, {"tables": BESIDE})
    dropped = [*(name for name in SERVING if name not in SHOWING), *BESIDE]
    connection.execute(f"DROP VIEW {', '.join(SHOWING)} CASCADE; DROP TABLE {', '.join(dropped)} CASCADE".encode())
    made(connection)
    # Shipped tables may have more columns: those that others fill, and ids.
    assert set(values(connection, _COLUMNS, [SERVING + NEWEST])) - serving == set()
    assert values(connection, _TRIGGERS, [[table.name for table in CAPTURED]]) == keeping
    assert values(connection, _ALL, {"tables": BESIDE}) == beside
