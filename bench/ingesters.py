"""Ingesters and a reader for `bench.live`: snapshots written at a rate, and when their derived rows were visible."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import psycopg

COLUMNS = ("snapshot_at", "market_id", "raw_payload", "total_matched", "inplay", "status", "depth_limit")
INSERT = f"""INSERT INTO market_book_snapshots ({", ".join(COLUMNS)})
    VALUES ({", ".join(["%s"] * len(COLUMNS))}) RETURNING snapshot_id"""

_LOOK_SECONDS = 0.003
_LAST_SECONDS = 30.0
_MINUTE = 60.0

Rows = Iterator[Sequence[Any]]
"""Snapshots without end, each the values of COLUMNS."""


class Seen(NamedTuple):
    """A snapshot: when its COMMIT had returned, when its derived row was visible, how long its insert took; seconds."""

    committed: float
    visible: float
    insert: float


@dataclass(slots=True)
class Ingested:
    """What ingesters have written: what is derived of it, in the order of that, and what isn't.

    `inserts` says how long each took in seconds, `late` how many were written more than a second after they were due.
    """

    seen: list[Seen] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    inserts: list[float] = field(default_factory=list)
    late: int = 0

    def until(self, end: float) -> "Ingested":
        """What of it was committed by then."""
        seen = [one for one in self.seen if one.committed <= end]
        return Ingested(seen, self.missing, [one.insert for one in seen], self.late)

    def latencies(self) -> list[float]:
        """Seconds from commit to visible, sorted."""
        return sorted(one.visible - one.committed for one in self.seen)

    def by_minutes(self, minutes: int) -> list[list[float]]:
        """Latencies of each span of so many minutes, by when it was committed; the last may be shorter."""
        spans: dict[int, list[float]] = defaultdict(list)
        began = min((one.committed for one in self.seen), default=0.0)
        for one in self.seen:
            spans[int((one.committed - began) / _MINUTE / minutes)].append(one.visible - one.committed)
        return [sorted(spans[span]) for span in sorted(spans)]


class Ingesters:
    """So many connections that write snapshots of one stream of rows, a transaction each, at a rate in all."""

    def __init__(self, url: str, rows: Rows, connections: int) -> None:
        self._url = url
        self._rows = rows
        self._connections = connections
        self._lock = threading.Lock()
        self._number = 0
        self._written: SimpleQueue[tuple[int, float, float]] = SimpleQueue()
        self._late = 0

    def write(self, rate: float, goes_on: Callable[[float], bool]) -> list[float]:
        """Write while it goes on after so many seconds; how long each insert took, without anybody who looks."""
        self._all(rate, goes_on)
        return [took for _, _, took in self._taken()]

    def watched(self, rate: float, goes_on: Callable[[float], bool]) -> Ingested:
        """Write, and look for the derived rows until all are there or the last is not for 30 s."""
        ingested, over = Ingested(), threading.Event()
        looker = threading.Thread(target=self._look, args=(ingested, over), daemon=True)
        looker.start()
        self._all(rate, goes_on)
        over.set()
        looker.join()
        ingested.late = self._late
        return ingested

    def _all(self, rate: float, goes_on: Callable[[float], bool]) -> None:
        self._number, self._late, began = 0, 0, time.perf_counter()
        threads = [
            threading.Thread(target=self._ingest, args=(began, rate, goes_on), daemon=True)
            for _ in range(self._connections)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _ingest(self, began: float, rate: float, goes_on: Callable[[float], bool]) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while True:
                with self._lock:
                    row, due = next(self._rows), self._number / rate
                    self._number += 1
                if not goes_on(due):
                    return
                ahead = began + due - time.perf_counter()
                if ahead > 0:
                    time.sleep(ahead)
                elif ahead < -1.0:
                    self._late += 1
                before = time.perf_counter()
                found = connection.execute(INSERT, row, prepare=True).fetchone()
                after = time.perf_counter()
                assert found is not None
                self._written.put((found[0], after, after - before))

    def _taken(self) -> Iterator[tuple[int, float, float]]:
        while True:
            try:
                yield self._written.get_nowait()
            except Empty:
                return

    def _look(self, ingested: Ingested, over: threading.Event) -> None:
        waiting: dict[int, tuple[float, float]] = {}
        deadline = None
        with psycopg.connect(self._url, autocommit=True) as connection:
            while True:
                last = over.is_set()
                for key, committed, took in self._taken():
                    waiting[key] = committed, took
                    ingested.inserts.append(took)
                if waiting:
                    found = connection.execute(
                        "SELECT snapshot_id FROM market_derived_metrics WHERE snapshot_id = ANY(%s)",
                        [list(waiting)],
                        prepare=True,
                    ).fetchall()
                    now = time.perf_counter()
                    for (key,) in found:
                        committed, took = waiting.pop(key)
                        ingested.seen.append(Seen(committed, now, took))
                if last:
                    deadline = deadline or time.perf_counter() + _LAST_SECONDS
                    if not waiting or time.perf_counter() > deadline:
                        ingested.missing = sorted(waiting)
                        return
                time.sleep(_LOOK_SECONDS)
