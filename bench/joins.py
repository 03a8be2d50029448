"""Live while its members change: agents, sinks and other machines join and leave, again and again, under load.

    python -m bench.joins [--seconds 300] [--rate 300] [--records 100] [--connections 2] [--partitions 6] [--seed 1]

Ingesters write snapshots at the rate, a transaction each; somebody else sends records of a snapshot each to the log.
Meanwhile single agents, single sinks and a second `rederive live` of another machine join, each stays for a few
seconds, and leaves in order or by `kill -9`; it comes back under its old name, or that is gone for good. Ends with 1
unless each record of the log has an outcome, each committed snapshot its right row and one entry of history, no other
snapshot has any, and `captures verify` finds nothing.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import IO

import psycopg
from confluent_kafka import Producer
from psycopg import Connection

from bench.fresh import services
from bench.ingesters import Ingesters
from bench.live import live, log_of, rows_of, show, verified, wait_until_live
from processors.betfair.general import derive
from producers.betfair.snapshots import read_snapshots, snapshot_line
from producers.topics import ensure_topics, watermarks
from rederive.settings import Settings
from samples.betfair.load import load
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import METRICS
from schemas.lane import Lane, LaneName
from store.origins import holes

_STAY_SECONDS, _AWAY_SECONDS = (0.5, 6.0), (0.0, 2.0)
# Its workers have yet to begin when it says that it has begun.
_MACHINE_SECONDS = 3.0
_BEGIN_SECONDS, _STOP_SECONDS = 20.0, 60.0
_BEGUN = (b" reads betfair.log", b" live betfair: ")
_KEPT_NAMES = 0.5
_KILLED = 0.4
_SETTLE_SECONDS, _LOOK_SECONDS = 60.0, 0.25
_SENT_AGAIN, _CHECKED_ROWS = 50, 2_000
_LANE = Lane("betfair", LaneName.LOG)


@dataclass
class Joiner(threading.Thread):
    """One member after another that joins, stays for a while and leaves; `seen` counts how they left.

    `wrong` names those that were asked to leave and didn't, or not in order. `words` gives the command of a member by
    its name. Each name has a REDERIVE_HOME of its own.
    """

    settings: Settings
    what: str
    words: Callable[[str], list[str]]
    chosen: random.Random
    over: threading.Event
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(name=self.what, daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Join and leave until it is over."""
        name, fresh = f"{self.what}-0", count(1)
        while not self.over.is_set():
            how = self._join(name)
            self.seen[how] += 1
            if self.chosen.random() > _KEPT_NAMES:
                name = f"{self.what}-{next(fresh)}"
            self.over.wait(self.chosen.uniform(*_AWAY_SECONDS))

    def _join(self, name: str) -> str:
        """How one that was called so has left."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        home = self.settings.home / "joining" / name
        home.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "rederive", *self.words(name)],
            env={**environment, **self.settings.environment(), "REDERIVE_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stderr is not None
        # What it says then goes nowhere.
        begun = threading.Event()
        threading.Thread(target=_heard, args=(process.stderr, begun), daemon=True).start()
        works = begun.wait(_BEGIN_SECONDS)
        self.over.wait(self.chosen.uniform(*_STAY_SECONDS) + (_MACHINE_SECONDS if self.what == "live" else 0.0))
        how = "killed" if self.chosen.random() < _KILLED else "left"
        process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGTERM)
        try:
            code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
        if how == "left" and code != 0:
            how = f"left with {code}" if code is not None else "did not leave"
            self.wrong.append(f"{name} {how}")
        return how if works else f"{how} before it was let in"


def _heard(said: IO[bytes], begun: threading.Event) -> None:
    for line in said:
        if any(words in line for words in _BEGUN):
            begun.set()


class Sending(threading.Thread):
    """Sends records of one snapshot each to the log, each to the next partition; `sent` of them are acknowledged."""

    def __init__(self, settings: Settings, values: list[bytes], rate: float, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self._values, self._rate, self._over = values, rate, over
        self._producer = Producer({**settings.kafka_config(), "enable.idempotence": True, "linger.ms": 0})
        self._partitions = len(watermarks(settings.kafka_config(), _LANE.raw))

    def run(self) -> None:
        """Send at the rate until it is over."""
        began = time.perf_counter()
        for number in count():
            self._over.wait(max(0.0, began + number / self._rate - time.perf_counter()))
            if self._over.is_set():
                break
            self._producer.produce(
                _LANE.raw,
                value=self._values[number % len(self._values)],
                partition=number % self._partitions,
                on_delivery=self._delivered,
            )
            self._producer.poll(0)
        self._producer.flush(_SETTLE_SECONDS)

    def _delivered(self, error: object, _: object) -> None:
        self.sent += error is None


def joiners(settings: Settings, over: threading.Event, seed: int) -> list[Joiner]:
    """An agent, a sink, and a second machine with all of live."""

    def worker(role: str) -> Callable[[str], list[str]]:
        return lambda name: ["worker", role, "--domain", "betfair", "--lane", "log", "--member", name]

    commands = {"agent": worker("agent"), "sink": worker("sink"), "live": lambda _: ["live", "betfair"]}
    return [Joiner(settings, what, words, random.Random(f"{seed} {what}"), over) for what, words in commands.items()]


def wait_until_begun(url: str) -> None:
    """Until live has a place: what is committed from then on is found. SystemExit when that takes too long."""
    deadline = time.monotonic() + _BEGIN_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while not connection.execute("SELECT 1 FROM rederive.cursors").fetchone():
            if time.monotonic() > deadline:
                raise SystemExit("live doesn't begin")
            time.sleep(_LOOK_SECONDS)


def lost_records(settings: Settings, connection: Connection) -> list[str]:
    """Ranges of records of the log that have no outcome."""
    return [
        f"{_LANE.raw}[{partition}]@{first}..{last - 1}"
        for partition, (low, high) in sorted(watermarks(settings.kafka_config(), _LANE.raw).items())
        for first, last in holes(connection, _LANE.raw, partition, low, high)
    ]


def wrong_rows(connection: Connection) -> list[str]:
    """What is wrong with which snapshot: it has no row, a row that isn't its own, or not one entry of history."""
    found = [
        f"{key}: {what}"
        for key, what in connection.execute(
            """SELECT coalesce(s.snapshot_id, d.snapshot_id),
                      CASE WHEN d.snapshot_id IS NULL THEN 'no row' WHEN s.snapshot_id IS NULL THEN 'no snapshot'
                           ELSE coalesce(h.entries, 0) || ' entries of history' END
               FROM market_book_snapshots s FULL JOIN market_derived_metrics d USING (snapshot_id)
               LEFT JOIN (SELECT snapshot_id, count(*) AS entries FROM rederive.market_derived_metrics_history
                          GROUP BY 1) h USING (snapshot_id)
               WHERE s.snapshot_id IS NULL OR d.snapshot_id IS NULL OR h.entries IS DISTINCT FROM 1 ORDER BY 1"""
        )
    ]
    names = ", ".join(METRICS)
    keys = [key for (key,) in connection.execute("SELECT snapshot_id FROM market_derived_metrics ORDER BY 1")]
    for first in range(0, len(keys), _CHECKED_ROWS):
        some = keys[first : first + _CHECKED_ROWS]
        lines = [snapshot_line(row) for row in read_snapshots(connection, some)]
        stored = connection.execute(
            f"SELECT snapshot_id, {names} FROM market_derived_metrics WHERE snapshot_id = ANY(%s)",
            [some],
        )
        right = {done.snapshot_id: done.values for done in map(derive, lines)}
        found += [f"{key}: other values" for key, *values in stored if right.get(key) != values]
    return found


