"""Shadows of merged tables: what they keep, what a promotion does with it, and what a capture clears."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from schemas.outcome import TableRows
from schemas.table import Mode
from sinks import planner
from sinks.merge import promotion
from sinks.merge.merging import merge
from sinks.merge.policy import Merge
from sinks.merge.rollback import preview, roll_back
from sinks.merge.staging import Staged
from sinks.policy import Promoted, Taken, Verified, Writer
from tests.program import ROOT
from tests.sinks.made_tables import ONE_SOURCE, make_capture
from tests.wait import until

pytestmark = pytest.mark.services

SEEN = "2026-02-06T12:00:0{}+00:00"
NAME = ONE_SOURCE.name
Said = Mapping[int, Sequence[float | None]]


def write(
    connection: psycopg.Connection,
    number: int,
    said: Said,
    mode: Mode = Mode.SUPERSEDE,
    *,
    seen: int = 1,
    clear: tuple[str, ...] = (),
) -> int:
    """What a capture computes: by key the values of a, b and c; how many rows count as updated."""
    capture = make_capture(connection, number, mode, 1, clear=clear)
    rows = [[key, SEEN.format(seen), *values] for key, values in said.items()]
    block = TableRows.of(ONE_SOURCE, ("k", "seen", "a", "b", "c"), rows)
    staged = Staged(ONE_SOURCE, [(0, block)], mode, clears=bool(clear))
    with connection.transaction():
        return merge(connection, staged, Writer(capture, number, mode, 1, clear=clear))[0]


def promoting(connection: psycopg.Connection, number: int, becomes: int, clear: tuple[str, ...] = ()) -> Writer:
    """Let a shadow be on its way, as number `becomes`."""
    connection.execute(
        """UPDATE rederive.captures SET (number, mode, state, clear) = (%s, 'supersede', 'promoting', %s)
           WHERE capture_id = %s""",
        [becomes, list(clear) or None, f"c{number}"],
    )
    return Writer(f"c{number}", becomes, Mode.SUPERSEDE, 1, clear=clear)


def promote(connection: psycopg.Connection, number: int, becomes: int, clear: tuple[str, ...] = ()) -> Promoted:
    capture = promoting(connection, number, becomes, clear)
    return sum(Merge().promote(connection, ONE_SOURCE, capture), Promoted())


def back(connection: psycopg.Connection, number: int) -> Taken:
    return sum(roll_back(connection, ONE_SOURCE, f"c{number}"), Taken())


def served(connection: psycopg.Connection) -> dict[int, tuple[Any, ...]]:
    """The values by key; what is served is verified."""
    assert sum(Merge().verify(connection, ONE_SOURCE), Verified()).faults == []
    return {key: tuple(values) for key, *values in connection.execute(f"SELECT k, a, b, c FROM {NAME}")}


def outside(connection: psycopg.Connection, key: int, **values: float) -> None:
    """What an ingester writes."""
    names, given = ", ".join(values), list(values.values())
    connection.execute(
        f"""INSERT INTO {NAME} (k, seen, {names}) VALUES (%s, now(), {", ".join(["%s"] * len(given))})
            ON CONFLICT (k) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in values)}""",
        [key, *given],
    )


def fresh(connection: psycopg.Connection) -> None:
    connection.execute(f"TRUNCATE {NAME}, rederive.{NAME}_history, rederive.{NAME}_baseline, rederive.captures CASCADE")


def test_a_shadow_is_kept_and_served_to_nobody(connection: psycopg.Connection) -> None:
    write(connection, 1, {1: (1, 1, 1), 2: (2, None, 2)})
    before = served(connection)
    assert write(connection, 2, {1: (9, 9, 9), 3: (3, 3, 3)}, Mode.SHADOW) == 2, "rows kept count as updated"
    assert served(connection) == before
    claims = Merge().claims(connection, ONE_SOURCE, {"k": "1"}, "a")
    assert [(one.kind, one.capture_id, one.value, one.counts) for one in claims.ranked] == [
        ("supersede", "c1", 1, True), ("baseline", "", None, False), ("shadow", "c2", 9, False),
    ]  # fmt: skip
    assert preview(connection, ONE_SOURCE, "c2") == Taken(entries=2)
    assert back(connection, 2) == Taken(entries=2)
    assert served(connection) == before
    # No baseline was made for a key that only it had.
    assert connection.execute(f"SELECT count(*) FROM rederive.{NAME}_baseline").fetchone() == (2,)


def test_a_shadow_is_looked_up_row_by_row_though_nothing_is_known_of_it(connection: psycopg.Connection) -> None:
    planner.by_index(connection)
    rows = 600
    write(connection, 1, dict.fromkeys(range(rows), (1, 1, 1)))
    connection.execute(f"ALTER TABLE rederive.{NAME}_history SET (autovacuum_enabled = off)")
    connection.execute(f"ANALYZE rederive.{NAME}_history")

    def read() -> int:
        connection.execute("SELECT pg_stat_force_next_flush()")
        sums = "SELECT sum(seq_tup_read)::int8 FROM pg_stat_all_tables WHERE relname = %s"
        return int(connection.execute(sums, [f"stage_{NAME}"]).fetchall()[0][0])

    write(connection, 2, dict.fromkeys(range(rows), (2, None, 2)), Mode.SHADOW)
    kept = read()
    assert promote(connection, 2, 3).rows == rows
    assert kept < 20 * rows, "a stage is read a few times, never once a row"
    assert read() - kept < 20 * rows, "a promotion reads it so, too"


@pytest.mark.parametrize("clear", [(), ("b",)])
def test_promoting_equals_superseding(connection: psycopg.Connection, clear: tuple[str, ...]) -> None:
    first: Said = {1: (1, 1, 1), 2: (2, 2, 2), 5: (5, 5, None)}
    fix: Said = {1: (9, None, 9), 2: (None, None, None), 3: (3, 3, 3), 5: (None, 7, 5)}
    later: Said = {1: (6, None, None)}
    ends = []
    for shadow in (False, True):
        fresh(connection)
        write(connection, 1, first)
        outside(connection, 5, c=8.0)
        if shadow:
            write(connection, 3, fix, Mode.SHADOW)
            write(connection, 4, later)
            assert promote(connection, 3, 9, clear).changed == (4 if clear else 3)
        else:
            write(connection, 4, later)
            write(connection, 9, fix, clear=clear)
        ends.append(served(connection))
    assert ends[0] == ends[1]
    assert ends[0][1] == (9, None if clear else 1, 9)
    assert ends[0][2] == (2, None if clear else 2, 2)


def test_an_older_payload_that_is_promoted_late_fills_gaps_only(connection: psycopg.Connection) -> None:
    write(connection, 1, {1: (9, 9, 9), 2: (None, 2, None)}, Mode.SHADOW, seen=1)
    write(connection, 2, {1: (1, 1, None), 2: (2, None, 2)}, seen=2)
    assert promote(connection, 1, 3, ("a",)).changed == 2
    assert served(connection) == {1: (1, 1, 9), 2: (2, 2, 2)}
    # A fill meets what has been cleared.
    write(connection, 4, {3: (3, 3, 3)})
    write(connection, 5, {3: (None, 1, 1)}, clear=("a",))
    assert write(connection, 6, {3: (7, 7, 7)}, Mode.FILL) == 0
    assert served(connection)[3] == (None, 1, 1)
    back(connection, 5)
    assert served(connection)[3] == (3, 3, 3)


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_of_three_overlapping_captures_one_goes_as_if_it_had_never_been(
    connection: psycopg.Connection, gone: int
) -> None:
    said: dict[int, Said] = {
        1: {1: (1, 1, None), 2: (1, 1, 1), 3: (1, None, 1), 6: (1, 1, 1)},
        2: {2: (2, None, 2), 3: (None, None, 2), 4: (2, 2, 2)},
        3: {3: (3, 3, None), 4: (None, 3, 3), 5: (3, 3, 3), 6: (None, None, 3)},
    }

    def all_but(left_out: int | None) -> None:
        fresh(connection)
        outside(connection, 1, a=0.5)
        for number, values in said.items():
            if number == left_out:
                pass
            elif number == 2:
                write(connection, 2, values, Mode.SHADOW)
                promote(connection, 2, 20, ("a", "b"))
            else:
                write(connection, number if number < 2 else 30, values)
            outside(connection, 7, c=float(number))
            outside(connection, 1, b=float(number))

    all_but(gone)
    wanted = served(connection)
    all_but(None)
    back(connection, 30 if gone == 3 else gone)
    assert served(connection) == wanted
    assert wanted[7] == (None, None, 3)


def test_one_that_clears_says_how_many_values_go(connection: psycopg.Connection) -> None:
    write(connection, 1, dict.fromkeys(range(1, 11), (1, 1, 1)))
    write(connection, 2, {key: (1, None, 2 if key > 8 else 1) for key in range(1, 11)}, Mode.SHADOW)
    capture = Writer("c2", 2, Mode.SUPERSEDE, 1, clear=("b", "c"))
    found = Merge().promotion(connection, ONE_SOURCE, capture)
    assert found == Promoted(entries=10, rows=10, changed=10, cleared=10, columns={"b": 10, "c": 2})
    assert Merge().promotion(connection, ONE_SOURCE, Writer("c2", 2, Mode.SUPERSEDE, 1)).changed == 2


@pytest.mark.parametrize("crew", [0, 2])
def test_rows_whose_parents_are_gone_are_dropped_from_a_promotion(
    connection: psycopg.Connection, migrated: str, monkeypatch: pytest.MonkeyPatch, crew: int
) -> None:
    connection.execute("CREATE TABLE made_parent (k int8 PRIMARY KEY)")
    connection.execute("INSERT INTO made_parent SELECT generate_series(1, 20)")
    connection.execute(f"ALTER TABLE {NAME} ADD FOREIGN KEY (k) REFERENCES made_parent")
    write(connection, 1, dict.fromkeys(range(1, 21), (1, 1, 1)), Mode.SHADOW)
    connection.execute("DELETE FROM made_parent WHERE k IN (7, 20)")
    monkeypatch.setattr(promotion, "BATCH_KEYS", 8)
    with ExitStack() as held:
        beside = [held.enter_context(psycopg.connect(migrated, autocommit=True)) for _ in range(crew)]
        found = Merge().promote(connection, ONE_SOURCE, promoting(connection, 1, 2), beside)
        assert sum(found, Promoted()) == Promoted(entries=20, rows=20, changed=18, gone=2)
    assert sorted(served(connection)) == [key for key in range(1, 20) if key != 7]
    assert back(connection, 1) == Taken(entries=18, changed=0, deleted=18)


_WORKING = """
import sys, psycopg
from schemas.table import Mode
from sinks.merge import promotion, rollback
from sinks.merge.merging import prepare
from sinks.policy import Writer
from tests.sinks.made_tables import ONE_SOURCE
promotion.BATCH_KEYS = rollback.BATCH_KEYS = 4
sessions = [psycopg.connect(sys.argv[1], autocommit=True, application_name="working") for _ in range(3)]
with sessions[0] as connection:
    prepare(connection, (ONE_SOURCE,))
    if sys.argv[2] == "promote":
        work = promotion.promote(connection, ONE_SOURCE, Writer("c2", 9, Mode.SUPERSEDE, 1), sessions[1:])
    else:
        work = rollback.roll_back(connection, ONE_SOURCE, "c2")
    for done in work:
        pass
