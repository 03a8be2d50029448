"""What sinks write from a lane that is full: rows/s, processor by part, peak memory, by how many there are.

    python -m bench.sink [--rows 100000] [--sinks 1 2] [--batch-rows 5000]

Outcomes of synthetic snapshots stand on the derived topic, as agents have sent them, before the first sink starts:
`rederive worker sink` as it is. Each run fills an empty lane and the same derived rows of NULLs. Counted is from when
each sink has its partitions; processor time is that of the whole run, with the sinks' starts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import psycopg
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from bench.running import running
from bench.watch import Watch, show
from processors.betfair.process import process
from processors.engine import answer
from producers.topics import ensure_topics
from rederive import local
from rederive.migrate import migrate
from rederive.settings import Settings
from samples.betfair.load import derive_bare_rows, load
from samples.betfair.sample import snapshot_line
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import METRICS
from schemas.lane import Lane, LaneName
from schemas.table import Mode
from schemas.unit import TARGET_UNIT_ROWS, Origin
from schemas.wire import RawHeaders, encode_raw

CAPTURE = "betfair-bench-1"


def units(rows: int) -> Iterator[list[bytes]]:
    """Lines of snapshots, a unit at a time."""
    world = Synthetic()
    markets = {market["market_id"]: market for market in world.metadata()}
    lines = (snapshot_line(one, markets.get(one["market_id"])) for one in world.snapshots(rows))
    while unit := list(islice(lines, TARGET_UNIT_ROWS)):
        yield unit


def fill_topic(settings: Settings, lane: Lane, rows: int, partitions: int) -> list[int]:
    """Send the outcomes of so many rows; the rows of each unit."""
    kafka = settings.kafka_config()
    ensure_topics(kafka, lane, partitions)
    producer = Producer({**kafka, "compression.type": "zstd", "linger.ms": 20})
    sizes = []
    for number, unit in enumerate(units(rows)):
        origin = Origin(lane.raw, number % partitions, number // partitions)
        said = RawHeaders("betfair.snapshots", CAPTURE, number, METRICS, len(unit))
        for message in answer(process, lane, origin, None, b"\n".join(unit), encode_raw(said)):
            producer.produce(
                message.topic,
                value=message.value,
                headers=list[tuple[str, str | bytes | None]](message.headers),
                partition=origin.partition,
            )
            producer.poll(0)
        sizes.append(len(unit))
    assert producer.flush(60) == 0
    return sizes


def fill_tables(connection: psycopg.Connection, rows: int) -> None:
    """Snapshots without their payloads, which no sink reads, once."""
    world = Synthetic()
    load(connection, world.metadata(), ({**snapshot, "raw_payload": {}} for snapshot in world.snapshots(rows)))


def reset(connection: psycopg.Connection, sizes: list[int]) -> None:
    """Derived rows of NULLs, and a running capture of units that have been sent."""
    connection.execute(
        """TRUNCATE market_derived_metrics, rederive.captures, rederive.origins,
               rederive.market_derived_metrics_history, rederive.market_derived_metrics_baseline CASCADE"""
    )
    derive_bare_rows(connection)
    running(connection, CAPTURE, "betfair", Mode.FILL)
    connection.execute(
        """INSERT INTO rederive.units (capture_id, unit, key_range, locator, rows, state)
           SELECT %s, n - 1, '', '{}', size, 'sent' FROM unnest(%s::int[]) WITH ORDINALITY AS u(size, n)""",
        [CAPTURE, sizes],
    )
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")


def applied(connection: psycopg.Connection) -> int:
    """Rows of units that are applied."""
    row = connection.execute("SELECT coalesce(sum(rows), 0) FROM rederive.units WHERE state = 'applied'").fetchone()
    assert row is not None
    return int(row[0])


def busy(connection: psycopg.Connection) -> int:
    """Server processes of sinks that don't wait for their sink just now."""
    row = connection.execute(
        """SELECT count(*) FROM pg_stat_activity
           WHERE application_name LIKE 'rederive sink%' AND wait_event_type IS DISTINCT FROM 'Client'"""
    ).fetchone()
    assert row is not None
    return int(row[0])


def joined(admin: AdminClient, group: str) -> int:
    """Members of a group that have partitions; none while nobody coordinates it yet."""
    try:
        found = admin.describe_consumer_groups([group])[group].result(10)
    except KafkaException:
        return 0
    return sum(1 for member in found.members if member.assignment and member.assignment.topic_partitions)


def run(settings: Settings, connection: psycopg.Connection, lane: Lane, sinks: int, rows: int) -> None:
    """Start sinks on the full lane, wait until all is applied, print what it took."""
    watch = Watch({one.service: one.pid for one in local.status(settings) if one.pid})
    watch.start()
    words = ["worker", "sink", "--domain", lane.domain, "--member"]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "rederive", *words, f"{lane.prefix}{number}"],
            env={**os.environ, **settings.environment()},
            stderr=subprocess.DEVNULL,
        )
        for number in range(sinks)
    ]
    try:
        admin = AdminClient({**settings.kafka_config()})
        deadline = time.perf_counter() + 60
        while joined(admin, lane.sinks) < sinks or not applied(connection):
            assert time.perf_counter() < deadline, "the sinks don't join"
            time.sleep(0.02)
        started, before = time.perf_counter(), applied(connection)
        deadline += rows / 500
        at_work = []
        while applied(connection) < rows:
            assert time.perf_counter() < deadline, "the sinks stand still"
            at_work.append(busy(connection))
            time.sleep(0.02)
        seconds = time.perf_counter() - started
    finally:
        watch.ended.set()
        watch.join()
        for one in running:
            one.terminate()
        for one in running:
            one.wait(60)
    counted = rows - before
    share = sum(at_work) / len(at_work) / sinks
    print(
        f"{sinks} sinks: {counted / seconds:,.0f} rows/s ({counted:,} of {rows:,} rows in {seconds:.1f} s), "
        f"a sink's server process at work {share:.0%} of the time"
    )
    show(watch, rows)


def main() -> None:
    """Print a line per number of sinks, and under it memory and processor time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--sinks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch-rows", type=int, default=5_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder), kafka_bootstrap=None, database_url=None, batch_rows=given.batch_rows)
        endpoints = local.start(settings)
        try:
            migrate(endpoints.database_url)
            with psycopg.connect(endpoints.database_url, autocommit=True) as connection:
                fill_tables(connection, given.rows)
                for number, sinks in enumerate(given.sinks):
                    named = settings.at(endpoints).model_copy(update={"topic_prefix": f"bench{number}."})
                    lane = Lane("betfair", LaneName.REPLAY, named.topic_prefix)
                    sizes = fill_topic(named, lane, given.rows, max(2, *given.sinks))
                    reset(connection, sizes)
                    run(named, connection, lane, sinks, given.rows)
        finally:
            local.stop(settings)


if __name__ == "__main__":
    main()
