"""What one agent computes on one core: rows/s of the formulas alone, and of a whole agent process at a broker.

python -m bench.agent [--rows 50000]

The first figures are from a unit's bytes to an outcome's bytes, without a broker. The last is `rederive worker agent`
as it is, bound to one core, on a topic that is full already: from the first outcome to the last, by the records' times.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import psutil
from confluent_kafka import Consumer, TopicPartition

from processors.betfair import process as betfair
from processors.betfair.impedance import decimal_inputs
from producers.sender import Sender
from producers.topics import ensure_topics
from rederive import local
from rederive.settings import Settings
from samples.betfair import sample as betfair_sample
from samples.betfair.synthetic import Synthetic
from schemas.lane import Lane, LaneName
from schemas.unit import TARGET_UNIT_ROWS, Unit
from schemas.wire import RawHeaders, encode_outcome

_ROUNDS = 3


def main() -> None:
    """Prints one line a data set: the best of three rounds, and which share of rows left the quick readings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000, help="synthetic snapshots (default %(default)s)")
    rows = parser.parse_args().rows
    world = Synthetic()
    _measure("synthetic, both ladders, 10 levels", lines(world.snapshots(rows), world.metadata()))
    _measure("real sample, back ladders, 3 levels", lines(betfair_sample.snapshots(), betfair_sample.metadata()))
    _measure_process(list(_units(lines(world.snapshots(rows), world.metadata()))))


def _measure(name: str, lines: Iterator[bytes]) -> None:
    units = list(_units(lines))
    count = sum(unit.count(b"\n") + 1 for unit in units)
    best = min(_seconds(units) for _ in range(_ROUNDS))
    general, plain = _fallbacks(units)
    print(
        f"{name}: {count:,} rows, {sum(map(len, units)) / count:,.0f} bytes each: {count / best:,.0f} rows/s, "
        f"{best / count * 1e6:.1f} µs a row; general reading {general / count:.3%}, Decimal {plain / count:.3%}"
    )


def _measure_process(units: list[bytes]) -> None:
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder), kafka_bootstrap=None, database_url=None)
        try:
            settings = settings.at(local.start(settings))
            seconds, used = _agent_seconds(settings, units)
        finally:
            local.stop(settings)
    # The first outcome's time is when its unit was done, so it doesn't count.
    count = sum(unit.count(b"\n") + 1 for unit in units[1:])
    print(
        f"agent process, synthetic: {count:,} rows: {count / seconds:,.0f} rows/s, "
        f"{used / count * 1e6:.1f} µs of processor a row with its start"
    )


def _agent_seconds(settings: Settings, units: list[bytes]) -> tuple[float, float]:
    """(seconds from the first outcome to the last, processor seconds) of one agent on one core."""
    lane = Lane("betfair", LaneName.REPLAY)
    kafka = settings.kafka_config()
    ensure_topics(kafka, lane, 1)
    sender = Sender(kafka, lane.raw, [0])
    for number, value in enumerate(units):
        sender.send(Unit(RawHeaders("betfair.snapshots", "bench", number), None, value))
    sender.flush(60)
    core = min(os.sched_getaffinity(0))
    agent = subprocess.Popen(
        [sys.executable, "-m", "rederive", "worker", "agent", "--domain", "betfair", "--member", "bench"],
        env={**os.environ, **settings.environment()},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - nothing else runs in this process
    )
    place = TopicPartition(lane.derived, 0, 0)
    reader = Consumer({**kafka, "group.id": "bench", "enable.auto.commit": False})
    reader.assign([place])
    times: list[int] = []
    try:
        while len(times) < len(units):
            message = reader.poll(60)
            assert message is not None, "the agent stands still"
            assert message.error() is None, message.error()
            times.append(message.timestamp()[1])
        spent = psutil.Process(agent.pid).cpu_times()
    finally:
        reader.close()
        agent.terminate()
        agent.wait()
    return (times[-1] - times[0]) / 1000, spent.user + spent.system


def _seconds(units: Iterable[bytes]) -> float:
    start = perf_counter()
    for unit in units:
        encode_outcome(betfair.process(unit, ()))
    return perf_counter() - start


def _fallbacks(units: Iterable[bytes]) -> tuple[int, int]:
    """How many rows took the general reading, and how many of them the plain Decimal one."""
    with (
        mock.patch.object(betfair, "book_values", wraps=betfair.book_values) as general,
        mock.patch.object(betfair, "decimal_inputs", wraps=decimal_inputs) as plain,
    ):
        for unit in units:
            betfair.process(unit, ())
    return general.call_count, plain.call_count


def lines(snapshots: Iterable[Mapping[str, Any]], metadata: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """What a unit of these snapshots holds, line by line."""
    markets = {market["market_id"]: market for market in metadata}
    for snapshot in snapshots:
        yield betfair_sample.snapshot_line(snapshot, markets.get(snapshot["market_id"]))


def _units(lines: Iterator[bytes]) -> Iterator[bytes]:
    while unit := list(islice(lines, TARGET_UNIT_ROWS)):
        yield b"\n".join(unit)


if __name__ == "__main__":
    main()
