import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from rederive import __main__ as program
from rederive.database import connect, explained
from rederive.settings import Settings
from schemas.errors import Failed
from tests.wait import until


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://nobody:secret@127.0.0.1:1/nowhere", "nothing answers there"),
        ("postgresql://nobody:secret@nowhere.invalid:5432/nowhere", "no such host"),
        ("postgresql://nobody:secret@/nowhere?host=/no/such/folder", "nothing answers there"),
        ("mysql://nobody:secret@localhost/nowhere", "it is no Postgres connection string"),
        ("postgresql://nobody:secret%zz@localhost/nowhere", "it is no Postgres connection string"),
        ("postgresql://nobody:is@secret@localhost/nowhere", "percent-encoded"),
        ("postgresql://nobody:12/secret@localhost/nowhere", "percent-encoded"),
        ("postgresql://nobody:is@sec:secret@localhost/nowhere", "percent-encoded"),
    ],
)
def test_a_connection_that_cannot_be_made(url: str, why: str) -> None:
    with pytest.raises(Failed) as caught:
        connect(url, application="tests")
    text = str(caught.value)
    assert why in text
    assert "REDERIVE_DATABASE_URL" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            'connection to server at "db", port 5432 failed: FATAL:  password authentication failed for user "nobody"',
            "the user or the password is wrong",
        ),
        (
            'connection to server at "127.0.0.1", port 5432 failed: FATAL:  database "nowhere" does not exist',
            'database "nowhere" does not exist',
        ),
        ("connection failed: fe_sendauth: no password supplied", "the server wants a password and none was given"),
        ("connection timeout expired", "no answer within 10 s"),
        (
            'connection to server at "127.0.0.1", port 5432 failed: FATAL:  sorry, too many clients already',
            "the server has no connection left",
        ),
        ("connection failed: FATAL:  the database system is in recovery mode", "the server is recovering from a crash"),
    ],
)
def test_what_a_server_says_to_a_newcomer(said: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError(said)

    monkeypatch.setattr(psycopg, "connect", refuse)
    with pytest.raises(Failed) as caught:
        connect("postgresql://nobody:secret@127.0.0.1:5432/nowhere", application="tests")
    assert caught.value.why == why
    assert caught.value.mend
    assert "secret" not in str(caught.value)


@pytest.mark.services
def test_a_connection_is_named_and_in_utc(database_url: str) -> None:
    with connect(database_url, application="a test") as connection:
        row = connection.execute("SELECT current_setting('application_name'), current_setting('TimeZone')").fetchone()
    assert row == ("a test", "UTC")


@pytest.mark.services
def test_what_a_database_or_a_variable_sets_changes_no_text(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTZ", "Asia/Kathmandu")
    monkeypatch.setenv("PGDATESTYLE", "German")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    odd = {
        "client_encoding": "LATIN1", "DateStyle": "German, DMY", "IntervalStyle": "sql_standard",
        "extra_float_digits": "-10", "array_nulls": "off", "default_transaction_isolation": "serializable",
    }  # fmt: skip
    with psycopg.connect(database_url, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        for name, text in odd.items():
            connection.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(database, sql.Identifier(name), text))
    for autocommit in (True, False):
        with connect(database_url, application="a test", autocommit=autocommit) as connection:
            row = connection.execute(
                """SELECT convert_to(%s, 'UTF8') = decode('e282ac', 'hex'), '2026-02-06T12:00:00Z'::timestamptz,
                          0.1::float8 / 3, json_build_array(0.1::float8 / 3)::text, '{NULL}'::text[],
                          '3 days'::interval::text, current_setting('transaction_isolation')""",
                ["€"],
            ).fetchone()
        noon = datetime(2026, 2, 6, 12, tzinfo=UTC)
        assert row == (True, noon, 0.1 / 3, f"[{0.1 / 3}]", [None], "3 days", "read committed")
        assert row[1].utcoffset() == timedelta(0)


@pytest.mark.services
def test_limits_of_a_database_end_no_merge_and_those_of_the_address_count(database_url: str) -> None:
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")
    with psycopg.connect(database_url, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        for name in limits:
            connection.execute(sql.SQL("ALTER DATABASE {} SET {} = '40ms'").format(database, sql.Identifier(name)))
    own = f"{database_url}{'&' if '?' in database_url else '?'}options=-cstatement_timeout%3D5s"
    for url, first in ((database_url, "0"), (own, "5s")):
        with connect(url, application="a test") as connection:
            found = [connection.execute(f"SHOW {name}").fetchone() for name in limits]
        assert found == [(first,), ("0",), ("0",), ("0",)]


@pytest.mark.services
def test_a_database_of_a_newer_version_is_left_alone(
    settings: Settings,
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    connection.execute("UPDATE rederive.migrations SET version_num = '9999'")
    for words in (
        "migrate", "status", "captures list", "captures rollback x --yes", "plan betfair", "replay betfair",
        "replay betfair --dry-run", "replay-topic racing", "gaps racing", "report null-audit",
    ):  # fmt: skip
        assert program.run(words.split()) == 1, words
        said = capsys.readouterr()
        assert said.err.startswith("a newer version of rederive has made the tables of this database"), (
            words,
            said.err,
        )
        assert "it is at migration 9999, this version knows them up to 0014\n  do:  use that version, or" in said.err
        assert said.out == ""


@pytest.mark.services
@pytest.mark.parametrize(
    ("statement", "why", "mend"),
    [
        ("SELECT * FROM missing", 'relation "missing" does not exist', "run `rederive migrate`"),
        ("SELECT missing FROM pg_class", 'column "missing" does not exist', "run `rederive migrate`"),
        ("SELECT * FROM rederive_absent.t", "rederive_absent", "run `rederive migrate`"),
        ("DO $$ BEGIN RAISE insufficient_privilege; END $$", "insufficient_privilege", "GRANT"),
        ("SET statement_timeout = 10; SELECT pg_sleep(5)", "statement timeout", "statement_timeout"),
        ("SELECT 1 / 0", "division by zero", ""),
    ],
)
def test_a_database_error_names_its_mend(database_url: str, statement: str, why: str, mend: str) -> None:
    with (
        connect(database_url, application="tests") as connection,
        pytest.raises(Failed, match="the test failed") as caught,
        explained("the test"),
    ):
        connection.execute(statement.encode())
    assert why in caught.value.why
    assert mend in caught.value.mend


@pytest.mark.services
def test_what_a_killed_process_was_doing_ends(database_url: str) -> None:
    code = "import sys; from rederive.database import connect; "
    code += "connect(sys.argv[1], application='killed').execute('SELECT pg_sleep(60)')"
    process = subprocess.Popen([sys.executable, "-c", code, database_url])
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'killed' AND wait_event = 'PgSleep'"
    with connect(database_url, application="tests") as connection:
        until(lambda: connection.execute(asleep).fetchone() == (1,), 30, "it does not sleep")
        process.kill()
        process.wait()
        until(lambda: connection.execute(asleep).fetchone() == (0,), 15, "the statement of a dead process goes on")


@pytest.mark.services
def test_a_connection_that_is_cut_off(database_url: str) -> None:
    with connect(database_url, application="tests") as connection, connect(database_url, application="other") as other:
        other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        with pytest.raises(Failed) as caught, explained("the test"):
            connection.execute("SELECT 1")
    assert caught.value.why.startswith("somebody has ended the connection (pg_terminate_backend), or the server is")
    assert caught.value.mend == "start it again: what was committed stays, the rest is undone"


@pytest.mark.services
@pytest.mark.parametrize("stored", ["infinity", "0044-03-15 BC"])
def test_a_value_that_cannot_be_read_is_no_lost_connection(database_url: str, stored: str) -> None:
    with (
        connect(database_url, application="tests") as connection,
        pytest.raises(Failed, match="the test failed: a stored value can't be read\n  why: timestamp too ") as caught,
        explained("the test"),
    ):
        connection.execute("SELECT %s::timestamptz", [stored]).fetchall()
    assert "years 1 to 9999" in caught.value.mend


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), explained("the test"):
        raise KeyError("x")
    with pytest.raises(Failed, match="as it was"), explained("the test"):
        raise Failed("as it was")
