"""What one agent makes of FINRA's units on one core: rows/s and memory, without services.

python -m bench.finra [--rows 50000] [--symbols 10000]

Each figure is of a fresh process, from a unit's bytes to an outcome's bytes: the best of some rounds by the
processor's clock, and the most memory that the process ever held (on Linux).
"""

import argparse
import gc
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path
from random import Random
from time import process_time

from samples.finra import sample as finra_sample
from samples.finra.files import FinraFiles
from schemas.derived import encode_outcome
from schemas.finra.file import decode_file
from schemas.finra.partition import window
from schemas.finra.units import FileUnit, RollingFacts, RollingUnit

_ROUNDS = 5
_WEEK = date(2025, 12, 26)
_AT = datetime(2025, 12, 29, 14, 30, tzinfo=UTC)


def main() -> None:
    """Prints one line a unit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000, help="rows of a week (default %(default)s)")
    parser.add_argument("--symbols", type=int, default=10_000, help="symbols of a week (default %(default)s)")
    given = parser.parse_args()
    # One thread, as an agent has; polars reads it when it is imported.
    os.environ["POLARS_MAX_THREADS"] = "1"
    units = {
        "real file": _real(),
        "synthetic file": _file(given.rows, given.symbols),
        "synthetic file, five times as large": _file(5 * given.rows, given.symbols),
        "rolling": _rolling(given.symbols),
        "rolling, twice the symbols": _rolling(2 * given.symbols),
    }
    for name, value in units.items():
        with get_context("spawn").Pool(1) as pool:
            read, written, seconds, megabytes = pool.apply(_measured, (value,))
        print(
            f"{name}: {len(value) / 1e6:.1f} MB, {read:,} in, {written:,} rows out: {seconds:.3f} s, "
            f"{read / seconds:,.0f} in/s, {megabytes:.0f} MB of memory"
        )


def _measured(value: bytes) -> tuple[int, int, float, float]:
    from processors.finra.process import process

    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    best = float("inf")
    for _ in range(_ROUNDS):
        started = process_time()
        outcome = process(value, ())
        encode_outcome(outcome)
        best = min(best, process_time() - started)
    written = sum(map(len, outcome.tables))
    return outcome.read, written, best, _peak_megabytes()


def _peak_megabytes() -> float:
    # getrusage's figure would be the parent's, which made the units.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _real() -> bytes:
    name = finra_sample.NAMES[0]
    return FileUnit(captured_at=_AT, file_name=name, content=finra_sample.content(name)).encode()


def _file(rows: int, symbols: int) -> bytes:
    # Some symbols are missing from a week.
    made = FinraFiles(rows=int(rows * 1.04), symbols=int(symbols * 1.04)).file(_WEEK, "OTC")
    return FileUnit(captured_at=_AT, file_name=made.name, content=decode_file(made.content)).encode()


def _rolling(symbols: int) -> bytes:
    facts = RollingFacts(weeks=window(_WEEK), symbols=symbols, complete=symbols)
    return RollingUnit(captured_at=_AT, week_ending=_WEEK, tier="OTC", facts=facts).encode(_summaries(symbols))


def _summaries(symbols: int) -> Iterator[list[object]]:
    random = Random(1)
    for number in range(symbols):
        for week in window(_WEEK):
            yield [f"S{number:06}", week, random.randrange(10**8), random.randrange(10**4)]


if __name__ == "__main__":
    main()
