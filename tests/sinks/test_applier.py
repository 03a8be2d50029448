"""The connection over which a sink writes goes away while nothing arrives."""

import logging

import psycopg
import pytest

from rederive.migrate import migrate
from rederive.settings import Settings
from schemas.betfair.tables import BETFAIR
from schemas.lane import Lane, LaneName
from schemas.measures import Measures
from sinks.applier import Applier
from sinks.dead_letters import DeadLetters
from store.latencies import Latencies

LANE = Lane("betfair", LaneName.LOG)

pytestmark = pytest.mark.services


def test_latencies_wait_for_a_connection_and_nothing_is_said_every_second(
    settings: Settings, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    migrate(database_url)
    latencies = Latencies(LANE, "sink-0")
    applier = Applier(
        BETFAIR,
        lambda: psycopg.connect(database_url, autocommit=True),
        DeadLetters(settings.kafka_config(), LANE, 1),
        latencies,
        Measures(),
    )

    def a_second_later() -> None:
        latencies._written = float("-inf")
        applier.note_latencies()

    kept = "SELECT count(*) FROM rederive.latencies"
    with psycopg.connect(database_url, autocommit=True) as looking:
        applier._connected().execute("SELECT 1")
        pid = applier._connected().info.backend_pid
        latencies.add({"found": (1, 5)}, 1)
        looking.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        for _ in range(3):
            a_second_later()
        assert len([one for one in caplog.records if one.name == "rederive.sink"]) == 1
        assert looking.execute(kept).fetchone() == (0,)
        applier._connected()
        a_second_later()
        assert looking.execute(kept).fetchone() == (1,)
    applier.close()
