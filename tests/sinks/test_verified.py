"""Rows held against what is kept of them: each kind of fault, made by hand, is named; what others do is said apart."""

from collections.abc import Sequence

import psycopg
import pytest

from schemas.domain import Domain
from schemas.outcome import TableRows
from schemas.table import Column, Mode, Table
from sinks.insert.policy import Insert
from sinks.merge import verify as batches
from sinks.merge.merging import merge
from sinks.merge.policy import Merge
from sinks.merge.staging import Staged
from sinks.policy import Fault, Scope, Verified, Writer
from tests.sinks.made_tables import MADE, ONE_SOURCE, make_capture

pytestmark = pytest.mark.services

SEEN = "2026-02-06T12:00:00+00:00"
NAME = ONE_SOURCE.name
KEPT = "it is served as a merge has left it, and nothing that is kept supports it"
HISTORY, BASELINE = f"rederive.{NAME}_history", f"rederive.{NAME}_baseline"


def write(connection: psycopg.Connection, number: int, keys: Sequence[int], value: float) -> str:
    """What a capture computes of some keys: a is the value, b is of nobody."""
    capture = make_capture(connection, number, Mode.SUPERSEDE, 1)
    block = TableRows.of(ONE_SOURCE, ("k", "seen", "a", "c"), [[key, SEEN, value, float(key)] for key in keys])
    with connection.transaction():
        merge(connection, Staged(ONE_SOURCE, [(0, block)], Mode.SUPERSEDE), Writer(capture, number, Mode.SUPERSEDE, 1))
    return capture


@pytest.fixture
def filled(connection: psycopg.Connection) -> psycopg.Connection:
    """Two captures on the same keys, a third on others."""
    write(connection, 1, range(1, 31), 1.0)
    write(connection, 2, range(11, 41), 2.0)
    write(connection, 3, range(101, 111), 3.0)
    return connection


def looked_at(connection: psycopg.Connection, run: str | None = None, after: tuple[str, ...] = ()) -> Verified:
    scope = Scope(MADE, frozenset(), run) if run else None
    return sum(Merge().verify(connection, ONE_SOURCE, scope, after), Verified())


def by_hand(connection: psycopg.Connection, sets: str, where: str) -> None:
    """Change rows as only this program does: with the mark of a merge."""
    connection.execute(f"UPDATE {NAME} SET {sets}, merge_xid = pg_current_xact_id()::xid WHERE {where}")


def test_what_is_merged_holds(filled: psycopg.Connection) -> None:
    assert looked_at(filled) == Verified(rows=50)
    assert looked_at(filled, "c1") == Verified(rows=30)
    assert looked_at(filled, "c3") == Verified(rows=10)
    assert looked_at(filled, "c9") == Verified(rows=0)


def test_a_value_that_no_entry_gives_is_named(filled: psycopg.Connection) -> None:
    by_hand(filled, "a = 9, b = 4", "k = 5")
    by_hand(filled, "c = NULL", "k = 105")
    first = [Fault(NAME, ("5",), "a", "9", "1"), Fault(NAME, ("5",), "b", "4", None)]
    assert looked_at(filled).faults == [*first, Fault(NAME, ("105",), "c", None, "105")]
    assert looked_at(filled, "c1").faults == first
    assert looked_at(filled, "c2").wrong == 0


def test_a_row_whose_history_is_gone_is_named(filled: psycopg.Connection) -> None:
    filled.execute(f"DELETE FROM {HISTORY} WHERE k IN (1, 11, 102)")
    filled.execute(f"DELETE FROM {BASELINE} WHERE k IN (102, 103)")
    found = looked_at(filled)
    assert set(found.faults) == {
        *(Fault(NAME, (key,), why=KEPT) for key in ("1", "11", "102")),
        Fault(NAME, ("103",), why="it has a history and no baseline"),
    }
    assert found.wrong == 4
    assert looked_at(filled, "c1").wrong == 1, "the rows that name it and are known by nothing else"


def test_an_entry_that_is_gone_is_named_by_what_the_others_give(filled: psycopg.Connection) -> None:
    filled.execute(f"DELETE FROM {HISTORY} WHERE k = 12 AND capture_id = 'c2'")
    unnamed = Fault(NAME, ("12",), "capture_id", why="the capture that it names has no entry in its history")
    assert looked_at(filled).faults == [Fault(NAME, ("12",), "a", "2", "1"), unnamed]


def test_what_others_write_and_delete_is_said_apart(filled: psycopg.Connection) -> None:
    filled.execute(f"UPDATE {NAME} SET a = 9 WHERE k = 5")
    filled.execute(f"UPDATE {NAME} SET a = a WHERE k = 6")
    filled.execute(f"DELETE FROM {NAME} WHERE k IN (7, 8)")
    filled.execute(f"INSERT INTO {NAME} (k, seen, a) VALUES (500, now(), 1)")
    found = looked_at(filled)
    assert (found.wrong, found.written_outside, found.outside) == (0, 1, [("5",)])
    assert (found.deleted_outside, found.deleted) == (2, [("7",), ("8",)])


def test_all_faults_are_counted_and_the_first_are_listed(filled: psycopg.Connection) -> None:
    by_hand(filled, "a = 9", "true")
    found = looked_at(filled)
    assert (found.wrong, len(found.faults)) == (50, 20)


