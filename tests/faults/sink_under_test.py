"""A sink process that is killed at a given point: `python -m tests.faults.sink_under_test POINT …`."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import confluent_kafka
import psycopg

import sinks.applier
import sinks.apply
import sinks.consumer
from schemas.lane import Lane, LaneName
from sinks.consumer import Sink, SinkConfig
from tests.sinks.made_tables import MADE


class Consumer(confluent_kafka.Consumer):
    """A consumer whose methods can be taken out of its hands."""


# What has just been called, or is about to be, and for the how-maniest time. Each batch has shares of two captures.
POINTS: dict[str, tuple[Any, str, bool, int]] = {
    "a batch is ready while another is written": (sinks.consumer, "make_batch", True, 2),
    "the rows of a second share are merged": (sinks.apply, "_write", True, 2),
    "all of the first share is noted": (sinks.apply, "_settle", True, 2),
    "the first share is in the database": (sinks.applier, "apply", True, 1),
    "the batch is in the database": (sinks.applier, "apply", True, 2),
    "offsets are about to be committed": (Consumer, "commit", False, 1),
    "offsets are being committed": (Consumer, "commit", True, 1),
}
NEVER = "never"


def harmed(called: Callable[..., Any], *, after: bool, times: int) -> Callable[..., Any]:
    """The same call, which the process doesn't survive."""
    calls = count(1)

    def call(*given: Any, **named: Any) -> Any:
        now = next(calls) == times
        if now and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = called(*given, **named)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    return call


def main() -> None:
    point, bootstrap, prefix, url = sys.argv[1:5]
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    if point != NEVER:
        where, name, after, times = POINTS[point]
        setattr(where, name, harmed(getattr(where, name), after=after, times=times))
        sinks.consumer.Consumer = Consumer  # type: ignore[attr-defined]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    lane = Lane(MADE.name, LaneName.REPLAY, prefix)
    kafka = {"bootstrap.servers": bootstrap}
    # A batch is a quarter of the lane: each unit weighs as much as two or three usual rows.
    config = SinkConfig(lane, MADE, f"{prefix}sink", kafka, lambda: psycopg.connect(url, autocommit=True), 40)
    Sink(config).run(stop.is_set)


if __name__ == "__main__":
    main()
