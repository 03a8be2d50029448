"""What merging racing days costs: µs of processor a runner row, by phase and table, in the sink and in Postgres.

    python -m bench.merge [--days 100] [--batch-rows 5000]

Outcomes of the stand-in's days go through `sinks.apply` as a sink would apply them, without Kafka, into an embedded
Postgres. Every phase but the first two finds the rows of the one before. A card's runner and a result's are two rows.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from unittest import mock

import orjson
import psutil
import psycopg
import pyarrow.compute as pc

from bench.fresh import postgres
from bench.running import running
from processors.racing.process import process
from samples.racing.days import racing_day
from schemas.derived import decode_outcome, encode_outcome
from schemas.outcome import TableRows
from schemas.racing.tables import RACING
from schemas.table import Mode
from schemas.unit import Origin
from sinks.apply import Result, apply
from sinks.batch import weight
from sinks.merge import merging, policy
from sinks.merge.staging import Staged
from sinks.policies import prepare
from sinks.policy import Writer

TODAY = date(2026, 11, 1)
RESULTS_ONLY, BOTH = date(2016, 1, 1), date(2024, 1, 1)

Unit = tuple[str, bytes]
"""Its kind, and its outcome as the sink reads it."""


def outcomes(first: date, days: int, kinds: Sequence[str] = ("racecards", "results")) -> Iterator[Unit]:
    """Encoded outcomes of days, one a day and kind."""
    for day in (first + timedelta(days=n) for n in range(days)):
        made = racing_day(day)
        for kind in kinds:
            answer = {"racecards": made.cards, "results": made.results}[kind](TODAY)
            if answer:
                seen = f"{day + timedelta(days=kind == 'results')}T05:00:00+00:00"
                line = {"kind": kind, "date": day.isoformat(), "observed": seen, "payload": {kind: answer}}
                yield kind, encode_outcome(process(orjson.dumps(line), ()))


class Costs:
    """Processor seconds of this process and of a connection's server process, by table."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._sink, self._server = psutil.Process(), psutil.Process(connection.info.backend_pid)
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.runners = 0
        self.wall = 0.0

    def now(self) -> tuple[float, float]:
        """Sink's, server's."""
        return time.process_time(), sum(self._server.cpu_times()[:2])

    def add(self, name: str, since: tuple[float, float]) -> None:
        """What was spent since then."""
        for at, (now, then) in enumerate(zip(self.now(), since, strict=True)):
            self.spent[name][at] += now - then

    def report(self, phase: str) -> None:
        """A line for the phase, then one a table that costs something."""
        sink, server = self.spent.pop("all")
        rows = self.runners
        print(
            f"{phase:28} {rows:8,} runner rows, wall {self.wall / rows * 1e6:6.1f} µs a row, "
            f"sink {sink / rows * 1e6:5.1f}, server {server / rows * 1e6:6.1f}"
        )
        for name, (python, server_seconds) in sorted(self.spent.items(), key=lambda item: -sum(item[1])):
            print(f"    {name:24} sink {python / rows * 1e6:5.1f}, server {server_seconds / rows * 1e6:6.1f}")


def run(connection: psycopg.Connection, phase: str, capture: str, units: Sequence[Unit], batch_rows: int) -> None:
    """Apply the units in batches as the sink cuts them, and print what that cost."""
    costs = Costs(connection)
    plain_merge = merging.merge

    def merge(connection: psycopg.Connection, staged: Staged, writer: Writer) -> Counter[int]:
        since = costs.now()
        try:
            return plain_merge(connection, staged, writer)
        finally:
            costs.add(staged.table.name, since)

    started, since = time.perf_counter(), costs.now()
    with mock.patch.object(policy, "merge", merge):
        batch: list[Result] = []
        weighed = 0
        for number, (_, value) in enumerate(units):
            outcome = decode_outcome(value)
            costs.runners += sum(len(block) for block in outcome.tables if block.table == "ra_runners")
            batch.append(Result(Origin(capture, 0, number), capture, number, outcome))
            weighed += weight(outcome)
            if weighed >= 2 * batch_rows or number + 1 == len(units):
                done = apply(connection, RACING, capture, batch)
                assert not done.refused, done.refused[0][1]
                batch, weighed = [], 0
    costs.wall = time.perf_counter() - started
    costs.add("all", since)
    costs.report(phase)


def capture(connection: psycopg.Connection, number: int, version: int = 1) -> str:
    """A running capture that supersedes."""
    return running(connection, f"racing-bench-{number}", "racing", Mode.SUPERSEDE, version, source="bench")


def mended(units: Sequence[Unit]) -> Iterator[Unit]:
    """As if a formula had been mended: every runner has another comment and every horse another colour."""
    for kind, value in units:
        outcome = decode_outcome(value)
        outcome.tables = [_mended(block) for block in outcome.tables]
        yield kind, encode_outcome(outcome)


def _mended(block: TableRows) -> TableRows:
    rows = block.batch
    for name in {"comment", "colour"}.intersection(block.columns):
        if block.table in ("ra_runners", "ra_mst_horses"):
            changed = pc.binary_join_element_wise(rows.column(name).fill_null("None"), "mended", " ")
            rows = rows.set_column(block.columns.index(name), name, changed)
    return replace(block, batch=rows)


def main() -> None:
    """Print a line a phase, and under it a line a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--batch-rows", type=int, default=5_000)
    given = parser.parse_args()
    before = list(outcomes(RESULTS_ONLY, given.days))
    both = list(outcomes(BOTH, given.days))
    later = list(outcomes(BOTH + timedelta(days=given.days), given.days))
    with postgres() as (_, url), psycopg.connect(url, autocommit=True) as connection:
        prepare(connection, RACING)

        def phase(name: str, number: int, units: Sequence[Unit], version: int = 1) -> None:
            run(connection, name, capture(connection, number, version), units, given.batch_rows)
            connection.execute("VACUUM ANALYZE")

        phase("results, first", 1, before)
        phase("cards and results, first", 2, both)
        phase("results, again", 3, before)
        phase("cards and results, again", 4, both)
        phase("again, formula mended", 5, list(mended(both)), version=2)
        phase("cards of days to come", 6, [unit for unit in later if unit[0] == "racecards"])
        phase("then their results", 7, [unit for unit in later if unit[0] == "results"])


if __name__ == "__main__":
    main()
