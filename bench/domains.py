"""The other domains at work: racing days derived again from the log, FINRA's weekly files, also by a script.

    python -m bench.domains [--days 365] [--weeks 8] [--workers 2]

Whole commands, each on fresh services, as in `bench.racing` and `bench.weeks`, whose figures are printed too.
"""

import argparse
from datetime import date

from bench import racing, weeks
from bench.fresh import services
from bench.watch import Measured
from rederive.settings import Settings
from samples.finra.files import FinraFiles

FIRST_DAY = date(2022, 7, 1)


def measure(settings: Settings, days: int, week_count: int, workers: int) -> dict[str, tuple[int, Measured]]:
    """By what was done: rows that were read, and what the command took."""
    runners, (first, again) = racing.derive(settings, FIRST_DAY, days)
    return {
        "racing, into empty tables": (runners, first),
        "racing": (runners, again),
        **weeks.contest(settings, FinraFiles(symbols=3_000, rows=12_000), week_count, workers),
    }


def table(measured: dict[str, tuple[int, Measured]]) -> list[str]:
    """A line for each that was measured: rows/s, µs of processor a row by part, memory of one process by part."""
    lines = []
    for name, (rows, taken) in measured.items():
        used = ", ".join(f"{part} {seconds / rows * 1e6:.1f}" for part, seconds in sorted(taken.cpu.items()))
        peaks = ", ".join(f"{part} {peak:.0f}" for part, peak in sorted(taken.peaks.items()))
        lines.append(f"{name}: {rows / taken.seconds:,.0f} rows/s ({rows:,} in {taken.seconds:.1f} s)")
        lines += [f"  µs a row: {used}", f"  MB: {peaks}"]
    return lines


def main() -> None:
    """Print figures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("days", 365), ("weeks", 8), ("workers", 2)):
        parser.add_argument(f"--{name}", type=int, default=default, help="default %(default)s")
    given = parser.parse_args()
    with services() as settings:
        print("\n".join(table(measure(settings, given.days, given.weeks, given.workers))))


if __name__ == "__main__":
    main()
