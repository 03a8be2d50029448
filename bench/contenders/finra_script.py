"""FINRA's weekly files to all six stages, as a good engineer writes it in an afternoon.

    python -m bench.contenders.finra_script FOLDER [PROCESSES]

The formulas and frames of `processors.finra`, binary COPY into plain tables of the schema `script`, a transaction per
file. A week and tier that is done again replaces what was there. No Kafka, no captures, no versions, no checks, no
rejected rows: nobody can ask where a value came from, or take a run back. Each process has its own weeks; when all have
done them, tiers are shared out for the rolling figures and snapshots, of summaries that are read back.
"""

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

if len(sys.argv) > 2 and sys.argv[2] != "1":
    # As many processes as cores: a thread each. Whoever imports polars reads it.
    os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl
import psycopg
import pyarrow as pa

from bench.contenders.work import connect
from processors.finra.normalize import normalize
from processors.finra.parse import parse
from processors.finra.rolling import ROLLING_SCHEMA, WEEKS_SCHEMA, join_rolling, rolling, snapshot
from processors.finra.volume import (
    SUMMARY_SCHEMA,
    concentrations,
    summarize,
    symbol_venue_shares,
    tier_shares,
    venue_shares,
)
from schemas import arrow
from schemas.finra import tables
from schemas.finra.file import decode_file
from schemas.finra.partition import WINDOW_WEEKS, tier_of_file, week_of_file, window
from schemas.finra.versions import PREFIX, version_to_write
from schemas.table import Table
from sinks.copying import copy
from sinks.encoding import encoded

SCHEMA = "script"
WRITTEN = (
    tables.RAW,
    tables.VENUE_VOLUME,
    tables.SYMBOL_SUMMARY,
    tables.VENUE_SHARE,
    tables.SYMBOL_VENUE_SHARE,
    tables.CONCENTRATION,
    tables.TIER_VOLUME_SHARE,
    tables.ROLLING,
    tables.SNAPSHOT,
)
"""Tables with rows; volumes of symbols by venue are a view of the normalised rows."""

_OF_A_RUN = {"capture_id", "calc_name", "calc_version", *(column.name for column in tables.RAW.attributes)}


def served(table: Table) -> list[str]:
    """The columns of a table that don't tell of the run which wrote them."""
    columns = [column.name for column in (*table.key, *table.columns)]
    return [name for name in columns if name not in _OF_A_RUN and not name.startswith("input_")]


def name_of(table: Table) -> str:
    """What it is called here."""
    return f"{SCHEMA}.{table.name.removeprefix(PREFIX)}"


def make_tables(connection: psycopg.Connection) -> None:
    """Fresh tables, keyed by their business keys."""
    types = {column.name: column.type for table in WRITTEN for column in (*table.key, *table.columns)}
    connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    for table in WRITTEN:
        columns = ", ".join(f"{name} {types[name]}" for name in served(table))
        key = ", ".join(name for name in tables.BUSINESS_KEYS[table.name] if name in served(table))
        connection.execute(f"CREATE TABLE {name_of(table)} ({columns}, PRIMARY KEY ({key}))")
    shown = tables.SYMBOL_VENUE_VOLUME
    assert shown.shows is not None
    source = {**dict.fromkeys(served(shown), ""), **shown.shows.columns}
    columns = ", ".join(f"{theirs or own} AS {own}" for own, theirs in source.items())
    connection.execute(f"CREATE VIEW {name_of(shown)} AS SELECT {columns} FROM {name_of(tables.VENUE_VOLUME)}")
    connection.commit()


def replace(
    connection: psycopg.Connection, table: Table, week: date, tier: str, rows: pl.DataFrame, **shared: object
) -> None:
    """Have a week and tier hold these rows; `shared` are columns of one value."""
    name = name_of(table)
    connection.execute(f"DELETE FROM {name} WHERE week_ending = %s AND tier = %s", [week, tier])
    columns = [column for column in served(table) if column in rows.columns]
    arrays = [column.combine_chunks() for column in rows.select(columns).to_arrow().columns]
    own = arrow.fitted(table, pa.RecordBatch.from_arrays(arrays, names=columns))
    whole = arrow.fitted(
        table, arrow.with_shared(table, own, rows.height, {"week_ending": week, "tier": tier, **shared})
    )
    copy(connection, name, ", ".join(whole.schema.names), encoded(whole))


