"""End to end, table to table: `rederive replay betfair` beside a script that updates row by row.

    python -m bench.replay [--rows 100000] [--workers 2] [--script-rows 10000]

Both work on the same synthetic full-depth snapshots (both ladders, ten levels) in the same embedded Postgres, one
after the other, Kafka and Postgres on the same cores. The script is the usual backfill: select the rows with NULLs,
compute with the same formulas, UPDATE one row at a time, commit per 500. The replay's time is the whole command's:
planning, starting agents and sink, sending, merging, stopping.
"""

import argparse
import tempfile
import time
from pathlib import Path

import orjson
import psycopg

from bench.watch import run, show
from processors.betfair.general import derive
from rederive import local
from rederive.migrate import migrate
from rederive.settings import Settings
from samples.betfair.load import derive_bare_rows, load
from samples.betfair.synthetic import Synthetic
from schemas.betfair.tables import METRICS


def script(url: str, limit: int) -> float:
    """Seconds that the row-by-row script takes for `limit` rows."""
    started = time.perf_counter()
    sets = ", ".join(f"{name} = coalesce({name}, %s)" for name in METRICS)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            f"""SELECT s.snapshot_id, s.snapshot_at, s.market_id, s.raw_payload::text,
                       m.home_selection_id, m.away_selection_id, m.draw_selection_id
                FROM market_book_snapshots s JOIN market_derived_metrics d USING (snapshot_id)
                LEFT JOIN market_event_metadata m ON m.market_id = s.market_id
                WHERE num_nulls({", ".join(f"d.{name}" for name in METRICS)}) > 0
                ORDER BY s.snapshot_at, s.snapshot_id LIMIT %s""",
            [limit],
        ).fetchall()
        for number, (key, at, market, payload, home, away, draw) in enumerate(rows, start=1):
            line = {
                "snapshot_id": key,
                "snapshot_at": at,
                "market_id": market,
                "raw_payload": orjson.Fragment(payload),
                "selection_ids": {"home": home, "away": away, "draw": draw},
            }
            derived = derive(orjson.dumps(line))
            connection.execute(
                f"UPDATE market_derived_metrics SET {sets} WHERE snapshot_id = %s", [*derived.values, key]
            )
            if number % 500 == 0:
                connection.commit()
    return time.perf_counter() - started


def fill(url: str, rows: int) -> None:
    """Fresh tables with `rows` snapshots, each with a derived row of NULLs."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """TRUNCATE market_event_metadata, rederive.captures, rederive.market_derived_metrics_history,
               rederive.market_derived_metrics_baseline CASCADE"""
        )
        world = Synthetic()
        load(connection, world.metadata(), world.snapshots(rows))
        derive_bare_rows(connection)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def main() -> None:
    """Print one line a contestant, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--script-rows", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder), kafka_bootstrap=None, database_url=None)
        endpoints = local.start(settings)
        try:
            migrate(endpoints.database_url)
            fill(endpoints.database_url, given.script_rows)
            slow = given.script_rows / script(endpoints.database_url, given.script_rows)
            print(f"script, UPDATE a row      {slow:10,.0f} rows/s  ({given.script_rows:,} rows)")
            fill(endpoints.database_url, given.rows)
            words = ("replay", "betfair", "--workers", str(given.workers))
            seconds, watch, counts = run(settings.at(endpoints), *words)
            assert counts["updated"] == given.rows, counts
            fast = given.rows / seconds
            said = f"({given.rows:,} rows in {seconds:.1f} s)"
            print(f"rederive, {given.workers} agents        {fast:10,.0f} rows/s  {said}")
            print(f"ratio                     {fast / slow:10.1f}")
            show(watch, given.rows)
        finally:
            local.stop(settings)


if __name__ == "__main__":
    main()