@pytest.mark.parametrize("run", [None, "c2"])
def test_batches_are_of_all_keys_once_and_one_that_was_stopped_goes_on(
    filled: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, run: str | None
) -> None:
    monkeypatch.setattr(batches, "BATCH_KEYS", 7)
    monkeypatch.setattr(batches, "_SCANNED_KEYS", 10)
    filled.execute(f"DELETE FROM {HISTORY} WHERE k = 23")
    filled.execute(f"DELETE FROM {BASELINE} WHERE k = 23")
    scope = Scope(MADE, frozenset(), run) if run else None
    done = list(Merge().verify(filled, ONE_SOURCE, scope))
    assert len(done) > 3
    assert sum(one.rows for one in done) == (30 if run else 50)
    assert sum(one.wrong for one in done) == 1
    assert max(one.rows for one in done) <= 10
    assert done[-1].place is None
    for at, one in enumerate(done[:-1], start=1):
        assert one.place is not None
        assert looked_at(filled, run, one.place).rows == sum(later.rows for later in done[at:])


def test_it_only_reads_and_locks_nobody_out(filled: psycopg.Connection, migrated: str) -> None:
    with psycopg.connect(migrated) as writer, psycopg.connect(migrated, autocommit=True) as reader:
        writer.execute(f"UPDATE {NAME} SET a = 9 WHERE k = 5")
        writer.execute(f"LOCK {HISTORY} IN ROW EXCLUSIVE MODE")
        reader.execute("SET default_transaction_read_only = on; SET statement_timeout = '20s'")
        assert looked_at(reader) == Verified(rows=50)
        assert filled.execute("SELECT count(*) FROM made_one").fetchone() == (50,)


TOTALS = Table(
    name="made_totals",
    key=(Column("week", "date"), Column("part", "text"), Column("capture_id", "text"), Column("k", "int8")),
    attributes=(Column("captured_at", "timestamptz"),),
    values=(Column("total", "float8"),),
    observed="captured_at",
    policy=Mode.INSERT,
    partition=("week", "part"),
    latest="total > 0",
)
TOTALLED = Domain(name="totalled", derivation_version=1, tables=(TOTALS,), stages={"totals": (TOTALS.name,)})


@pytest.fixture
def totals(connection: psycopg.Connection) -> psycopg.Connection:
    """Two captures of a partition, one of another, all written by units."""
    Insert().make(connection, TOTALS)
    make_capture(connection, 1, Mode.INSERT, 1)
    for number, (week, part, capture, day) in enumerate(
        [("2025-01-03", "OTC", "old", 1), ("2025-01-03", "OTC", "new", 2), ("2025-01-10", "ATS", "other", 1)]
    ):
        connection.execute(
            f"""INSERT INTO {TOTALS.name} SELECT %s, %s, %s, n, make_timestamptz(2025, 2, %s, 0, 0, 0), n - 1
                FROM generate_series(1, 5) n""",
            [week, part, capture, day],
        )
        connection.execute(
            """INSERT INTO rederive.units (capture_id, unit, key_range, locator, rows, state, stage, writes)
               VALUES ('c1', %s, '', '{}', 5, 'applied', 'totals', ARRAY[%s])""",
            [number, capture],
        )
    return connection


def of_totals(connection: psycopg.Connection, scope: Scope | None = None) -> Verified:
    return sum(Insert().verify(connection, TOTALS, scope), Verified())


def test_inserted_rows_hold_a_part_at_a_time(totals: psycopg.Connection) -> None:
    done = list(Insert().verify(totals, TOTALS))
    assert [(one.rows, one.wrong, one.place) for one in done] == [(10, 0, ("2025-01-03",)), (5, 0, None)]
    assert [one.rows for one in Insert().verify(totals, TOTALS, None, ("2025-01-03",))] == [5]
    assert Insert().held(totals, TOTALS, ["old", "other", "none"]) == {"old": 5, "other": 5}


def test_captures_that_are_miscounted_are_named(totals: psycopg.Connection) -> None:
    totals.execute(f"UPDATE {TOTALS.captures} SET rows = 7 WHERE capture_id = 'old'")
    totals.execute(f"DELETE FROM {TOTALS.captures} WHERE capture_id = 'other'")
    miscounted = [(fault.key[-1], fault.served, fault.wanted) for fault in of_totals(totals).faults if fault.column]
    # Whose captures nobody counts isn't shown either.
    assert miscounted == [("old", "5", "7"), ("other", "5", "0"), ("other", "0", "4")]


def test_a_newest_capture_that_is_not_shown_is_named(totals: psycopg.Connection) -> None:
    totals.execute(f"UPDATE {TOTALS.captures} SET captured_at = '2024-01-01' WHERE capture_id = 'new'")
    shown = [fault for fault in of_totals(totals).faults if fault.table == f"{TOTALS.name}_latest"]
    assert {(fault.key, fault.served, fault.wanted) for fault in shown} == {
        (("2025-01-03", "OTC", "new"), "0", "4"),
        (("2025-01-03", "OTC", "old"), "4", "0"),
    }


def test_rows_that_no_unit_has_written_are_named(totals: psycopg.Connection) -> None:
    totals.execute("UPDATE rederive.units SET state = 'removed' WHERE writes = ARRAY['old']")
    assert of_totals(totals).faults == [
        Fault(TOTALS.name, ("old",), why="no unit that counts has written this capture")
    ]
