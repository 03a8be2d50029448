"""Applying results: whole or not at all, once however often, and every unit accounted for."""

import random
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.table import Mode
from schemas.unit import Origin
from sinks.apply import Result, apply
from sinks.merge import merging as merge_module
from sinks.merge.merging import folding, prepare
from sinks.merge.rollback import roll_back
from sinks.policy import Taken
from store import origins
from tests.sinks.made_tables import MADE, MODES, ONE_SOURCE, make_capture
from tests.wait import until

pytestmark = pytest.mark.services

_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
SEEN = "2026-02-06T12:00:00+00:00"
Rows = Sequence[tuple[int, float | None, float | None, float | None]]


def result(
    capture: str, unit: int, rows: Rows, offset: int | None = None, seen: str | None = SEEN, **more: Any
) -> Result:
    block = TableRows.of(ONE_SOURCE, ("k", "seen", "a", "b", "c"), [[k, seen, a, b, c] for k, a, b, c in rows])
    outcome = Outcome(read=len(rows), tables=[block], **more)
    return Result(Origin("t", 0, unit if offset is None else offset), capture, unit, outcome)


def plan(connection: psycopg.Connection, capture: str, sizes: Sequence[int]) -> None:
    for unit, rows in enumerate(sizes):
        connection.execute(
            "INSERT INTO rederive.units (capture_id, unit, key_range, locator, rows) VALUES (%s, %s, '', '{}', %s)",
            [capture, unit, rows],
        )


def stored(connection: psycopg.Connection) -> dict[int, tuple[float | None, ...]]:
    rows = connection.execute("SELECT k, a, b, c FROM made_one ORDER BY k")
    return {row[0]: row[1:] for row in rows}


def units(connection: psycopg.Connection, capture: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        """SELECT state, updated, unchanged, skipped, errors FROM rederive.units
           WHERE capture_id = %s ORDER BY unit""",
        [capture],
    ).fetchall()


def test_a_repeat_changes_nothing_and_is_counted_once(connection: psycopg.Connection) -> None:
    capture = make_capture(connection, 1, Mode.FILL, 1)
    plan(connection, capture, [2])
    rows = [(1, 1.0, None, None), (2, None, 2.0, None)]
    assert apply(connection, MADE, capture, [result(capture, 0, rows)]).applied == 1
    again = apply(connection, MADE, capture, [result(capture, 0, rows), result(capture, 0, rows, offset=7)])
    assert (again.applied, again.repeated) == (0, 2)
    assert stored(connection) == {1: (1.0, None, None), 2: (None, 2.0, None)}
    assert units(connection, capture) == [("applied", 2, 0, 0, 0)]
    assert origins.holes(connection, "t", 0, 0, 8) == [(1, 7)]


def test_worked_example_of_the_merge(connection: psycopg.Connection) -> None:
    """A stored 0.0 stays, NULL is filled, a stored value stays (betfair spec, E6)."""
    connection.execute("INSERT INTO made_one (k, seen, a, c) VALUES (1, now(), 0.0, 5.0)")
    capture = make_capture(connection, 1, Mode.FILL, 1)
    plan(connection, capture, [1])
    apply(connection, MADE, capture, [result(capture, 0, [(1, 10432.7, -477.6000000000001, 200.0)])])
    assert stored(connection) == {1: (0.0, -477.6000000000001, 5.0)}


def test_counts_and_problems_of_each_unit(connection: psycopg.Connection) -> None:
    connection.execute("INSERT INTO made_one VALUES (1, now(), 1.0, 1.0, 1.0)")
    capture = make_capture(connection, 1, Mode.FILL, 1)
    plan(connection, capture, [4, 2, 3])
    first = result(capture, 0, [(1, 9.0, 9.0, 9.0), (2, 2.0, None, None)])
    first.outcome.read = 4
    first.outcome.skips.append(RowProblem((3,), "no_metadata", "no roles"))
    first.outcome.errors.append(RowProblem((4,), "error", "junk \0 text"))
    second = result(capture, 1, [(5, None, None, None), (6, None, 1.0, None)])
    third = Result(Origin("t", 0, 2), capture, 2, Outcome(dead="ValueError: no unit"))
    apply(connection, MADE, capture, [first, second, third])
    assert units(connection, capture) == [
        ("applied", 1, 1, 1, 1),
        ("applied", 1, 1, 0, 0),
        ("dead", 0, 0, 0, 3),
    ]
    problems = connection.execute(
        "SELECT unit, key, reason, message FROM rederive.problems ORDER BY ordinal"
    ).fetchall()
    assert problems == [(0, [3], "no_metadata", "no roles"), (0, [4], "error", "junk  text")]
    assert 5 not in stored(connection), "a row without any value is none"


