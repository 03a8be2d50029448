"""What one agent computes on one core: rows/s of the formulas alone, and of a whole agent process at a broker.

python -m bench.agent [--rows 50000] [--unit 512]

The first figures are processor time from a unit's bytes to an outcome's bytes, without a broker. The last is `rederive
worker agent` as it is, bound to one core, on a topic that is full already: from the first outcome to the last, by the
records' times.
"""

import argparse
import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any
from unittest import mock

import orjson
import psutil
from confluent_kafka import Consumer, TopicPartition

from processors.betfair import general
from processors.betfair import process as betfair
from processors.betfair.ladders import LadderCells
from processors.betfair.metrics import metrics
from producers.sender import Sender
from producers.topics import ensure_topics
from rederive import local
from rederive.settings import Settings
from samples.betfair import sample as betfair_sample
from samples.betfair.synthetic import Synthetic
from schemas.derived import encode_outcome
from schemas.lane import Lane, LaneName
from schemas.unit import TARGET_UNIT_ROWS, Unit
from schemas.wire import RawHeaders

_ROUNDS = 3


def main() -> None:
    """Prints a line a data set: processor time, the best of three rounds, and which share of rows left the arrays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000, help="synthetic snapshots (default %(default)s)")
    parser.add_argument("--unit", type=int, default=TARGET_UNIT_ROWS, help="snapshots a unit (default %(default)s)")
    asked = parser.parse_args()
    rows, size = asked.rows, asked.unit
    # As an agent does.
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    world = Synthetic()
    _measure("synthetic, both ladders, 10 levels", _units(_lines(world.snapshots(rows), world.metadata()), size))
    real = _lines(betfair_sample.snapshots(), betfair_sample.metadata())
    _measure("real sample, back ladders, 3 levels", _units(real, size))
    _measure_process(list(_units(_lines(world.snapshots(rows), world.metadata()), size)))


def _measure(name: str, given: Iterator[bytes]) -> None:
    units = list(given)
    count = sum(unit.count(b"\n") + 1 for unit in units)
    rounds = [[_seconds(part, units) for part in (_whole, _json, _formulas)] for _ in range(_ROUNDS)]
    whole, json, formulas = (min(seconds) / count * 1e6 for seconds in zip(*rounds, strict=True))
    print(
        f"{name}: {count:,} rows, {sum(map(len, units)) / count:,.0f} bytes each: {1e6 / whole:,.0f} rows/s, "
        f"{whole:.1f} µs a row, of it JSON {json:.1f}, formulas {formulas:.1f}; "
        f"general reading {_fallbacks(units) / count:.3%}"
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


def _seconds(part: Callable[[bytes], Callable[[], object]], units: Iterable[bytes]) -> float:
    """Processor seconds of a part over all units, without what it needs to begin."""
    spent = 0.0
    for unit in units:
        run = part(unit)
        start = process_time()
        run()
        spent += process_time() - start
    return spent


def _whole(unit: bytes) -> Callable[[], object]:
    return lambda: encode_outcome(betfair.process(unit, ()))


def _json(unit: bytes) -> Callable[[], object]:
    lines = unit.split(b"\n")

    def read() -> None:
        for line in lines:
            orjson.loads(line)

    return read


def _formulas(unit: bytes) -> Callable[[], object]:
    lines = unit.split(b"\n")
    cells = LadderCells(len(lines))
    for place, line in enumerate(lines):
        row = orjson.loads(line)
        with suppress(ValueError):
            cells.fill(place, row["raw_payload"], row["selection_ids"])
    return lambda: metrics(cells.ladders())


def _fallbacks(units: Iterable[bytes]) -> int:
    """How many rows took the general reading."""
    with mock.patch.object(betfair, "derive_row", wraps=general.derive_row) as fallback:
        for unit in units:
            betfair.process(unit, ())
    return fallback.call_count


def _lines(snapshots: Iterable[Mapping[str, Any]], metadata: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    markets = {market["market_id"]: market for market in metadata}
    for snapshot in snapshots:
        yield betfair_sample.snapshot_line(snapshot, markets.get(snapshot["market_id"]))


def _units(lines: Iterator[bytes], size: int) -> Iterator[bytes]:
    while unit := list(islice(lines, size)):
        yield b"\n".join(unit)


if __name__ == "__main__":
    main()