def measure(settings: Settings, url: str, asked: argparse.Namespace) -> list[str]:
    """What was lost or is wrong, in words; figures are printed."""
    world = Synthetic()
    ensure_topics(settings.kafka_config(), _LANE, asked.partitions, None)
    with psycopg.connect(url, autocommit=True) as connection:
        load(connection, world.metadata(), world.snapshots(_SENT_AGAIN))
        keys = [key for (key,) in connection.execute("SELECT snapshot_id FROM market_book_snapshots ORDER BY 1")]
        values = [snapshot_line(row) for row in read_snapshots(connection, keys)]
    rows = rows_of(world, _SENT_AGAIN)
    over = threading.Event()
    with live(settings):
        wait_until_begun(url)
        wait_until_live(settings, url, rows)
        joining = joiners(settings, over, asked.seed)
        sending = Sending(settings, values, asked.records, over)
        for thread in (*joining, sending):
            thread.start()
        beside = Ingesters(url, rows, asked.connections).watched(asked.rate, lambda passed: passed <= asked.seconds)
        over.set()
        for thread in (*joining, sending):
            thread.join()
        for one in joining:
            ways = ", ".join(f"{times:,} {how}" for how, times in sorted(one.seen.items()))
            print(f"{one.what:6} joined {one.seen.total():,} times: {ways}", flush=True)
        print(f"{len(beside.inserts):,} snapshots, {sending.sent:,} records beside them")
        show("commit to visible", beside.latencies())
        with psycopg.connect(url, autocommit=True) as connection:
            deadline = time.monotonic() + _SETTLE_SECONDS
            while (lost := lost_records(settings, connection)) and time.monotonic() < deadline:
                time.sleep(_LOOK_SECONDS)
            badly = [named for one in joining for named in one.wrong]
            return [f"no outcome: {record}" for record in lost] + wrong_rows(connection) + badly


def main() -> None:
    """Print figures; end with 1 when anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0, help="default %(default)s")
    parser.add_argument("--rate", type=float, default=300.0, help="snapshots a second, default %(default)s")
    parser.add_argument("--records", type=float, default=100.0, help="records a second beside, default %(default)s")
    parser.add_argument("--connections", type=int, default=2, help="ingesters, default %(default)s")
    parser.add_argument("--partitions", type=int, default=6, help="of the log, default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of who joins for how long, default %(default)s")
    given = parser.parse_args()
    with services() as settings:
        assert settings.database_url is not None
        found = measure(settings, settings.database_url.get_secret_value(), given)
        print(f"lost or wrong: {len(found):,}", *found[:20], sep="\n")
        if found:
            print(log_of(settings))
        if not verified(settings) or found:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