# A text that no index takes, however it is compressed.
_TOO_WIDE = """
    CREATE FUNCTION wide(a float8) RETURNS text IMMUTABLE LANGUAGE sql AS
        $$ SELECT CASE WHEN a >= 100 THEN string_agg(md5(n::text), '') END FROM generate_series(1, 200) n $$;
    CREATE INDEX too_wide ON made_one (wide(a))"""


@pytest.mark.parametrize(
    ("narrow", "said", "widen"),
    [
        ("ALTER TABLE made_one ADD CHECK (a < 100)", "made_one_a_check", "DROP CONSTRAINT made_one_a_check"),
        (_TOO_WIDE, "exceeds btree version 4 maximum 2704 for index", ""),
    ],
    ids=["constraint", "index"],
)
def test_a_refused_unit_is_dead_whole_and_alone(
    connection: psycopg.Connection, narrow: str, said: str, widen: str
) -> None:
    connection.execute(narrow)
    capture = make_capture(connection, 1, Mode.FILL, 1)
    plan(connection, capture, [2, 2, 2])
    batch = [
        result(capture, 0, [(1, 1.0, None, None), (2, 2.0, None, None)]),
        result(capture, 1, [(3, 3.0, None, None), (4, 400.0, None, None)]),
        result(capture, 2, [(5, 5.0, None, None), (6, 6.0, None, None)]),
    ]
    done = apply(connection, MADE, capture, batch)
    assert [(refused.unit, said in reason) for refused, reason in done.refused] == [(1, True)]
    assert sorted(stored(connection)) == [1, 2, 5, 6]
    assert units(connection, capture) == [("applied", 2, 0, 0, 0), ("dead", 0, 0, 0, 2), ("applied", 2, 0, 0, 0)]
    connection.execute(f"ALTER TABLE made_one {widen}" if widen else "DROP INDEX too_wide")
    apply(connection, MADE, capture, [result(capture, 1, [(3, 3.0, None, None), (4, 400.0, None, None)], offset=9)])
    assert units(connection, capture)[1] == ("applied", 2, 0, 0, 0), "dead becomes applied by sending it again"


def test_rows_that_do_not_fit_the_table_make_their_unit_dead(connection: psycopg.Connection) -> None:
    capture = make_capture(connection, 1, Mode.FILL, 1)
    plan(connection, capture, [1, 1, 1])
    fitting = result(capture, 0, [(1, 1.0, None, None)]).outcome.tables[0].batch
    odd = TableRows("made_one", fitting.rename_columns(["k", "seen", "nonsense", "b", "c"]))
    short = TableRows("made_one", fitting.select(["k", "a"]))
    batch = [
        Result(Origin("t", 0, 0), capture, 0, Outcome(read=1, tables=[odd])),
        Result(Origin("t", 0, 1), capture, 1, Outcome(read=1, tables=[short])),
        result(capture, 2, [(7, 7.0, None, None)]),
    ]
    done = apply(connection, MADE, capture, batch)
    assert [refused.unit for refused, _ in done.refused] == [0, 1]
    assert stored(connection) == {7: (7.0, None, None)}


def test_records_of_a_capture_that_is_not_running_are_discarded_and_noted(connection: psycopg.Connection) -> None:
    capture = make_capture(connection, 1, Mode.FILL, 1)
    plan(connection, capture, [1])
    connection.execute("UPDATE rederive.captures SET state = 'cancelled'")
    assert apply(connection, MADE, capture, [result(capture, 0, [(1, 1.0, None, None)])]).discarded == 1
    assert apply(connection, MADE, "nobody", [result("nobody", 0, [(1, 1.0, None, None)])]).discarded == 1
    assert stored(connection) == {}
    assert origins.holes(connection, "t", 0, 0, 1) == []


def test_a_dry_run_counts_and_writes_nothing(connection: psycopg.Connection) -> None:
    connection.execute("INSERT INTO made_one VALUES (1, now(), 1.0, 1.0, 1.0), (2, now(), NULL, 1.0, 1.0)")
    before = stored(connection)
    capture = make_capture(connection, 1, Mode.FILL, 1, dry_run=True)
    plan(connection, capture, [3])
    rows = [(1, 9.0, 9.0, 9.0), (2, 9.0, 9.0, 9.0), (3, 9.0, None, None)]
    apply(connection, MADE, capture, [result(capture, 0, rows)])
    assert units(connection, capture) == [("applied", 2, 1, 0, 0)]
    assert stored(connection) == before
    assert connection.execute("SELECT count(*) FROM rederive.made_one_history").fetchone() == (0,)


