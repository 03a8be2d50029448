"""Arrivals against a model: whatever transactions do, each committed row is found once, and no other."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from psycopg.conninfo import make_conninfo

from producers.arrivals import Arrivals
from rederive import local
from rederive.settings import Settings
from schemas.errors import Failed
from store import cursors
from tests.sizes import usual

pytestmark = pytest.mark.services

SERIES = Arrivals("made_series", "id")
WRITERS = 4


@pytest.fixture
def connection(connection: psycopg.Connection) -> psycopg.Connection:
    """A database with a table that can be followed."""
    connection.execute("CREATE TABLE made_series (id bigserial PRIMARY KEY, xid xid8 DEFAULT pg_current_xact_id())")
    SERIES.ready(connection)
    return connection


class Transactions(RuleBasedStateMachine):
    """Several connections that insert, some of them into another database of the server, and one that polls."""

    url: str
    elsewhere: str

    @initialize()
    def begin(self) -> None:
        self.reader = psycopg.connect(self.url, autocommit=True)
        self.reader.execute("TRUNCATE made_series")
        self.writers = [psycopg.connect(self.url) for _ in range(WRITERS)]
        self.other = psycopg.connect(self.elsewhere)
        self.levels: list[list[list[int]]] = [[[]] for _ in range(WRITERS)]
        self.committed: list[int] = []
        self.found: list[int] = []
        self.position = SERIES.now(self.reader)

    @rule(at=st.integers(0, WRITERS - 1), rows=st.sampled_from([1, 1, 1, 7, 30]))
    def insert(self, at: int, rows: int) -> None:
        given = self.writers[at].execute(
            "INSERT INTO made_series SELECT FROM generate_series(1, %s) RETURNING id", [rows]
        )
        self.levels[at][-1] += [row[0] for row in given]

    @rule()
    def write_elsewhere(self) -> None:
        self.other.execute("SELECT pg_current_xact_id()")

    @rule()
    def commit_elsewhere(self) -> None:
        self.other.commit()

    @rule(at=st.integers(0, WRITERS - 1))
    def savepoint(self, at: int) -> None:
        self.writers[at].execute(f"SAVEPOINT s{len(self.levels[at])}")
        self.levels[at].append([])

    @rule(at=st.integers(0, WRITERS - 1))
    def roll_back_to_savepoint(self, at: int) -> None:
        if len(self.levels[at]) > 1:
            self.writers[at].execute(f"ROLLBACK TO SAVEPOINT s{len(self.levels[at]) - 1}")
            self.levels[at][-1] = []

    @rule(at=st.integers(0, WRITERS - 1))
    def commit(self, at: int) -> None:
        self.writers[at].commit()
        self.committed += [key for level in self.levels[at] for key in level]
        self.levels[at] = [[]]

    @rule(at=st.integers(0, WRITERS - 1))
    def abort(self, at: int) -> None:
        self.writers[at].rollback()
        self.levels[at] = [[]]

    @rule(limit=st.sampled_from([1, 3, 1000]), stored=st.booleans())
    def poll(self, limit: int, stored: bool) -> None:
        found = SERIES.after(self.reader, self.position, limit)
        self.found += found.keys
        self.position = found.after
        if stored:
            # As a producer that is started again finds it.
            cursors.save(self.reader, "made", found.after)
            kept = cursors.load(self.reader, "made")
            assert kept == found.after
            SERIES.check(self.reader, kept)

    def teardown(self) -> None:
        for at in range(WRITERS):
            self.commit(at)
        for _ in range(2 + len(self.committed) // 3):
            self.poll(3, stored=False)
        for one in (self.reader, *self.writers, self.other):
            one.close()
        assert sorted(self.found) == sorted(self.committed)


@pytest.mark.usefixtures("connection")
def test_each_committed_row_is_found_once(migrated: str) -> None:
    Transactions.url = migrated
    Transactions.elsewhere = make_conninfo(migrated, dbname="postgres")
    run_state_machine_as_test(
        Transactions,
        settings=settings(
            max_examples=25, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_a_transaction_of_many_rows_is_read_in_pages(connection: psycopg.Connection, migrated: str) -> None:
    position = SERIES.now(connection)
    rows = usual(20_000, 1_000_000)
    with psycopg.connect(migrated) as writer:
        writer.execute("INSERT INTO made_series SELECT FROM generate_series(1, %s)", [rows])
        assert SERIES.after(connection, position, 100).keys == []
    found: list[int] = []
    more = True
    while more:
        page = SERIES.after(connection, position, 3_000)
        found += page.keys
        position, more = page.after, page.more
    assert len(found) == len(set(found)) == rows


@pytest.fixture
def held_open(connection: psycopg.Connection, migrated: str) -> Iterator[cursors.Position]:
    """A position in a long table, while two transactions are open that began before it."""
    connection.execute("INSERT INTO made_series SELECT FROM generate_series(1, 100000)")
    with psycopg.connect(migrated) as one, psycopg.connect(migrated) as two:
        for writer in (one, two):
            writer.execute("INSERT INTO made_series DEFAULT VALUES")
        # Open in a snapshot are those that began before the last to end.
        connection.execute("INSERT INTO made_series DEFAULT VALUES")
        position = SERIES.now(connection)
        connection.execute("INSERT INTO made_series SELECT FROM generate_series(1, 1000)")
        connection.execute("ANALYZE made_series")
        yield position


def test_a_look_reads_no_more_than_what_is_new(connection: psycopg.Connection, held_open: cursors.Position) -> None:
    assert held_open.since.split(":")[2], "transactions are open"
    given = {
        "since": held_open.since, "upto": None, "open": held_open.since.split(":")[2].split(","), "xid": "0",
        "key": -(2**63), "new_xid": held_open.since.split(":")[1], "new_key": -(2**63), "limit": 2_000,
    }  # fmt: skip
    plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN (ANALYZE, BUFFERS) {SERIES.statement}", given))
    assert "Seq Scan on made_series" not in plan, plan
    assert plan.count("rederive_made_series_arrivals") == 2, plan
    buffers = [int(word.split("=")[1]) for word in plan.split() if word.startswith("hit=")]
    assert max(buffers) < 100, plan


def test_a_half_made_index_is_made_anew(connection: psycopg.Connection) -> None:
    name = "rederive_made_series_arrivals"
    connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [name])
    SERIES.ready(connection)
    assert connection.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [name]).fetchone() == (
        True,
    )


def test_another_server_is_refused(connection: psycopg.Connection) -> None:
    position = SERIES.now(connection)
    SERIES.check(connection, position)
    with pytest.raises(Failed, match="not the server on which made_series was followed"):
        SERIES.check(connection, replace(position, server=position.server + 1))


def test_a_server_that_was_set_back_is_refused(connection: psycopg.Connection) -> None:
    position = SERIES.now(connection)
    with pytest.raises(Failed, match="has been set back"):
        SERIES.check(connection, replace(position, since="900000000000:900000000000:"))


def test_a_standby_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    try:
        local.start_postgres(settings)
        local.stop(settings)
        (tmp_path / "postgres" / "data" / "standby.signal").touch()
        url = local.start_postgres(settings)
        with psycopg.connect(url, autocommit=True) as connection, pytest.raises(Failed, match="is a standby"):
            SERIES.now(connection)
    finally:
        local.stop(settings)


def test_a_table_without_the_column_is_said(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE plain_series (id bigserial PRIMARY KEY)")
    with pytest.raises(Failed, match="plain_series can't be followed"):
        Arrivals("plain_series", "id").ready(connection)
