"""The last defence: under a dry run a sink writes no table, whatever its policy, and counts what it would write."""

import psycopg
import pytest

from schemas.domain import Domain
from schemas.outcome import Outcome, TableRows
from schemas.table import Column, Mode, Table
from schemas.unit import Origin
from sinks.apply import Result, apply
from tests.sinks.made_tables import make_capture

pytestmark = pytest.mark.services

_INSERTED = Table(
    name="made_inserted",
    key=(Column("capture", "text"), Column("k", "int8")),
    attributes=(),
    values=(Column("a", "float8"), Column("b", "jsonb")),
    observed="seen",
    policy=Mode.INSERT,
)
_DOMAIN = Domain(name="made", derivation_version=1, tables=(_INSERTED,))


@pytest.fixture
def inserting(connection: psycopg.Connection) -> psycopg.Connection:
    connection.execute(
        "CREATE TABLE made_inserted (id bigserial, capture text, k int8, a float8, b jsonb, PRIMARY KEY (capture, k))"
    )
    return connection


def _write(connection: psycopg.Connection, capture: str, rows: list[list[object]], unit: int) -> None:
    connection.execute(
        "INSERT INTO rederive.units (capture_id, unit, key_range, locator, rows) VALUES (%s, %s, '', '{}', %s)",
        [capture, unit, len(rows)],
    )
    block = TableRows.of(_INSERTED, ("k", "a", "b"), rows, shared={"capture": "x"})
    result = Result(Origin("t", 0, unit), capture, unit, Outcome(read=len(rows), tables=[block]))
    assert apply(connection, _DOMAIN, capture, [result]).refused == []


def test_a_dry_run_inserts_nothing_and_counts_what_it_would(inserting: psycopg.Connection) -> None:
    wet = make_capture(inserting, 1, Mode.INSERT, 1)
    _write(inserting, wet, [[1, 1.0, {"n": 1}], [2, None, None]], 0)
    before = inserting.execute("SELECT * FROM made_inserted ORDER BY k").fetchall()
    assert len(before) == 2
    dry = make_capture(inserting, 2, Mode.INSERT, 1, dry_run=True)
    # Stored as it is, to be filled, stored with another value that stays, and new.
    _write(inserting, dry, [[1, 1.0, {"n": 1}], [2, 2.0, None], [3, 3.0, None], [4, None, None]], 0)
    _write(inserting, dry, [[1, 9.0, {"n": 2}]], 1)
    assert inserting.execute("SELECT * FROM made_inserted ORDER BY k").fetchall() == before
    counted = inserting.execute(
        "SELECT state, updated, unchanged FROM rederive.units WHERE capture_id = %s ORDER BY unit", [dry]
    ).fetchall()
    assert counted == [("applied", 3, 0), ("applied", 0, 0)]