ROWS = st.lists(
    st.tuples(st.integers(1, 8), *[st.one_of(st.none(), st.integers(1, 3).map(float))] * 3),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[0],
)


@given(rows=ROWS, data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("mode", MODES)
def test_the_result_does_not_depend_on_cut_order_or_repeats(
    connection: psycopg.Connection, mode: Mode, rows: Rows, data: st.DataObject
) -> None:
    """However a capture's rows are cut into units, ordered, batched and repeated, the table ends the same."""

    def run(number: int, batches: list[list[tuple[int, Rows]]]) -> dict[int, tuple[float | None, ...]]:
        connection.execute(
            """TRUNCATE made_one, rederive.made_one_history, rederive.made_one_baseline, rederive.captures CASCADE;
               INSERT INTO made_one (k, seen, a) VALUES (1, now(), 3.0), (2, now(), NULL), (3, now(), 1.0)"""
        )
        capture = make_capture(connection, number, mode, 1)
        plan(connection, capture, [1] * 20)
        offset = 0
        for batch in batches:
            results = []
            for unit, cut in batch:
                results.append(result(capture, unit, cut, offset))
                offset += 1
            apply(connection, MADE, capture, results)
        return stored(connection)

    whole = run(1, [[(0, rows)]])
    cuts = sorted({0, len(rows), *data.draw(st.lists(st.integers(0, len(rows)), max_size=4))})
    pieces = [(unit, rows[low:high]) for unit, (low, high) in enumerate(pairwise(cuts))]
    sent = data.draw(st.permutations(pieces + data.draw(st.lists(st.sampled_from(pieces), max_size=4))))
    batches: list[list[tuple[int, Rows]]] = [[]]
    for piece in sent:
        if data.draw(st.booleans()):
            batches.append([])
        batches[-1].append(piece)
    assert run(2, [batch for batch in batches if batch]) == whole


def test_writers_on_the_same_keys_leave_every_row_equal_to_its_fold(
    connection: psycopg.Connection, database_url: str
) -> None:
    modes = [Mode.FILL, Mode.FILL, Mode.SUPERSEDE]
    captures = [make_capture(connection, number, mode, 1) for number, mode in enumerate(modes, start=1)]
    failures: list[BaseException] = []

    def write(capture: str, seed: int) -> None:
        chance = random.Random(seed)
        try:
            with psycopg.connect(database_url, autocommit=True) as own:
                prepare(own, MADE.tables)
                for offset in range(25):
                    keys = chance.sample(range(1500), 200)
                    rows = [(k, float(seed) if chance.random() < 0.5 else None, float(seed), None) for k in keys]
                    one = result(capture, 0, rows, offset)
                    apply(own, MADE, capture, [Result(Origin(capture, 0, offset), capture, None, one.outcome)])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(capture, seed)) for seed, capture in enumerate(captures, start=1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    sql = folding(ONE_SOURCE)
    unequal = connection.execute(
        f"""SELECT count(*) FROM made_one s FULL JOIN ({sql.fold("(SELECT k FROM made_one) every_key")}) f USING (k)
            WHERE (s.a, s.b, s.c) IS DISTINCT FROM (f.a, f.b, f.c)"""
    ).fetchone()
    assert unequal == (0,)


def test_what_is_written_from_outside_between_noting_and_folding_is_kept(
    connection: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ingestion inserts a row at the worst moment: when it has been looked for and before it is written."""
    first = make_capture(connection, 1, Mode.FILL, 1)
    apply(connection, MADE, first, [result(first, 0, [(1, 1.0, None, None)])])
    connection.execute("DELETE FROM made_one")
    second = make_capture(connection, 2, Mode.FILL, 1)
    note = merge_module.note_outside

    def noted_then_inserted(*arguments: Any) -> None:
        note(*arguments)
        with psycopg.connect(database_url, autocommit=True) as ingestion:
            ingestion.execute("INSERT INTO made_one (k, seen, b) VALUES (1, now(), 777.0) ON CONFLICT DO NOTHING")

    monkeypatch.setattr(merge_module, "note_outside", noted_then_inserted)
    apply(connection, MADE, second, [result(second, 0, [(1, None, 2.0, 3.0)])])
    assert stored(connection) == {1: (1.0, 777.0, 3.0)}


def test_ingestion_waits_for_rows_that_are_being_folded(
    connection: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("INSERT INTO made_one (k, seen, a) VALUES (1, now(), 1.0)")
    capture = make_capture(connection, 1, Mode.FILL, 1)
    note = merge_module.note_outside
    refused = []

    def noted_then_updated(*arguments: Any) -> None:
        note(*arguments)
        with psycopg.connect(database_url, autocommit=True, options="-c lock_timeout=200") as ingestion:
            try:
                ingestion.execute("UPDATE made_one SET b = 777.0")
            except psycopg.errors.LockNotAvailable as error:
                refused.append(error)

    monkeypatch.setattr(merge_module, "note_outside", noted_then_updated)
    later = result(capture, 1, [(1, None, None, 3.0)], seen="2026-02-06T12:00:01+00:00")
    apply(connection, MADE, capture, [result(capture, 0, [(1, None, 2.0, None)]), later])
    assert len(refused) == 1
    assert stored(connection) == {1: (1.0, 2.0, 3.0)}


def test_the_first_of_two_results_for_a_key_stays(connection: psycopg.Connection) -> None:
    capture = make_capture(connection, 1, Mode.FILL, 1)
    apply(connection, MADE, capture, [result(capture, n, [(1, float(n), None, None)]) for n in (1, 2)])
    apply(connection, MADE, capture, [result(capture, 3, [(1, None, 3.0, None)])])
    assert stored(connection) == {1: (1.0, None, None)}


def test_a_rollback_after_an_outside_update_keeps_the_row_and_what_was_said(connection: psycopg.Connection) -> None:
    capture = make_capture(connection, 1, Mode.FILL, 1)
    apply(connection, MADE, capture, [result(capture, 0, [(1, 1.0, 2.0, None)])])
    connection.execute("UPDATE made_one SET c = 777.0")
    assert list(roll_back(connection, ONE_SOURCE, capture)) == [Taken(entries=1, changed=1)]
    assert stored(connection) == {1: (None, None, 777.0)}


@pytest.mark.parametrize("value", ["text", 1, [1.0]])
def test_values_that_do_not_fit_their_column_make_their_unit_dead(connection: psycopg.Connection, value: Any) -> None:
    capture = make_capture(connection, 1, Mode.FILL, 1)
    plan(connection, capture, [1, 1])
    batch = [result(capture, 0, [(1, 1.0, None, None)]), result(capture, 1, [(2, 2.0, None, None)])]
    (block,) = batch[0].outcome.tables
    batch[0].outcome.tables[:] = [TableRows(block.table, block.batch.set_column(2, "a", pa.array([value])))]
    assert [refused.unit for refused, _ in apply(connection, MADE, capture, batch).refused] == [0]
    assert stored(connection) == {2: (2.0, None, None)}


def test_a_row_without_an_observation_makes_its_unit_dead(connection: psycopg.Connection) -> None:
    capture = make_capture(connection, 1, Mode.FILL, 1)
    plan(connection, capture, [1])
    ((_, reason),) = apply(connection, MADE, capture, [result(capture, 0, [(1, 1.0, None, None)], seen=None)]).refused
    assert reason == "ValueError: a row of made_one has no seen"


def test_what_is_prepared_outlives_another_type_of_the_key(connection: psycopg.Connection) -> None:
    # Somebody else's table, that he may alter while a sink writes.
    capture = make_capture(connection, 1, Mode.FILL, 1)
    plan(connection, capture, [1, 1])
    apply(connection, MADE, capture, [result(capture, 0, [(1, 1.0, None, None)])])
    connection.execute("ALTER TABLE made_one ALTER k TYPE numeric")
    apply(connection, MADE, capture, [result(capture, 1, [(2, 2.0, None, None)])])
    assert [row[:3] for row in units(connection, capture)] == [("applied", 1, 0)] * 2


def test_places_that_another_sink_makes_are_waited_for(connection: psycopg.Connection, migrated: str) -> None:
    capture = make_capture(connection, 1, Mode.FILL, 1)
    given = [Origin("t", partition, 5) for partition in range(3)]
    found: list[set[Origin]] = []

    def other() -> None:
        with psycopg.connect(migrated) as opened:
            found.append(origins.lock(opened, capture, given))

    # A transaction sees other sessions as they were when it first looked.
    with psycopg.connect(migrated, autocommit=True) as looking, connection.transaction():
        assert origins.lock(connection, capture, given[1:]) == set()
        thread = threading.Thread(target=other)
        thread.start()
        until(lambda: looking.execute(_WAITS).fetchone() == (1,), 30, "the other one doesn't wait")
        origins.add(connection, capture, given[2:], given[1:2])
    thread.join(30)
    assert found == [{given[2]}]
    assert connection.execute("SELECT count(*) FROM rederive.origins").fetchone() == (3,)