def do_weeks(connection: psycopg.Connection, files: Mapping[date, Sequence[Path]]) -> int:
    """Stages 1 to 4 of weeks; how many raw rows."""
    read = 0
    for week, paths in files.items():
        summaries = []
        for path in paths:
            tier = tier_of_file(None, path.name)
            rows, summary = _do_file(connection, week, tier, path)
            read += rows
            summaries.append(summary.select(pl.lit(tier).alias("tier"), "symbol", "total_volume"))
        shares = tier_shares(pl.concat(summaries))
        for (tier,), rows_of_tier in shares.group_by("tier"):
            replace(connection, tables.TIER_VOLUME_SHARE, week, str(tier), rows_of_tier.drop("tier"))
        connection.commit()
    return read


def _do_file(connection: psycopg.Connection, week: date, tier: str, path: Path) -> tuple[int, pl.DataFrame]:
    parsed = parse(decode_file(path.read_bytes()))
    volumes = normalize(parsed.rows).rows
    summary = summarize(volumes)
    replace(connection, tables.RAW, week, tier, parsed.rows, source_file=path.name)
    replace(connection, tables.VENUE_VOLUME, week, tier, volumes)
    replace(connection, tables.SYMBOL_SUMMARY, week, tier, summary)
    replace(connection, tables.VENUE_SHARE, week, tier, venue_shares(volumes, version_to_write("venue_share", None)))
    replace(connection, tables.SYMBOL_VENUE_SHARE, week, tier, symbol_venue_shares(volumes))
    replace(connection, tables.CONCENTRATION, week, tier, concentrations(volumes))
    connection.commit()
    return parsed.read, summary


def do_tiers(connection: psycopg.Connection, tiers: Sequence[str]) -> None:
    """Stages 5 and 6 of tiers."""
    schema: dict[str, Any] = {"week_ending": pl.Date(), **SUMMARY_SCHEMA}
    for tier in tiers:
        rows = connection.execute(
            f"SELECT {', '.join(schema)} FROM {name_of(tables.SYMBOL_SUMMARY)} WHERE tier = %s", [tier]
        ).fetchall()
        summaries = pl.DataFrame(rows, schema, orient="row")
        for week in summaries["week_ending"].unique().sort():
            weeks = summaries.filter(pl.col("week_ending").is_in(window(week))).select(*WEEKS_SCHEMA)
            rolled = pl.DataFrame(schema=ROLLING_SCHEMA)
            if weeks["week_ending"].n_unique() == WINDOW_WEEKS:
                rolled = rolling(weeks, week)
                constant = {"weeks_in_window": WINDOW_WEEKS, "is_complete": True}
                replace(connection, tables.ROLLING, week, tier, rolled, **constant)
            own = summaries.filter(pl.col("week_ending") == week).drop("week_ending")
            replace(connection, tables.SNAPSHOT, week, tier, snapshot(join_rolling(own, rolled)))
        connection.commit()


def files_of(folder: Path) -> dict[date, list[Path]]:
    """The files of a folder by week."""
    found: dict[date, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        week = week_of_file(None, None, path.name)
        found[week].append(path)
    return dict(sorted(found.items()))


def work(folder: Path, number: int, processes: int) -> Iterator[int]:
    """A process's weeks, then, when it is told that all weeks are done, its tiers. Yields how many raw rows it read."""
    files = files_of(folder)
    tiers = sorted({tier_of_file(None, path.name) for paths in files.values() for path in paths})
    with connect() as connection:
        yield do_weeks(connection, dict(list(files.items())[number::processes]))
        do_tiers(connection, tiers[number::processes])


def main(folder: Path, processes: int) -> None:
    """Do all files, this process and others together. SystemExit when another one fails."""
    with connect() as connection:
        make_tables(connection)
    others = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.contenders.finra_script", str(folder), str(processes), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(1, processes)
    ]
    own = work(folder, 0, processes)
    read = next(own)
    for other in others:
        assert other.stdout is not None
        read += int(other.stdout.readline() or 0)
    for other in others:
        assert other.stdin is not None
        other.stdin.close()
    next(own, None)
    codes = [other.wait() for other in others]
    if any(codes):
        raise SystemExit("a process failed")
    print(read)


def be_one(folder: Path, processes: int, number: int) -> None:
    """Be one of the others: say when the weeks are done, wait until all are."""
    own = work(folder, number, processes)
    print(next(own), flush=True)
    sys.stdin.read()
    next(own, None)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder, processes, number]:
            be_one(Path(folder), int(processes), int(number))
        case [folder, processes]:
            main(Path(folder), int(processes))
        case [folder]:
            main(Path(folder), 1)
