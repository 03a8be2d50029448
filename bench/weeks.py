"""FINRA end to end: `rederive replay finra` from a folder of made-up weekly files to all six stages' tables.

    python -m bench.weeks [--weeks 13] [--rows 12000] [--symbols 3000] [--workers 2]

Four tiers a week. Then what is read and taken back: a `_latest` query, the rollback of one partition's capture. The
replay's time is the whole command's: planning, starting agents and sink, sending, inserting, checking, stopping.
"""

import argparse
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import psycopg

from bench.watch import Measured, run, show
from rederive import captures, local
from rederive.migrate import migrate
from rederive.settings import Settings
from samples.finra.files import FinraFiles
from schemas.finra.partition import fridays

FIRST = date(2025, 1, 3)
QUERIES = {
    "one week and tier, symbol_summary_latest": """
        SELECT count(*) FROM finra_otc_transparency_symbol_summary_latest
        WHERE week_ending = '2025-01-10' AND tier = 'OTC'""",
    "all weeks and tiers, venue_share_latest": "SELECT count(*) FROM finra_otc_transparency_venue_share_latest",
    "all weeks and tiers, symbol_summary_latest": "SELECT count(*) FROM finra_otc_transparency_symbol_summary_latest",
}


def main() -> None:
    """Print figures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--weeks", type=int, default=13)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--symbols", type=int, default=3_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder), kafka_bootstrap=None, database_url=None)
        endpoints = local.start(settings)
        try:
            migrate(endpoints.database_url)
            world = FinraFiles(symbols=given.symbols, rows=given.rows)
            replay(settings.at(endpoints), world, given.weeks, given.workers)
            with psycopg.connect(endpoints.database_url, autocommit=True) as connection:
                _read(connection)
        finally:
            local.stop(settings)


def replay(settings: Settings, world: FinraFiles, weeks: int, workers: int) -> tuple[int, Measured]:
    """Replay so many weeks of four tiers from files; the raw rows and what it took."""
    last = FIRST + timedelta(weeks=weeks - 1)
    raw = 0
    with tempfile.TemporaryDirectory(prefix="rederive-bench-weekly-") as source:
        for file in world.files(fridays(FIRST, last)):
            (Path(source) / file.name).write_bytes(file.content)
            raw += file.rows
        words = ("replay", "finra", "--source", source, "--from", str(FIRST), "--to", str(last))
        measured, counts = run(settings, *words, "--workers", str(workers))
    assert not counts["errors"], counts
    seconds = measured.seconds
    print(f"{weeks} weeks of four tiers, {raw:,} raw rows in {seconds:.1f} s: {raw / seconds:,.0f} rows/s")
    show(measured, raw)
    return raw, measured


def _read(connection: psycopg.Connection) -> None:
    connection.execute("ANALYZE")
    for name, query in QUERIES.items():
        started = time.perf_counter()
        row = connection.execute(query).fetchone()
        assert row is not None
        print(f"{name:45}{time.perf_counter() - started:7.3f} s  {row[0]:,} rows")
    row = connection.execute(
        "SELECT capture_id FROM finra_otc_transparency_raw ORDER BY week_ending DESC, tier LIMIT 1"
    ).fetchone()
    assert row is not None
    started = time.perf_counter()
    deleted = sum(taken.deleted for _, taken in captures.rollback(connection, row[0]))
    print(f"{'rollback of one partition':45}{time.perf_counter() - started:7.3f} s  {deleted:,} rows")


if __name__ == "__main__":
    main()
