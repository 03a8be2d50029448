"""A service that is away before a run begins, or when it has just ended."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

import rederive.replayer
import rederive.run
from producers.source import Request, Services, Source, open_source
from rederive.lanes import Lanes
from rederive.replayer import Replayer
from rederive.run import Run
from rederive.settings import Endpoints, Settings
from schemas.betfair.tables import BETFAIR, SCOPES
from schemas.capture import Capture
from schemas.errors import Away, Failed
from schemas.table import Mode
from store import captures as stored
from tests.betfair.replay.stored import scalar
from tests.betfair.reports.made import many
from tests.program import rederive as command
from tests.program import start

pytestmark = pytest.mark.services

REQUEST = Request("betfair", Mode.FILL, SCOPES["l1"])


def captures(connection: psycopg.Connection) -> int:
    return int(scalar(connection, "SELECT count(*) FROM rederive.captures"))


def test_no_capture_is_made_without_a_broker(settings: Settings, connection: psycopg.Connection) -> None:
    many(connection, 10, 10, SCOPES["l1"])
    away = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    plan = settings.home.parent / "plan.json"
    plan.write_text(command(settings, "plan", "betfair", "--columns", "l1").stdout)
    runs = [start(away, *words) for words in (("replay", "betfair", "--columns", "l1"), ("apply", str(plan)))]
    for run in runs:
        _, said = run.communicate(timeout=120)
        assert run.returncode == 1, said
        assert "Kafka at 127.0.0.1:1 does not answer" in said
        assert "resume" not in said
    assert captures(connection) == 0


def test_no_capture_is_made_without_topics(
    settings: Settings, connection: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise Failed("topic betfair.replay can't be made")

    many(connection, 10, 10, SCOPES["l1"])
    monkeypatch.setattr(rederive.replayer, "ensure_topics", refused)
    with pytest.raises(Failed, match="can't be made"):
        Replayer(settings, database_url).mint(REQUEST, "table", dry_run=False, reason="")
    assert captures(connection) == 0


@pytest.fixture
def complete(settings: Settings, connection: psycopg.Connection, database_url: str) -> Capture:
    """A capture that has just become complete."""
    Replayer(settings, database_url).mint(REQUEST, "table", dry_run=False, reason="")
    connection.execute("UPDATE rederive.captures SET state = 'complete'")
    found = stored.find(connection, str(scalar(connection, "SELECT capture_id FROM rederive.captures")))
    assert found is not None
    return found


class Closed(logging.Handler):
    """The database takes no connection until a line of the log says that it is tried again."""

    def __init__(self, database_url: str, maintenance_url: str) -> None:
        super().__init__()
        self._admin = psycopg.connect(maintenance_url, autocommit=True)
        self._name = sql.Identifier(database_url.rpartition("/")[2].partition("?")[0])
        self.allow(allowed=False)

    def allow(self, *, allowed: bool) -> None:
        words = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        self._admin.execute(words.format(self._name, sql.SQL("true" if allowed else "false")))

    def emit(self, record: logging.LogRecord) -> None:
        if "trying again" in record.getMessage():
            self.allow(allowed=True)


def test_the_report_waits_for_the_database(
    settings: Settings,
    database_url: str,
    complete: Capture,
    endpoints: Endpoints,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replayer = Replayer(settings, database_url)
    closed = Closed(database_url, endpoints.database_url)
    logger = logging.getLogger("rederive.replayer")
    logger.addHandler(closed)
    try:
        assert replayer.run(complete, lambda _: None).exit_code == 0

        closed.allow(allowed=False)
        logger.removeHandler(closed)
        monkeypatch.setattr(rederive.replayer, "_REPORT_SECONDS", 0.5)
        with pytest.raises(Failed, match="is complete, but what it did can't be read") as caught:
            replayer.run(complete, lambda _: None)
        assert f"captures show {complete.capture_id}" in caught.value.mend
    finally:
        logger.removeHandler(closed)
        closed.allow(allowed=True)


class _Lanes(Lanes):
    """A broker that doesn't answer when a lane is opened, so many times; then every unit is applied at once."""

    def __init__(self, settings: Settings, capture: Capture, away: int) -> None:
        super().__init__(settings, capture, 1, 1)
        self.left = away

    def open(self, connection: psycopg.Connection, *_: object) -> None:
        self.left -= 1
        if self.left >= 0:
            raise Away("Kafka at somewhere does not answer", why="no word", mend="start it")
        connection.execute("UPDATE rederive.units SET state = 'applied', updated = rows")


def test_a_broker_that_is_away_when_a_lane_opens_is_waited_for(
    settings: Settings,
    connection: psycopg.Connection,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    many(connection, 10, 10, SCOPES["l1"])
    capture, _ = Replayer(settings, database_url).mint(REQUEST, "table", dry_run=False, reason="")

    @contextmanager
    def source(opened: psycopg.Connection) -> Iterator[Source[Any]]:
        yield open_source(BETFAIR, "table", Services(opened, lambda: opened, settings.kafka_config()))

    run = Run(settings, database_url, capture, source, lambda _: None, 1, 1)
    monkeypatch.setattr(rederive.run, "_PATIENCE_SECONDS", 0.0)
    with pytest.raises(Away, match="Kafka at somewhere does not answer"):
        run._until_complete(_Lanes(settings, capture, 1))

    monkeypatch.undo()
    caplog.clear()
    assert run._until_complete(_Lanes(settings, capture, 2)).updated == 10
    said = [record.getMessage() for record in caplog.records if "trying again" in record.getMessage()]
    assert said == ["Kafka at somewhere does not answer, trying again"]
