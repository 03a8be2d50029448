"""FINRA's tables as people ask them: the playbook's statements, columns by their names, rows deleted by hand."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from processors.finra.process import outcome_of
from rederive.database import connect
from schemas.finra.row_equality import rows_equal_deterministic
from schemas.finra.tables import FINRA, RAW, SYMBOL_SUMMARY, SYMBOL_VENUE_VOLUME, VENUE_SHARE, VENUE_VOLUME
from schemas.outcome import TableRows
from schemas.table import Mode
from sinks.policies import policy_of
from sinks.policy import Writer
from tests.finra import naive
from tests.finra.stored import Run
from tests.finra.texts import AT, EXAMPLE_A, WEEK, content, unit
from tests.sinks.captures import miscounted
from tests.wait import until

pytestmark = pytest.mark.services

LATER = AT + timedelta(days=7)
RESTATED = (*EXAMPLE_A[:4], ("FNMA", "CDEL", 1_000_000, 2000))
CAPTURED = [table for table in FINRA.tables if table.partition]


@pytest.fixture
def captures(connection: psycopg.Connection) -> Iterator[tuple[str, str]]:
    """A week, and its restatement; in the end every capture is counted."""
    first = Run.made(connection).ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    yield first, Run.made(connection).ingest(content(RESTATED), WEEK, "OTC", LATER)
    assert miscounted(connection) == []


def dicts(connection: psycopg.Connection, query: str, *given: object) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(query.encode(), given).fetchall()


def venues(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        f"SELECT mpid, rank FROM {VENUE_SHARE.name}_latest WHERE (week_ending, tier) = (%s, 'OTC') ORDER BY rank",
        [WEEK],
    ).fetchall()


def test_the_playbook_is_answered(connection: psycopg.Connection, captures: tuple[str, str]) -> None:
    first, bad = captures
    for name in (one.name for one in CAPTURED if one.name.endswith(("venue_share", "venue_volume", "raw"))):
        # View all captures for a week.
        seen = connection.execute(
            f"""SELECT DISTINCT capture_id, captured_at, COUNT(*) as rows FROM {name}
                WHERE week_ending = '2025-12-26' AND tier = 'OTC'
                GROUP BY capture_id, captured_at ORDER BY captured_at DESC"""
        ).fetchall()
        assert [row[:2] for row in seen] == [(bad, LATER), (first, AT)]
        # Row count check; Postgres wants an aggregate to sort by.
        counted = connection.execute(
            f"""SELECT capture_id, COUNT(*) as rows FROM {name} WHERE week_ending = '2025-12-26' AND tier = 'OTC'
                GROUP BY capture_id ORDER BY max(captured_at) DESC LIMIT 2"""
        ).fetchall()
        assert counted == [(row[0], row[2]) for row in seen]
    # Invariant check; Postgres knows no alias in HAVING.
    assert not connection.execute(
        f"""SELECT week_ending, tier, capture_id, SUM(market_share_pct) as total_share FROM {VENUE_SHARE.name}
            WHERE capture_id = %s GROUP BY week_ending, tier, capture_id
            HAVING ABS(SUM(market_share_pct) - 1.0) > 0.001""",
        [bad],
    ).fetchall()
    # Determinism verification: the file of the first capture once more.
    again = Run.made(connection).ingest(content(EXAMPLE_A), WEEK, "OTC", LATER + timedelta(hours=1))
    assert venues(connection)[0] == ("NITE", 1)
    for table in CAPTURED:
        of_capture = f"SELECT * FROM {table.name} WHERE capture_id = %s"
        assert rows_equal_deterministic(dicts(connection, of_capture, first), dicts(connection, of_capture, again))
    # Rollback of both, as it is written there.
    for capture, left in ((again, [("CDEL", 1), ("NITE", 2)]), (bad, [("NITE", 1), ("CDEL", 2)])):
        for table in CAPTURED:
            done = connection.execute(f"DELETE FROM {table.name} WHERE capture_id = '{capture}'".encode())
            if table.name in (RAW.name, VENUE_VOLUME.name):
                assert done.rowcount == 5
            assert connection.execute(
                f"SELECT COUNT(*) FROM {table.name} WHERE capture_id = '{capture}'".encode()
            ).fetchone() == (0,)
        assert venues(connection)[:2] == left
        # Of what is shown nothing is hidden by a capture whose rows have gone before.
        for table in CAPTURED:
            held = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone() != (0,)
            assert bool(dicts(connection, f"SELECT * FROM {table.name}_latest")) == held, table.name
    assert connection.execute("SELECT * FROM core_quality WHERE status = 'FAIL' ORDER BY created_at DESC LIMIT 10")


def test_every_column_has_its_name_and_every_row_its_id(
    connection: psycopg.Connection, captures: tuple[str, str]
) -> None:
    for table in CAPTURED:
        names = ["id", *(column.name for column in (*table.key, *table.columns)), table.touched or ""]
        listed = sql.SQL(", ").join(map(sql.Identifier, names))
        for name in (table.name, f"{table.name}_latest"):
            rows = connection.execute(sql.SQL("SELECT {} FROM {}").format(listed, sql.Identifier(name))).fetchall()
            assert len({row[0] for row in rows}) == len(rows)
    assert captures


def test_volumes_of_symbols_by_venue_are_the_normalised_ones(
    connection: psycopg.Connection, captures: tuple[str, str]
) -> None:
    first, _ = captures
    raw, _ = naive.ingest(content(EXAMPLE_A))
    volumes, _ = naive.normalize(raw, True)
    want = [(row["symbol"], row["mpid"], row["total_shares"], row["total_trades"]) for row in volumes]
    of_capture = f"""SELECT symbol, mpid, total_volume, trade_count FROM {SYMBOL_VENUE_VOLUME.name}
                     WHERE capture_id = %s ORDER BY symbol, mpid"""
    assert connection.execute(of_capture, [first]).fetchall() == sorted(want)

    run = Run.made(connection)
    again = run.aggregate(first, LATER + timedelta(hours=1))
    assert connection.execute(of_capture, [again]).fetchall() == sorted(want)
    (shown,) = {
        (row["capture_id"], row["input_capture_id"], row["execution_id"], row["captured_at"])
        for row in dicts(connection, f"SELECT * FROM {SYMBOL_VENUE_VOLUME.name}_latest")
    }
    assert shown == (again, first, run.capture_id, LATER + timedelta(hours=1))
    # Of the normalised rows nothing goes when they are shown no longer.
    assert connection.execute(f"DELETE FROM {SYMBOL_VENUE_VOLUME.name} WHERE capture_id = %s", [first]).rowcount == 5
    assert connection.execute(of_capture, [first]).fetchall() == []
    assert connection.execute(of_capture, [again]).fetchall() == sorted(want)
    with pytest.raises(psycopg.errors.RestrictViolation, match=r"rows of a capture go from .* together"):
        connection.execute(f"DELETE FROM {SYMBOL_VENUE_VOLUME.name} WHERE symbol = 'AABB'")
    assert connection.execute(of_capture, [again]).fetchall() == sorted(want)


def test_half_a_capture_does_not_go_beside_one_that_somebody_else_deletes(
    connection: psycopg.Connection, captures: tuple[str, str], migrated: str
) -> None:
    first, _ = captures
    again = Run.made(connection).aggregate(first, LATER + timedelta(hours=1))
    delete = f"DELETE FROM {SYMBOL_VENUE_VOLUME.name} WHERE capture_id = '{first}'"
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'other' AND wait_event_type = 'Lock'"
    with (
        ThreadPoolExecutor(1) as threads,
        connect(migrated, application="other") as other,
        connect(migrated, application="third", autocommit=False) as third,
    ):
        assert third.execute(delete.encode()).rowcount == 5
        half = f"{delete} OR (capture_id = '{again}' AND symbol = 'AABB')"
        refused = threads.submit(other.execute, half.encode())
        until(lambda: connection.execute(waiting).fetchone() == (1,), 30, "the other one doesn't wait")
        third.commit()
        with pytest.raises(psycopg.errors.RestrictViolation):
            refused.result(30)
        assert other.execute(delete.encode()).rowcount == 0
    shown = f"SELECT count(*) FROM {SYMBOL_VENUE_VOLUME.name} WHERE capture_id = '{again}'"
    assert connection.execute(shown.encode()).fetchone() == (5,)


def test_a_file_that_is_asked_for_nothing_else_has_its_volumes(connection: psycopg.Connection) -> None:
    name = "weekly_symbol_venue_volume"
    capture = Run.made(connection).ingest(content(EXAMPLE_A), WEEK, "OTC", AT, calc=(name,))
    for table, rows in ((RAW, 0), (VENUE_VOLUME, 5), (SYMBOL_VENUE_VOLUME, 5), (SYMBOL_SUMMARY, 0)):
        found = connection.execute(f"SELECT count(*) FROM {table.name} WHERE capture_id = %s", [capture]).fetchone()
        assert found == (rows,), table.name


def test_captures_are_counted_whatever_is_done_by_hand(
    connection: psycopg.Connection, captures: tuple[str, str], migrated: str
) -> None:
    first, second = captures
    counts = f"SELECT capture_id, captured_at, rows FROM {VENUE_SHARE.captures} ORDER BY captured_at"
    assert connection.execute(counts).fetchall() == [(first, AT, 4), (second, LATER, 4)]
    connection.execute(f"DELETE FROM {VENUE_SHARE.name} WHERE capture_id = %s AND mpid = 'NITE'", [second])
    connection.execute(f"UPDATE {VENUE_SHARE.name} SET captured_at = %s WHERE capture_id = %s", [AT, second])
    connection.execute(f"UPDATE {VENUE_SHARE.name} SET rank = rank + 1")
    assert sorted(connection.execute(counts).fetchall()) == sorted([(first, AT, 4), (second, AT, 3)])
    # Each of two deletes what the other one hasn't: neither sees that no row is left.
    with connect(migrated, application="other", autocommit=False) as other:
        other.execute(f"DELETE FROM {SYMBOL_SUMMARY.name} WHERE capture_id = %s AND symbol = 'AABB'", [second])
        other.execute("SET LOCAL lock_timeout = '100ms'")
        with connect(migrated, application="third", autocommit=False) as third:
            third.execute("SET LOCAL lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                third.execute(f"DELETE FROM {SYMBOL_SUMMARY.name} WHERE capture_id = %s AND symbol = 'FNMA'", [second])
        other.commit()
    connection.execute(f"DELETE FROM {SYMBOL_SUMMARY.name} WHERE capture_id = %s AND symbol = 'FNMA'", [second])
    assert {row["capture_id"] for row in dicts(connection, f"SELECT * FROM {SYMBOL_SUMMARY.name}_latest")} == {first}
    connection.execute(f"TRUNCATE {VENUE_SHARE.name}")
    assert connection.execute(counts).fetchall() == []


def test_the_newest_of_a_partition_is_found_without_scanning(
    connection: psycopg.Connection, captures: tuple[str, str]
) -> None:
    connection.execute("SET enable_seqscan = off")
    for table in CAPTURED:
        plan = "\n".join(
            row[0]
            for row in connection.execute(
                f"EXPLAIN SELECT * FROM {table.name}_latest WHERE week_ending = '2025-12-26' AND tier = 'OTC'".encode()
            )
        )
        rows = VENUE_VOLUME if table.shows else table
        assert re.search(rf"(using|Index Scan on) {rows.name[:50]}\w*_pkey", plan), plan
        assert f"Seq Scan on {rows.name}" not in plan, plan
    assert captures


def test_a_block_of_one_row_without_symbol_and_mpid_is_kept(connection: psycopg.Connection) -> None:
    made = outcome_of(unit("WeekEnding|Tier|Symbol|MPID|TotalShares|TotalTrades\n2025-12-26|OTC\n"), [])
    (block,) = (each for each in made.tables if each.table == RAW.name)
    writer = Writer("r", 1, Mode.INSERT, 1)
    (row,) = block.rows()
    said = dict(zip(block.columns, row, strict=True))
    policy = policy_of(RAW)
    for capture, other in (("c0", {}), ("c1", {"symbol": None, "mpid": None})):
        values = said | other | {"capture_id": capture}
        staged = policy.stage(RAW, [(0, TableRows.of(RAW, tuple(values), [list(values.values())]))], writer.mode)
        assert policy.write(connection, RAW, staged, writer)[0] == 1
    stored = connection.execute(f"SELECT symbol, mpid, total_shares FROM {RAW.name} ORDER BY capture_id").fetchall()
    assert (None, None, 0) in stored
    assert len(stored) == 2
    assert miscounted(connection) == []
