"""Sessions of the database: they end in time, come back after an outage, and who gets none is told why."""

import gc
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from starlette.testclient import TestClient

from rederive.http.app import create_app
from rederive.http.reads import APPLICATION, SESSIONS, Reads
from rederive.settings import Settings
from schemas.errors import Away
from tests.http.asking import get
from tests.http.conftest import BASE

pytestmark = pytest.mark.services


@pytest.fixture
def reads(settings: Settings) -> Iterator[Reads]:
    opened = Reads(settings)
    yield opened
    opened.close()


def test_a_read_that_takes_too_long_is_ended(reads: Reads) -> None:
    def sleep() -> None:
        with reads.connection("the sleep") as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = '20ms'")
            connection.execute("SELECT pg_sleep(10)")

    with pytest.raises(Away, match="the sleep"):
        sleep()
    with reads.connection() as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("10s",)
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
        assert connection.execute("SHOW TimeZone").fetchone() == ("UTC",)


def test_a_server_that_says_nothing_is_waited_for_as_long(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait() -> None:
        with reads.connection("the sleep") as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            monkeypatch.setattr("rederive.http.reads._ANSWER_SECONDS", 0.3)
            connection.execute("SELECT pg_sleep(10)")

    with pytest.raises(Away, match=r"no answer within 0\.3 s"):
        wait()
    monkeypatch.undo()
    with reads.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_there_are_so_many_sessions_and_no_more(reads: Reads) -> None:
    with ExitStack() as held:
        for _ in range(SESSIONS):
            held.enter_context(reads.connection())
        with pytest.raises(Away, match="busy"), reads.connection():
            pass
    with reads.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_sessions_that_somebody_has_ended_are_made_anew(connection: psycopg.Connection, http: TestClient) -> None:
    assert get(http, "/api/captures")["captures"] == []
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [APPLICATION]
    )
    assert get(http, "/api/captures")["captures"] == []


def test_a_database_without_tables_is_said(settings: Settings) -> None:
    with TestClient(create_app(settings), base_url=BASE) as client:
        problem = get(client, "/api/captures", 503)
        assert "rederive migrate" in problem["mend"]
        assert client.get("/metrics").status_code == 200


def test_an_address_where_nobody_answers_is_said_without_its_password(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"database_url": None, "kafka_bootstrap": "127.0.0.1:1"})
    nowhere = Settings(**{**nowhere.model_dump(), "database_url": "postgresql://ann:secret@127.0.0.1:1/none"})
    with TestClient(create_app(nowhere), base_url=BASE) as client:
        problem = get(client, "/events/1.1/meta", 503)
        assert "ann@127.0.0.1:1/none" in problem["what"]
        for path in ("/api/captures", "/api/status", "/readyz", "/metrics"):
            assert "secret" not in client.get(path).text


def test_an_application_that_ends_leaves_the_broker(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    before = {id(client) for client in clients()}
    with TestClient(create_app(nowhere), base_url=BASE) as client:
        client.get("/api/status")
    assert [client for client in clients() if id(client) not in before] == []


def clients() -> list[AdminClient]:
    """Those of the broker that are there."""
    return [one for one in gc.get_objects() if isinstance(one, AdminClient)]
