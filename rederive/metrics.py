"""Metrics: what the database and Kafka say of the whole deployment, as Prometheus reads it (docs/http.md).

Each process that has a page of its own adds what only it knows to its own registry; this is what all share. Names have
their unit, and `_total` where they only grow.
"""

import logging
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from psycopg import Connection

from rederive import domains
from rederive.pulse import seconds
from rederive.status import Status
from schemas.domain import load
from schemas.errors import Failed
from store import captures, counts
from store.dead_letters import DROPPED, REQUEUED

log = logging.getLogger(__name__)

PREFIX = "rederive_"

Looks = Callable[[], Status]
Counts = Callable[[], list[Metric]]

_QUANTILES = (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))


def exposition(look: Looks, count: Counts) -> bytes:
    """The metrics of now in the text format; what can't be had is left out, and `rederive_up` says so.

    `count` gives what the database knows, as `of_database` does.
    """
    registry = CollectorRegistry()
    for make in (ProcessCollector, PlatformCollector, GCCollector):
        make(registry=registry)
    registry.register(Deployment(look, count))
    return generate_latest(registry)


class Deployment(Collector):
    """What is known of all runs, lanes and letters, looked for whenever somebody collects."""

    def __init__(self, look: Looks, count: Counts) -> None:
        self._look, self._count = look, count

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is isn't known before it is collected."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All figures."""
        status = self._look()
        yield from _of_services(status)
        yield from _of_lanes(status)
        try:
            found = self._count()
        except Failed as error:
            log.warning("metrics lack what the database knows: %s", error)
            found = []
        yield from found


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def _of_services(status: Status) -> Iterator[Metric]:
    up = _gauge("up", "Whether a service answers.", "service")
    for service, state, _ in status.services:
        up.add_metric([service], float(state == "running"))
    yield up
    troubles = _gauge("troubles", "What is wrong now, as `rederive status` says it.", "domain")
    # A figure that is there only while something is wrong can't be seen to change.
    by_domain = dict.fromkeys(["", *domains.names()], 0)
    for one in status.troubles:
        by_domain[one.domain] = by_domain.get(one.domain, 0) + 1
    for domain, count in by_domain.items():
        troubles.add_metric([domain], count)
    yield troubles


def _of_lanes(status: Status) -> Iterator[Metric]:
    records = _gauge("lag_records", "Records that a group hasn't committed.", "domain", "lane", "group")
    behind = _gauge("lag_seconds", "For how long the oldest of them has waited.", "domain", "lane", "group")
    members = _gauge("members", "Members of a group that hold partitions.", "domain", "lane", "group")
    rate = _gauge(
        "visible_rows_per_second", "Live rows that became visible, over the last minute.", "domain", "lane"
    )  # as a gauge: the database keeps an hour
    latency = _gauge(
        "latency_seconds", "Of live rows of the last five minutes, by stage.", "domain", "lane", "stage", "quantile"
    )
    progressed = _gauge("progress_timestamp_seconds", "When a lane last got on.", "domain", "lane")
    for pulse in status.lanes:
        lane = [pulse.lane.domain, str(pulse.lane.name)]
        for group, seen in (("agents", pulse.agents), ("sinks", pulse.sinks)):
            records.add_metric([*lane, group], seen.lag)
            behind.add_metric([*lane, group], seconds(seen.oldest, status.at))
            members.add_metric([*lane, group], sum(name is not None for name in seen.holders))
        rate.add_metric(lane, pulse.rate)
        for stage, found in pulse.latencies.items():
            for quantile, name in _QUANTILES:
                latency.add_metric([*lane, stage, quantile], getattr(found, name) / 1000)
        if pulse.progressed is not None:
            progressed.add_metric(lane, pulse.progressed.timestamp())
    letters = _gauge("dead_letter_records", "Records on a domain's DLQ, whatever became of them.", "domain")
    for domain, count in status.letters.items():
        letters.add_metric([domain], count)
    yield from (records, behind, members, rate, latency, progressed, letters)


def of_database(connection: Connection) -> list[Metric]:
    """What the database knows: captures, units, rows by outcome, letters. It reads all units."""
    if not captures.are_there(connection):
        return []
    of_captures = _gauge("captures", "Captures, by where they stand.", "domain", "state")
    for one in counts.of_captures(connection):
        of_captures.add_metric([one.domain, one.state], one.count)
    units = _gauge("units", "Units of captures, by where they stand.", "domain", "lane", "state")
    rows = CounterMetricFamily(
        f"{PREFIX}rows", "Rows of units that have an outcome, by outcome.", labels=["domain", "lane", "outcome"]
    )
    sums: dict[tuple[str, str, str], int] = {}
    for unit in counts.of_units(connection):
        units.add_metric([unit.domain, unit.lane, unit.state], unit.count)
        for outcome in ("updated", "unchanged", "skipped", "errors"):
            place = (unit.domain, unit.lane, outcome)
            sums[place] = sums.get(place, 0) + getattr(unit, outcome)
    for labels, count in sums.items():
        rows.add_metric(labels, count)
    letters = _gauge("dead_letters_handled", "Dead letters that were sent again or dropped.", "domain", "state")
    handled = {(domain, state): 0 for domain in domains.names() for state in (REQUEUED, DROPPED)}
    handled |= {(one.domain, one.state): one.count for one in counts.of_letters(connection)}
    for (domain, state), count in handled.items():
        letters.add_metric([domain, state], count)
    return [of_captures, units, rows, letters, _of_checks(connection)]


def _of_checks(connection: Connection) -> Metric:
    """What checks have found of what is stored; a domain that can't say it is left out."""
    checks = CounterMetricFamily(
        f"{PREFIX}quality_checks", "Results of checks that are stored, by status.", labels=["domain", "status"]
    )
    for domain in domains.usable():
        if not domain.quality:
            continue
        try:
            found = {"PASS": 0, "WARN": 0, "FAIL": 0, **load(domain.quality)(connection)}
        except Exception as error:
            # A domain is whoever's.
            log.warning("metrics lack the checks of %s: %s: %s", domain.name, type(error).__name__, error)
            continue
        for status, count in found.items():
            checks.add_metric([domain.name, status], count)
    return checks
