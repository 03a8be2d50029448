"""A sink that is killed, wherever it is, leaves nothing half done: its successor ends what it began."""

import signal

import psycopg
import pytest

from rederive.settings import Settings
from tests.faults.sink_under_test import NEVER, POINTS
from tests.program import environment
from tests.sinks.made_lane import all_committed, check_written_once, fill
from tests.wait import until
from tests.worker_forks import Forked, address

pytestmark = pytest.mark.services


def sink(settings: Settings, url: str, point: str) -> Forked:
    words = [point, str(settings.kafka_bootstrap), settings.topic_prefix, url]
    return Forked.begun(address(), "tests.faults.sink_under_test", words, environment(settings))


def test_a_sink_that_is_killed_at_every_point(settings: Settings, migrated: str) -> None:
    with psycopg.connect(migrated, autocommit=True) as connection:
        lane = fill(settings, connection)
        for point in POINTS:
            assert sink(settings, migrated, point).wait(60) == -signal.SIGKILL, point
        last = sink(settings, migrated, NEVER)
        try:
            until(lambda: all_committed(settings), 60, "the successor does not end what was begun")
        finally:
            last.terminate()
            assert last.wait(60) == 0
        check_written_once(connection, lane)