"""


def killed(connection: psycopg.Connection, migrated: str, what: str) -> None:
    """Begin to promote c2, or to take it out, and kill that when it waits for key 14."""
    with psycopg.connect(migrated) as holder:
        holder.execute(f"SELECT FROM {NAME} WHERE k = 14 FOR UPDATE")
        process = subprocess.Popen([sys.executable, "-c", _WORKING, migrated, what], cwd=ROOT)
        try:
            until(
                lambda: bool(
                    connection.execute(
                        """SELECT FROM pg_stat_activity WHERE application_name = 'working'
                           AND datname = current_database() AND wait_event_type = 'Lock'"""
                    ).fetchall()
                ),
                60,
                "it came to no locked row",
            )
        finally:
            process.kill()
            process.wait()
        # What its last batch held is let go with its session; half of it is there, the rest isn't.
        holder.rollback()
    until(
        lambda: not connection.execute("SELECT FROM pg_stat_activity WHERE application_name = 'working'").fetchall(),
        60,
        "the killed session didn't end",
    )


def test_what_is_killed_midway_goes_on_to_the_same_end(connection: psycopg.Connection, migrated: str) -> None:
    fix = {key: (2.0, None, float(key)) for key in range(1, 31)}
    write(connection, 1, dict.fromkeys(range(1, 21), (1, 1, 1)))
    write(connection, 2, fix, Mode.SHADOW)
    promoting(connection, 2, 9)
    killed(connection, migrated, "promote")
    half = served(connection)
    assert 0 < sum(row[0] == 2 for row in half.values()) <= 26, "the batch of key 14 is lost"
    # Others write meanwhile, on both sides of where it stopped.
    write(connection, 10, {1: (5, None, None), 25: (5, None, None)})
    left = promote(connection, 2, 9)
    assert 0 < left.rows < 30
    ended = served(connection)
    assert ended == {key: (5 if key in (1, 25) else a, 1 if key <= 20 else b, c) for key, (a, b, c) in fix.items()}

    killed(connection, migrated, "roll back")
    half = served(connection)
    assert 0 < sum(row[0] == 2 for row in half.values()) < 28
    write(connection, 11, {2: (None, 6, None), 26: (None, 6, None)})
    outside(connection, 20, c=7.0)
    left_out = back(connection, 2)
    assert 0 < left_out.entries < 30
    assert back(connection, 2) == Taken()
    wanted: dict[int, tuple[float | None, ...]] = dict.fromkeys(range(1, 21), (1, 1, 1))
    wanted |= {1: (5, 1, 1), 2: (1, 6, 1), 20: (1, 1, 7), 25: (5, None, None), 26: (None, 6, None)}
    assert served(connection) == wanted
