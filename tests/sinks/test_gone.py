"""Rows whose source row is deleted between read and merge: each is a skip of its own, the rest is written."""

from typing import Any

import psycopg
import pytest

from schemas.outcome import Outcome, TableRows
from schemas.table import Mode
from sinks.apply import apply
from sinks.merge import policy as merge_policy
from sinks.merge.merging import merge
from tests.sinks.made_tables import MADE, TWO_SOURCES, make_capture
from tests.sinks.test_apply import plan, result, stored, units

pytestmark = pytest.mark.services


@pytest.fixture
def sourced(connection: psycopg.Connection) -> psycopg.Connection:
    """`made_one` derives from rows of a table that isn't its domain's."""
    connection.execute(
        """CREATE TABLE made_source (id int8 PRIMARY KEY); INSERT INTO made_source SELECT generate_series(1, 200);
           ALTER TABLE made_one ADD FOREIGN KEY (k) REFERENCES made_source ON DELETE CASCADE"""
    )
    return connection


def _problems(connection: psycopg.Connection, capture: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT unit, key, reason, message FROM rederive.problems WHERE capture_id = %s ORDER BY unit, ordinal",
        [capture],
    ).fetchall()


def test_only_the_rows_that_are_gone_are_skipped(sourced: psycopg.Connection) -> None:
    capture = make_capture(sourced, 1, Mode.FILL, 1)
    plan(sourced, capture, [128, 2])
    sourced.execute("DELETE FROM made_source WHERE id IN (7, 100, 129)")
    batch = [
        result(capture, 0, [(k, 1.0, None, None) for k in range(1, 129)]),
        result(capture, 1, [(k, 2.0, None, None) for k in (129, 130)]),
    ]
    assert apply(sourced, MADE, capture, batch).refused == []
    assert units(sourced, capture) == [("applied", 126, 0, 2, 0), ("applied", 1, 0, 1, 0)]
    assert sorted(stored(sourced)) == [k for k in range(1, 131) if k not in (7, 100, 129)]
    assert [found[:3] for found in _problems(sourced, capture)] == [
        (0, [7], "gone"),
        (0, [100], "gone"),
        (1, [129], "gone"),
    ]
    assert _problems(sourced, capture)[0][3] == "made_source has no such row (any more)"


def test_a_dry_run_counts_them_too(sourced: psycopg.Connection) -> None:
    capture = make_capture(sourced, 1, Mode.FILL, 1, dry_run=True)
    plan(sourced, capture, [2])
    sourced.execute("DELETE FROM made_source WHERE id = 2")
    apply(sourced, MADE, capture, [result(capture, 0, [(1, 1.0, None, None), (2, 1.0, None, None)])])
    assert units(sourced, capture) == [("applied", 1, 0, 1, 0)]


def test_rows_that_go_while_others_are_being_left_out(
    sourced: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = make_capture(sourced, 1, Mode.FILL, 1)
    plan(sourced, capture, [4])
    sourced.execute("DELETE FROM made_source WHERE id = 1")
    waiting = [2, 3]

    def deleted_first(*arguments: Any) -> Any:
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("DELETE FROM made_source WHERE id = %s", [waiting.pop() if waiting else 0])
        return merge(*arguments)

    monkeypatch.setattr(merge_policy, "merge", deleted_first)
    done = apply(sourced, MADE, capture, [result(capture, 0, [(k, 1.0, None, None) for k in (1, 2, 3, 4)])])
    assert done.refused == []
    assert units(sourced, capture) == [("applied", 1, 0, 3, 0)]
    assert sorted(stored(sourced)) == [4]


def test_a_row_of_no_parent_in_its_own_domain_is_no_row_that_is_gone(connection: psycopg.Connection) -> None:
    connection.execute("ALTER TABLE made_two ADD FOREIGN KEY (k) REFERENCES made_one")
    capture = make_capture(connection, 1, Mode.SUPERSEDE, 1)
    plan(connection, capture, [1])
    broken = result(capture, 0, [])
    seen = "2026-02-06T12:00:00+00:00"
    broken.outcome.tables[:] = [TableRows.of(TWO_SOURCES, ("k", "seen", "ca"), [[1, seen, 1.0]])]
    broken.outcome.read = 1
    assert isinstance(broken.outcome, Outcome)
    ((_, reason),) = apply(connection, MADE, capture, [broken]).refused
    assert "ForeignKeyViolation" in reason
