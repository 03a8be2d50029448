"""A replay whose processes are killed: resumed, it loses nothing and doubles nothing."""

import os
import signal
import sys
from collections.abc import Iterator

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from processors.betfair.general import derive
from rederive.settings import Settings
from samples.betfair.load import derive_bare_rows, load
from samples.betfair.sample import snapshot_line
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import METRICS
from schemas.lane import Lane, LaneName
from store.origins import holes
from tests.betfair.replay.midway import held, sink_stands
from tests.program import last_object, rederive, start, workers
from tests.sizes import usual
from tests.wait import until

ROWS = usual(21_000, long=70_000)
STEP = ROWS // 20
"""Rows by which a replay is seen to go on."""


@pytest.fixture
def connection(migrated: str) -> Iterator[psycopg.Connection]:
    """A database with many snapshots; some derived rows are missing, some hold values that must stay."""
    with psycopg.connect(migrated, autocommit=True) as opened:
        world = Synthetic()
        load(opened, world.metadata(), world.snapshots(ROWS))
        derive_bare_rows(opened, leave_out_every=7)
        opened.execute("UPDATE market_derived_metrics SET home_risk = -1.5 WHERE snapshot_id % 10 = 0")
        yield opened


def filled(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM market_derived_metrics WHERE away_risk IS NOT NULL").fetchone()
    assert row is not None
    return int(row[0])


def rows(connection: psycopg.Connection) -> Iterator[tuple[int, list[float | None]]]:
    for key, *values in connection.execute(
        f"SELECT snapshot_id, {', '.join(METRICS)} FROM market_derived_metrics ORDER BY snapshot_id"
    ):
        yield key, values


def members(settings: Settings, group: str) -> list[str]:
    admin = AdminClient({**settings.kafka_config()})
    found = admin.describe_consumer_groups([group])[group].result(10)
    return [member.client_id for member in found.members]


@pytest.mark.services
def test_killed_processes_lose_and_double_nothing(
    settings: Settings, connection: psycopg.Connection, database_url: str
) -> None:
    lane = Lane("betfair", LaneName.REPLAY, settings.topic_prefix)

    def goes_on(why: str) -> None:
        reached = filled(connection)
        until(lambda: filled(connection) > reached + STEP or sink_stands(connection), 60, why)

    # One of the last rows is held: however late this process looks, the replay is in its middle.
    with held(database_url, ROWS - 1):
        first = start(settings, "replay", "betfair", "--workers", "2", "--json")
        try:
            goes_on("the replay does not begin")
            assert any("faust" in client for client in members(settings, lane.agents)), "faust computes what is stored"

            workers(first, "agent")[0].kill()
            goes_on("an agent's death stops the replay")
            until(lambda: len(workers(first, "agent")) == 2, 60, "a dead agent is not started again")

            workers(first, "sink")[0].kill()
            goes_on("a sink's death stops the replay")
        finally:
            os.kill(first.pid, signal.SIGKILL)
            sys.stderr.writelines(first.communicate())
        assert filled(connection) < ROWS, "the producer was killed in the middle"
    (capture,) = [row[0] for row in connection.execute("SELECT capture_id FROM rederive.captures")]

    done = last_object(rederive(settings, "captures", "resume", capture, "--json").stdout)

    assert (done["processed"], done["updated"], done["errors"]) == (ROWS, ROWS, 0)
    states = connection.execute("SELECT state, count(*), sum(rows) FROM rederive.units GROUP BY state").fetchall()
    assert [(state, total) for state, _, total in states] == [("applied", ROWS)], "every unit has one outcome"
    entries = connection.execute("SELECT count(*) FROM rederive.market_derived_metrics_history").fetchone()
    assert entries == (ROWS,), "every row is in history once"
    for partition in range(2):
        look = Consumer({**settings.kafka_config(), "group.id": f"{lane.raw}.look"})
        low, high = look.get_watermark_offsets(TopicPartition(lane.raw, partition), timeout=10)
        look.close()
        assert holes(connection, lane.raw, partition, low, high) == []
    world = Synthetic()
    markets = {market["market_id"]: market for market in world.metadata()}
    stored = rows(connection)
    for snapshot in world.snapshots(ROWS):
        key, values = next(stored)
        expected = derive(snapshot_line(snapshot, markets[snapshot["market_id"]])).values
        if key % 10 == 0 and key % 7 != 0:
            expected[METRICS.index("home_risk")] = -1.5
        assert (key, values) == (snapshot["snapshot_id"], expected)
    assert next(stored, None) is None
