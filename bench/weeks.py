"""FINRA end to end: made-up weekly files to all six stages' tables, by `rederive replay finra` and by a script.

    python -m bench.weeks [--weeks 13] [--rows 12000] [--symbols 3000] [--workers 2]

Four tiers a week. The same files go through `bench.contenders.finra_script`, in one process and in two; what rederive's
`_latest` views show must be what its tables hold, to the last bit. Then what is read and taken back: a `_latest` query,
the rollback of one partition's capture. Times are whole commands': of the replay planning, starting agents and sink,
sending, inserting, checking, stopping.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import psycopg

from bench.contenders import finra_script
from bench.watch import Measured, measure, run, show
from rederive import captures, local
from rederive.migrate import migrate
from rederive.settings import Settings
from samples.finra.files import FinraFiles
from schemas.finra.partition import fridays
from schemas.finra.tables import BUSINESS_KEYS, SYMBOL_VENUE_VOLUME

US = "finra"
_TEXTS = ("tier", "symbol", "mpid")
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
            contest(settings.at(endpoints), world, given.weeks, given.workers)
            with psycopg.connect(endpoints.database_url, autocommit=True) as connection:
                _read(connection)
        finally:
            local.stop(settings)


def contest(settings: Settings, world: FinraFiles, weeks: int, workers: int) -> dict[str, tuple[int, Measured]]:
    """Have all do so many weeks of four tiers; the raw rows and what it took, by who. Prints how they compare.

    SystemExit when the script's tables hold other rows than rederive serves.
    """
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    last = FIRST + timedelta(weeks=weeks - 1)
    raw = 0
    found = {}
    with tempfile.TemporaryDirectory(prefix="rederive-bench-weekly-") as source:
        for file in world.files(fridays(FIRST, last)):
            (Path(source) / file.name).write_bytes(file.content)
            raw += file.rows
        words = ("replay", "finra", "--source", source, "--from", str(FIRST), "--to", str(last))
        found[US], counts = run(settings, *words, "--workers", str(workers))
        assert not counts["errors"], counts
        digests = served(url)
        for processes in (1, 2):
            command = [sys.executable, "-m", "bench.contenders.finra_script", source, str(processes)]
            name = f"{US} by script_{processes}"
            found[name] = measure(settings, command)
            if wrong := [table for table, digest in served(url, script=True).items() if digest != digests[table]]:
                raise SystemExit(f"{name} has other rows than rederive serves in {', '.join(wrong)}")
    ours = found[US].seconds
    print(f"{weeks} weeks of four tiers, {raw:,} raw rows")
    for name, measured in found.items():
        ratio = "" if name == US else f"; rederive is {measured.seconds / ours:.2f}×"
        print(f"{name}: {raw / measured.seconds:,.0f} rows/s in {measured.seconds:.1f} s{ratio}")
        show(measured, raw)
    return {name: (raw, measured) for name, measured in found.items()}


def served(url: str, *, script: bool = False) -> dict[str, str]:
    """By table a hash of the values that are read of it: of rederive's `_latest` views, or of the script's tables."""
    found = {}
    with psycopg.connect(url) as connection:
        for table in (*finra_script.WRITTEN, SYMBOL_VENUE_VOLUME):
            columns = finra_script.served(table)
            key = [name for name in BUSINESS_KEYS[table.name] if name in columns]
            place = finra_script.name_of(table) if script else f"{table.name}_latest"
            order = ", ".join(f'{name} COLLATE "C"' if name in _TEXTS else name for name in key)
            query = f"COPY (SELECT {', '.join(columns)} FROM {place} ORDER BY {order}) TO STDOUT (FORMAT BINARY)"
            hashed = hashlib.sha256()
            with connection.cursor().copy(query.encode()) as rows:
                for piece in rows:
                    hashed.update(piece)
            found[table.name] = hashed.hexdigest()
    return found


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
