"""A table whose rows hold their capture, made from its spec alone: its captures are counted, the newest are shown."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from schemas.outcome import TableRows
from schemas.table import Column, Mode, Shown, Table
from sinks.policies import policy_of
from sinks.policy import Writer
from tests.sinks.captures import miscounted

pytestmark = pytest.mark.services

AT = datetime(2026, 3, 1, tzinfo=UTC)
TOTALS = Table(
    name="made_totals",
    key=(Column("day", "date"), Column("capture_id", "text"), Column("meter", "text"), Column("version", "text")),
    attributes=(Column("seen", "timestamptz"),),
    values=(Column("kwh", "float8"),),
    observed="seen",
    policy=Mode.INSERT,
    partition=("day", "version"),
    latest="version = 'a'",
)
COSTS = Table(
    name="made_costs",
    key=(Column("day", "date"), Column("capture_id", "text"), Column("meter", "text"), Column("formula", "text")),
    attributes=(Column("seen", "timestamptz"),),
    values=(Column("energy", "float8"),),
    observed="seen",
    policy=Mode.INSERT,
    touched="written_at",
    partition=("day",),
    shows=Shown(TOTALS, {"meter": "meter", "energy": "kwh"}),
)
WRITER = Writer("r", 1, Mode.INSERT, 1)


def put(connection: psycopg.Connection, table: Table, block: TableRows) -> int:
    policy = policy_of(table)
    return policy.write(connection, table, policy.stage(table, [(0, block)], WRITER.mode), WRITER)[0]


def write(connection: psycopg.Connection, capture: str, hours: int, *rows: list[object], version: str = "a") -> None:
    shared = {"day": "2026-03-01", "capture_id": capture, "seen": (AT + timedelta(hours=hours)).isoformat()}
    block = TableRows.of(TOTALS, ("meter", "kwh"), list(rows), shared={**shared, "version": version})
    assert put(connection, TOTALS, block) == len(rows)
    shown = TableRows.of(COSTS.written, ("shown_capture_id",), [[capture]], shared={**shared, "formula": "f"})
    put(connection, COSTS, shown)


def latest(connection: psycopg.Connection, table: Table, columns: str, of: str = "latest") -> list[tuple[object, ...]]:
    return connection.execute(f"SELECT {columns} FROM {table.name}_{of} ORDER BY meter".encode()).fetchall()


def test_the_newest_capture_of_a_partition_is_shown_whole(connection: psycopg.Connection) -> None:
    for table in (TOTALS, COSTS):
        policy_of(table).make(connection, table)
    write(connection, "c1", 0, ["m1", 1.0], ["m2", 2.0])
    write(connection, "c2", 1, ["m1", 1.5])
    write(connection, "c3", 2, ["m1", 9.0], version="b")
    assert latest(connection, TOTALS, "meter, kwh, capture_id") == [("m1", 1.5, "c2")]
    assert latest(connection, TOTALS, "meter, kwh", f"as_of('{AT}')") == [("m1", 1.0), ("m2", 2.0)]
    assert latest(connection, COSTS, "meter, energy, formula, capture_id") == [("m1", 9.0, "f", "c3")]
    connection.execute("DELETE FROM made_totals WHERE capture_id = 'c2'")
    connection.execute("DELETE FROM made_costs WHERE capture_id = 'c3'")
    assert latest(connection, TOTALS, "meter, kwh") == [("m1", 1.0), ("m2", 2.0)]
    assert miscounted(connection, [TOTALS]) == []
    # What is there already is counted when a table gets its captures, and what it gains is shown.
    connection.execute(f"DROP TABLE {TOTALS.captures} CASCADE; DROP TRIGGER captures_insert ON made_totals")
    for event in ("update", "delete", "truncate"):
        connection.execute(f"DROP TRIGGER captures_{event} ON made_totals".encode())
    grown = replace(TOTALS, values=(*TOTALS.values, Column("a", "int8")))
    policy_of(grown).make(connection, grown)
    assert miscounted(connection, [grown]) == []
    assert latest(connection, grown, "meter, kwh, a") == [("m1", 1.0, None), ("m2", 2.0, None)]
