"""Several sinks of a lane: partitions that change hands while a batch is being written, and keys that all write."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

import sinks.applier
import sinks.consumer
from rederive.settings import Settings
from sinks.apply import Applied, apply
from sinks.consumer import Sink, SinkConfig
from tests.sinks.made_lane import all_committed, check_written_once, fill, lane_of
from tests.sinks.made_tables import MADE
from tests.wait import until

pytestmark = pytest.mark.services

HELD = 30
"""A key of the first batch."""


class Watched(Sink):
    """A sink that says what it has, when it is asked to hand over, and what it commits that isn't its own."""

    def __init__(self, config: SinkConfig) -> None:
        super().__init__(config)
        self.own: set[int] = set()
        self.asked = threading.Event()
        self.strange: list[int] = []

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        super()._assigned(consumer, partitions)
        self.own = {part.partition for part in partitions}

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.asked.set()
        super()._revoked(consumer, partitions)
        self.own = set()

    def _commit(self, safe: dict[int, int], **how: bool) -> None:  # type: ignore[override]
        self.strange += set(safe) - self.own
        super()._commit(safe, **how)


@pytest.fixture(autouse=True)
def _garbage() -> Iterator[None]:
    usual = gc.get_threshold()
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()


@contextmanager
def running(settings: Settings, url: str, name: str) -> Iterator[Watched]:
    """A sink on a thread of its own; its error fails the test."""
    errors: list[BaseException] = []
    stop = threading.Event()
    member = f"{settings.topic_prefix}{name}"
    sink = Watched(
        SinkConfig(
            lane_of(settings), MADE, member, settings.kafka_config(), lambda: psycopg.connect(url, autocommit=True), 40
        )
    )

    def run() -> None:
        try:
            sink.run(stop.is_set)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sink
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
        assert errors == []


@contextmanager
def held(connection: psycopg.Connection, url: str) -> Iterator[psycopg.Connection]:
    """A row that nobody else can write until the connection ends its transaction."""
    connection.execute("INSERT INTO made_one (k, seen) VALUES (%s, now())", [HELD])
    with psycopg.connect(url) as holder:
        holder.execute("SELECT FROM made_one WHERE k = %s FOR UPDATE", [HELD])
        yield holder


def waiting(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ).fetchone()
    return row != (0,)


@pytest.mark.parametrize("patience", [60.0, 0.0], ids=["waited for", "not waited for"])
def test_partitions_that_change_hands_while_a_batch_is_written(
    settings: Settings, migrated: str, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    repeated = []

    def counted(*given: object) -> Applied:
        done = apply(*given)  # type: ignore[arg-type]
        repeated.append(done.repeated)
        return done

    monkeypatch.setattr(sinks.applier, "apply", counted)
    monkeypatch.setattr(sinks.consumer, "_HAND_OVER_SECONDS", patience)
    with psycopg.connect(migrated, autocommit=True) as connection:
        lane = fill(settings, connection)
        with held(connection, migrated) as holder, running(settings, migrated, "first") as first:
            until(lambda: waiting(connection), 60, "the first sink does not write")
            with running(settings, migrated, "second") as second:
                until(first.asked.is_set, 60, "nothing is asked of the first sink")
                if not patience:
                    until(lambda: first.own and second.own, 60, "the sinks do not share the partitions")
                holder.rollback()
                until(lambda: all_committed(settings), 60, "the sinks do not end")
                assert sorted(first.own | second.own) == [0, 1]
        assert first.strange == second.strange == []
        # What the first has written before it let go needn't be read again; what it hasn't is known to be applied.
        assert bool(sum(repeated)) == (not patience)
        check_written_once(connection, lane)
