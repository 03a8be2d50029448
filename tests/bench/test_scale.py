"""What is said of replays of different sizes."""

import os
from dataclasses import replace

import psycopg
import pytest

from bench.rows import fill
from bench.scale import costs, for_model, memory, spread, stored, verdict
from bench.scale_run import PARTS, Ran, Shape, Taken
from bench.services import Services, snapshot_bytes, table_bytes
from tests.wait import until

_TABLES = ("serving", "history", "baseline", "units", "origins")


def _ran(rows: int, us: float, mb: float = 100.0) -> Ran:
    """Each part takes `us` µs a row, and starting takes as much as 1,000 rows."""
    few = 1_000
    start = Taken(2.0, dict.fromkeys(PARTS, few * us / 1e6))
    whole = Taken(2.0 + (rows - few) / 5_000, dict.fromkeys(PARTS, rows * us / 1e6))
    peaks = dict.fromkeys(("producer", "agents", "sinks", "kafka", "postgres"), mb)
    tables = dict.fromkeys(_TABLES, (rows * 100, rows * 10))
    return Ran(Shape(rows, 2), whole, few, start, peaks, tables, {"raw": rows * 600, "derived": rows * 700}, rows, 1.0)


def test_start_and_stop_are_taken_off() -> None:
    one = _ran(11_000, 10.0)
    assert one.pace == pytest.approx(5_000)
    assert one.rate == pytest.approx(11_000 / 4.0)
    assert one.cost() == pytest.approx(dict.fromkeys(PARTS, 10.0))
    assert one.busy(2) == pytest.approx(7 * 0.11 / 4.0 / 2)


def test_a_cost_that_grows_is_said() -> None:
    alike, dear = [_ran(10_000, 10.0), _ran(100_000, 10.9)], [_ran(10_000, 10.0), _ran(100_000, 12.0)]
    assert spread([1.0, 1.5]) == pytest.approx(0.5)
    assert "9% apart: within" in verdict(alike)[0]
    assert "20% apart: NOT within" in verdict(dear)[0]


def test_memory_that_grows_is_said_but_not_that_of_the_first_batches() -> None:
    runs = [_ran(10_000, 10.0, 50.0), _ran(100_000, 10.0, 100.0), _ran(1_000_000, 10.0, 105.0)]
    assert all("+5%" in line and "NOT" not in line for line in verdict(runs)[1:])
    assert all("NOT flat" in line for line in verdict([*runs, _ran(5_000_000, 10.0, 120.0)])[1:])


def test_one_large_replay_alone_says_nothing_of_memory() -> None:
    for runs in ([_ran(10_000, 10.0, 50.0), _ran(100_000, 10.0, 100.0)], [_ran(1_000_000, 10.0)], [_ran(10_000, 10.0)]):
        (said,) = verdict(runs)[1:]
        assert "not enough rows to say: two replays of 100,000 rows or more" in said


def test_tables_have_a_line_a_replay() -> None:
    runs = [_ran(10_000, 10.0), _ran(100_000, 10.0)]
    for made in (costs, memory, stored):
        lines = made(runs, "rows")
        assert [line.split()[0] for line in lines] == ["rows", "10,000", "100,000"]
        assert len({len(line) for line in lines[1:]}) == 1
    assert "100+10" in stored(runs, "rows")[1]
    assert costs([replace(runs[0], shape=Shape(10_000, 2, 1_000))], "partitions")[1].split()[0] == "1,000"


def test_the_model_is_given_what_a_row_costs() -> None:
    given = for_model(_ran(100_000, 10.0), [_ran(50_000, 10.0)], "python -m bench.scale")
    assert given["cpu_us"] == dict.fromkeys(PARTS, 10.0)
    assert (given["raw_bytes"], given["derived_bytes"], given["wal_bytes"]) == (600, 700, 1)
    assert given["table_bytes"] == {"serving": 110, "history": 110, "baseline": 110}
    assert given["measured"] == [{"agents": 2, "sinks": 2, "rows": 50_000, "rows_per_s": 5_000}]


@pytest.mark.services
def test_many_rows_are_few_payloads_at_other_times(migrated: str) -> None:
    fill(migrated, 500, distinct=105)
    with psycopg.connect(migrated) as connection:
        found = connection.execute(
            """SELECT count(*), min(snapshot_id), max(snapshot_id), count(DISTINCT raw_payload),
                   count(DISTINCT (market_id, snapshot_at)), (SELECT count(*) FROM market_derived_metrics)
               FROM market_book_snapshots"""
        ).fetchone()
        assert found == (500, 1, 500, 105, 500, 500)
        assert snapshot_bytes(connection) > 500
        assert min(table_bytes(connection)["serving"]) > 0


@pytest.mark.services
def test_whose_work_postgres_does_is_told_by_the_connections(migrated: str) -> None:
    watch = Services(migrated, os.getpid())
    watch.start()
    with psycopg.connect(migrated, application_name="rederive sink x") as connection:

        def merged() -> float:
            connection.execute("SELECT count(*) FROM generate_series(1, 500000)")
            return watch.seconds()["merging"]

        until(merged, 60, "what a sink's connection takes isn't seen")
    watch.ended.set()
    watch.join()
    assert watch.peaks["postgres"] > 0
    assert watch.seconds()["reading"] == 0.0
