"""Figures of one process, kept for Prometheus: what it has done, how long that took, whether it gets on.

What the whole deployment has done is counted in the database (rederive/metrics.py): these are gone with their process.
"""

import os
import time
from bisect import bisect_left
from collections import Counter as Sums
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, PlatformCollector
from prometheus_client import ProcessCollector as OfProcess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from rederive.memory import peak
from schemas.capture import Progress
from schemas.measures import Measures

PREFIX = "rederive_worker_"

PATIENCE_SECONDS = 60.0
"""What waits longer without anything being done isn't ready."""

STAGES = {"agent": ("computed", "delivered"), "sink": ("merged",), "producer": ("sent",), "run": ("sent",), "live": ()}
"""What processes of a role tell of, from the beginning: a counter that isn't there yet can't be seen to grow."""

_DIES_IN = {"agent": "computed", "sink": "merged"}
_BATCH_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LATENCY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


M = TypeVar("M", Counter, Histogram)


class Measured(Measures):
    """Figures of a process of a role, of one domain and lane, either empty where it serves several."""

    def __init__(self, role: str, domain: str, lane: str = "") -> None:
        self._role, self._domain, self._lane = role, domain, lane
        self._waits: Callable[[], int] | None = None
        self._moved = self._free = time.monotonic()
        self._series: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self.registry = made = CollectorRegistry()
        for own in (OfProcess, PlatformCollector, GCCollector):
            own(registry=made)
        place = ("domain", "lane", "stage")
        self._units = Counter(f"{PREFIX}units", "Units done, by what was done to them.", place, registry=made)
        self._rows = Counter(f"{PREFIX}rows", "Rows of these, by outcome.", (*place, "outcome"), registry=made)
        self._dead = Counter(f"{PREFIX}dead_letters", "Units that became dead letters.", place, registry=made)
        self._seconds = Histogram(
            f"{PREFIX}batch_seconds", "How long a batch took.", place, buckets=_BATCH_SECONDS, registry=made
        )
        self._failed = Counter(
            f"{PREFIX}failed_batches",
            "Batches that failed and are done again, by who did them.",
            ("domain", "lane", "failed"),
            registry=made,
        )
        self._restarts = Counter(
            f"{PREFIX}restarts",
            "Workers that died and were started again.",
            ("domain", "lane", "died"),
            registry=made,
        )
        labels = {"domain": domain, "lane": lane}
        if role != "producer":
            # What a producer hasn't found yet nobody knows.
            behind = Gauge(
                f"{PREFIX}lag_records", "What it has yet to do, as far as it knows.", [*labels], registry=made
            )
            behind.labels(**labels).set_function(self._waiting)
        most = Gauge(f"{PREFIX}memory_peak_bytes", "The most resident memory it has had.", [*labels], registry=made)
        most.labels(**labels).set_function(lambda: peak(os.getpid()))
        got_on = Gauge(f"{PREFIX}progress_timestamp_seconds", "When it last got on.", [*labels], registry=made)
        got_on.labels(**labels).set_function(lambda: time.time() - (time.monotonic() - self._moved))
        for stage in STAGES[role]:
            self._units.labels(domain, lane, stage)
            self._seconds.labels(domain, lane, stage)
        if role in _DIES_IN:
            self._dead.labels(domain, lane, _DIES_IN[role])
        if role == "sink":
            self._failed.labels(domain, lane, role)
            self._latencies = _Latencies(domain, lane)
            made.register(self._latencies)
        if role == "run":
            self._of_run = _OfRun(domain)
            made.register(self._of_run)

    def watching(self, domain: str, lanes: Iterable[str]) -> "Measured":
        """The same figures, for what is told of the workers of a domain."""
        bound = copy(self)
        bound._domain, bound._series = domain, {}
        for lane in lanes:
            self._failed.labels(domain, lane, "agent")
            for role in ("agent", "sink", "producer"):
                self._restarts.labels(domain, lane, role)
        return bound

    def begun(self, waits: Callable[[], int] = lambda: 0) -> None:
        """It works now."""
        self._waits = waits
        self.moving()

    def moving(self) -> None:
        """It has just got on."""
        self._moved = time.monotonic()

    def batch(
        self,
        stage: str,
        seconds: float,
        *,
        units: int = 0,
        rows: Mapping[str, int] | None = None,
        dead: int = 0,
    ) -> None:
        """Count a batch in."""
        self._of(self._seconds, stage).observe(seconds)
        if units:
            self._of(self._units, stage).inc(units)
        for outcome, count in (rows or {}).items():
            if count:
                self._of(self._rows, stage, outcome).inc(count)
        if dead:
            self._of(self._dead, stage).inc(dead)
        self.moving()

    def failed(self, role: str, lane: str) -> None:
        """Count a failed batch in."""
        self._failed.labels(self._domain, lane, role).inc()

    def restarted(self, role: str, lane: str) -> None:
        """Count a start in."""
        self._restarts.labels(self._domain, lane, role).inc()

    def took(self, bins: Mapping[str, Mapping[float, int]]) -> None:
        """Count a sink's latencies in."""
        self._latencies.add(bins)

    def progressed(self, progress: Progress) -> None:
        """How far a run is."""
        self._of_run.progress = progress

    def look(self) -> None:
        """Note whether it has nothing to do; to be called every few seconds."""
        if not self._waiting():
            self._free = time.monotonic()

    def why_not(self) -> list[str]:
        """Why it isn't ready; nothing when it is: what it has to do is done, or something was in the last minute."""
        if self._waits is None:
            return ["it is beginning"]
        idle = time.monotonic() - max(self._moved, self._free)
        if idle < PATIENCE_SECONDS or not (waiting := self._waiting()):
            return []
        return [f"work waits ({waiting:,}), and nothing has been done for {idle:.0f} s"]

    def _of(self, metric: M, *labels: str) -> M:
        """The series of a metric with labels; the library takes longer to find it than to count."""
        place = metric, labels
        if (found := self._series.get(place)) is None:
            found = self._series[place] = metric.labels(self._domain, self._lane, *labels)
        return found

    def _waiting(self) -> int:
        return self._waits() if self._waits is not None else 0


