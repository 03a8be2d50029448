"""FINRA's tables alone: what a raw row costs Postgres, what reading the newest captures and deleting one take.

    python -m bench.latest [--weeks 26] [--rows 12000] [--symbols 3000] [--captures 3]

Weeks of one tier, each captured several times, are computed here and inserted as a sink would, without Kafka, into an
embedded Postgres. µs are processor time of the server's process, per row of a file; sizes are of all tables with their
indexes.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import psycopg

from processors.finra.process import of_file
from rederive import local
from rederive.database import connect
from rederive.migrate import migrate
from rederive.settings import Settings
from samples.finra.files import FinraFiles
from schemas.finra.file import decode_file
from schemas.finra.partition import fridays
from schemas.finra.tables import FINRA, RAW, SYMBOL_SUMMARY, VENUE_SHARE, VENUE_VOLUME
from schemas.finra.units import FileUnit
from schemas.finra.versions import PREFIX
from schemas.outcome import Outcome
from schemas.table import Mode
from sinks.policies import policy_of, prepare
from sinks.policy import Writer

FIRST = date(2025, 1, 3)
ROUNDS = 5
QUERIES = {
    f"{name}_latest, {what}": f"SELECT count(*), count(captured_at) FROM {name}_latest {where}"
    for name in (RAW.name, SYMBOL_SUMMARY.name, VENUE_SHARE.name, f"{PREFIX}weekly_symbol_venue_volume")
    for what, where in (("one week", "WHERE week_ending = '2025-01-10' AND tier = 'OTC'"), ("all weeks", ""))
}


def main() -> None:
    """Print figures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("weeks", 26), ("rows", 12_000), ("symbols", 3_000), ("captures", 3)):
        parser.add_argument(f"--{name}", type=int, default=default, help="default %(default)s")
    given = parser.parse_args()
    weeks = fridays(FIRST, FIRST + timedelta(weeks=given.weeks - 1))
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", kafka_bootstrap=None, database_url=None)
        endpoints = local.start(settings)
        try:
            migrate(endpoints.database_url)
            with connect(endpoints.database_url, application="bench") as connection:
                prepare(connection, FINRA)
                _write(connection, FinraFiles(symbols=given.symbols, rows=given.rows), weeks, given.captures)
                connection.execute("VACUUM ANALYZE")
                _read(connection)
                _delete(connection)
        finally:
            local.stop(settings)


def _outcomes(world: FinraFiles, weeks: list[date], captures: int) -> Iterator[tuple[int, Outcome]]:
    """Rows of a file and what is made of them."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for edition in range(captures):
        for week in weeks:
            made = world.file(week, "OTC", edition)
            at += timedelta(hours=1)
            unit = FileUnit(captured_at=at, file_name=made.name, content=decode_file(made.content), execution_id="b")
            yield made.rows, of_file(unit)


def _write(connection: psycopg.Connection, world: FinraFiles, weeks: list[date], captures: int) -> None:
    server = psutil.Process(connection.info.backend_pid)
    writer = Writer("b", 1, Mode.INSERT, 1)
    read, spent, waited = 0, 0.0, 0.0
    log = _one(connection, "SELECT pg_current_wal_lsn()")
    for rows, outcome in _outcomes(world, weeks, captures):
        read += rows
        began, at = sum(server.cpu_times()[:2]), time.perf_counter()
        with connection.transaction():
            for table in FINRA.tables:
                blocks = [(0, block) for block in outcome.tables if block.table == table.name]
                if table.policy is Mode.INSERT:
                    policy_of(table).write(connection, table, blocks, writer)
        spent += sum(server.cpu_times()[:2]) - began
        waited += time.perf_counter() - at
    size = _one(
        connection,
        """SELECT sum(pg_total_relation_size(oid))::int8 FROM pg_class
           WHERE relkind = 'r' AND relname ~ '^(finra|core)_'""",
    )
    written = _one(connection, "SELECT (pg_current_wal_lsn() - %s::pg_lsn)::int8", log)
    print(
        f"{read:,} raw rows: {spent / read * 1e6:.1f} µs of Postgres a raw row, {waited / read * 1e6:.1f} µs by the "
        f"clock, {size / read:.0f} bytes stored and {written / read:.0f} bytes of log a raw row"
    )


def _read(connection: psycopg.Connection) -> None:
    for name, query in QUERIES.items():
        taken = []
        for _ in range(ROUNDS):
            at = time.perf_counter()
            rows = _one(connection, query)
            taken.append(time.perf_counter() - at)
        print(f"{name.removeprefix(PREFIX):48}{median(taken) * 1000:9.1f} ms  {rows:,} rows")


def _delete(connection: psycopg.Connection) -> None:
    capture = _one(connection, f"SELECT max(capture_id) FROM {VENUE_VOLUME.name}")
    at = time.perf_counter()
    with connection.transaction():
        deleted = sum(
            connection.execute(f"DELETE FROM {table.name} WHERE capture_id = %s", [capture]).rowcount
            for table in reversed(FINRA.tables)
            if table.policy is Mode.INSERT
        )
    taken = time.perf_counter() - at
    print(f"{'one capture deleted from every table by its id':48}{taken * 1000:9.1f} ms  {deleted:,} rows")


def _one(connection: psycopg.Connection, query: str, *given: object) -> Any:  # noqa: ANN401 - the column's
    row = connection.execute(query.encode(), given).fetchone()
    assert row is not None
    return row[0]


if __name__ == "__main__":
    main()