class _OfRun(Collector):
    """How far a run is, as its units say."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self.progress = Progress(0, 0, 0, 0, 0, 0, 0, 0, 0)

    def collect(self) -> Iterator[Metric]:
        """Units by state, and rows by outcome."""
        now = self.progress
        units = GaugeMetricFamily("rederive_run_units", "Units of the run.", labels=["domain", "state"])
        for state, count in (("done", now.units_done), ("dead", now.units_dead), ("all", now.units)):
            units.add_metric([self._domain, state], count)
        yield units
        rows = CounterMetricFamily("rederive_run_rows", "Rows of the run.", labels=["domain", "outcome"])
        for outcome in ("updated", "unchanged", "skipped", "errors"):
            rows.add_metric([self._domain, outcome], getattr(now, outcome))
        yield rows


class _Latencies(Collector):
    """How long it took until live rows were visible, by stage, as bins of the sink's own give it."""

    def __init__(self, domain: str, lane: str) -> None:
        self._place = domain, lane
        self._counts: dict[str, Sums[int]] = {}
        self._sums: Sums[str] = Sums()

    def add(self, bins: Mapping[str, Mapping[float, int]]) -> None:
        """Add rows; their sum is that of the tops of their bins, a tenth too much at most."""
        for stage, rows in bins.items():
            counts = self._counts.setdefault(stage, Sums())
            for milliseconds, count in rows.items():
                counts[bisect_left(_LATENCY_SECONDS, milliseconds / 1000)] += count
                self._sums[stage] += milliseconds / 1000 * count  # type: ignore[assignment]

    def collect(self) -> Iterable[Metric]:
        """One histogram."""
        text = "From a client's commit until its row is visible, by stage."
        made = HistogramMetricFamily(f"{PREFIX}latency_seconds", text, labels=["domain", "lane", "stage"])
        for stage, counts in list(self._counts.items()):
            seen, buckets = 0, list[Any]()
            for number, top in enumerate([*map(str, _LATENCY_SECONDS), "+Inf"]):
                seen += counts[number]
                buckets.append((top, seen))
            made.add_metric([*self._place, stage], buckets, sum_value=self._sums[stage])
        return [made]
