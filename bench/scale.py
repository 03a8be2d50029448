"""What a row costs by how many there are, and by how many agents and sinks share them: whole replays of Betfair.

    python -m bench.scale [--rows 10000 100000 1000000] [--crews 1 2 4] [--partitions 10 100 1000] [--of 100000]
        [--rounds 1] [--costs bench/costs.json] [--page docs/scale.md]

Each line is a replay on fresh services. A crew of n is n agents and n sinks; crews and numbers of partitions are tried
on `--of` rows, numbers of rows by a crew of two. Start and stop are what a replay of few rows takes on the same
services just before; they are taken off where it says so. `--costs` writes what `bench.scale_model` reckons with.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from bench.contest import machine
from bench.page import put
from bench.scale_run import PARTS, Ran, Shape, replay

CREW = 2
WITHIN = 0.10
"""Costs and memory that differ by no more count as the same."""

_FULL_ROWS = 100_000
_PROCESSES = ("producer", "agents", "sinks")
_SERVICES = ("kafka", "postgres")
_TABLES = ("serving", "history", "baseline", "units", "origins")


def costs(runs: Sequence[Ran], first: str) -> list[str]:
    """A line a replay: rows/s, µs of processor a row by part, how busy the machine was."""
    cores = len(os.sched_getaffinity(0))
    heads = ("rows/s", "without", *PARTS, "µs a row", "busy")
    lines = [f"{first:>10}" + "".join(f"{head:>10}" for head in heads)]
    for one in runs:
        used = one.cost()
        figures = "".join(f"{used[part]:10.1f}" for part in PARTS)
        pace = "-" if one.pace is None else f"{one.pace:,.0f}"
        line = f"{_named(one, first):>10}{one.rate:10,.0f}{pace:>10}{figures}{sum(used.values()):10.1f}"
        lines.append(f"{line}{one.busy(cores):10.0%}")
    return lines


def memory(runs: Sequence[Ran], first: str) -> list[str]:
    """A line a replay: MB of the largest process of a part, of all of a service."""
    lines = [f"{first:>10}" + "".join(f"{part:>10}" for part in (*_PROCESSES, *_SERVICES))]
    for one in runs:
        figures = "".join(f"{one.peaks[part]:10,.0f}" for part in (*_PROCESSES, *_SERVICES))
        lines += [f"{_named(one, first):>10}{figures}"]
    return lines


def stored(runs: Sequence[Ran], first: str) -> list[str]:
    """A line a replay: bytes a row that it added, on the broker, in the write-ahead log, in tables and indexes."""
    heads = ("raw", "derived", "wal", *_TABLES)
    lines = [f"{first:>10}" + "".join(f"{head:>10}" for head in heads) + "   (tables: rows+indexes)"]
    for one in runs:
        rows = one.shape.rows
        figures = [f"{one.topics[name] / rows:,.0f}" for name in ("raw", "derived")] + [f"{one.wal / rows:,.0f}"]
        figures += [f"{heap / rows:,.0f}+{index / rows:,.0f}" for heap, index in (one.tables[name] for name in _TABLES)]
        lines.append(f"{_named(one, first):>10}" + "".join(f"{figure:>10}" for figure in figures))
    return lines


def _named(one: Ran, first: str) -> str:
    return f"{ {'rows': one.shape.rows, 'crew': one.shape.crew, 'partitions': one.shape.partitions}[first]:,}"


def spread(values: Sequence[float]) -> float:
    """By how much the most is above the least, as a share of the least."""
    return max(values) / min(values) - 1.0


def verdict(runs: Sequence[Ran]) -> list[str]:
    """Whether cost a row and memory stay the same however many rows there are; `runs` by their rows."""
    totals = [sum(one.cost().values()) for one in runs]
    apart = spread(totals)
    lines = [
        f"cost a row without start and stop: {min(totals):.1f} to {max(totals):.1f} µs, {apart:.0%} apart: "
        + ("within" if apart <= WITHIN else "NOT within")
        + f" {WITHIN:.0%}"
    ]
    # With few rows no batch is full.
    full = [one for one in runs if one.shape.rows >= _FULL_ROWS]
    if len(full) < 2:
        return [*lines, f"memory: not enough rows to say: two replays of {_FULL_ROWS:,} rows or more are wanted"]
    first, last = full[0], full[-1]
    for part in _PROCESSES:
        grown = last.peaks[part] / first.peaks[part] - 1.0
        lines.append(
            f"memory of {part}: {grown:+.0%} from {first.shape.rows:,} to {last.shape.rows:,} rows: "
            + ("flat" if grown <= WITHIN else "NOT flat")
        )
    return lines


def for_model(ran: Ran, others: Sequence[Ran], command: str) -> dict[str, object]:
    """What `bench.scale_model` reckons with, of one replay, and how fast others were, for it to be held against."""
    rows = ran.shape.rows
    return {
        "source": f"{command}, the replay of {rows:,} rows by a crew of {ran.shape.crew}; {machine()}",
        "cpu_us": {part: round(used, 1) for part, used in ran.cost().items()},
        "raw_bytes": round(ran.topics["raw"] / rows),
        "derived_bytes": round(ran.topics["derived"] / rows),
        "wal_bytes": round(ran.wal / rows),
        "snapshot_bytes": round(ran.snapshot),
        "table_bytes": {name: round(sum(ran.tables[name]) / rows) for name in ("serving", "history", "baseline")},
        "measured": [
            {"agents": one.shape.crew, "sinks": one.shape.crew, "rows": one.shape.rows, "rows_per_s": round(one.pace)}
            for one in others
            if one.pace is not None
        ],
    }


def _try(shapes: Sequence[Shape], rounds: int) -> list[Ran]:
    """Of each shape the replay whose cost is the median of so many."""
    found = []
    for shape in shapes:
        runs = []
        for _ in range(rounds):
            runs.append(replay(shape))
            print(f"{shape}: {runs[-1].whole.seconds:.1f} s", file=sys.stderr, flush=True)
        found.append(sorted(runs, key=lambda one: sum(one.cost().values()))[rounds // 2])
    return found


def main() -> None:
    """Print tables and verdicts; the last line is one JSON object."""
    given = _arguments()
    command = f"python -m bench.scale{''.join(f' {word}' for word in sys.argv[1:])}"
    by_rows = _try([Shape(rows, CREW) for rows in sorted(given.rows)], given.rounds)
    by_crew = _try([Shape(given.of, crew) for crew in sorted(given.crews)], given.rounds)
    by_partitions = _try([Shape(given.of, CREW, partitions) for partitions in sorted(given.partitions)], given.rounds)
    lines = [command, f"{machine()}; rounds: {given.rounds}", ""]
    for title, first, runs in (
        (f"by rows; two agents, two sinks, {CREW} partitions", "rows", by_rows),
        (f"by agents and sinks, as many partitions; {given.of:,} rows", "crew", by_crew),
        (f"by partitions; two agents, two sinks; {given.of:,} rows", "partitions", by_partitions),
    ):
        if runs:
            lines += [title, *costs(runs, first), "MB", *memory(runs, first), "bytes a row", *stored(runs, first), ""]
    if by_rows:
        lines += verdict(by_rows)
    print("\n".join(lines))
    if given.page:
        put(given.page, "measured", lines)
    if by_rows:
        model = for_model(by_rows[-1], [*by_crew, by_rows[-1]], command)
        if given.costs:
            given.costs.write_bytes(orjson.dumps(model, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        print(orjson.dumps(model).decode())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--crews", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--partitions", type=int, nargs="*", default=[10, 100, 1_000])
    parser.add_argument("--of", type=int, default=100_000, metavar="ROWS", help="rows of crews and partitions")
    parser.add_argument("--rounds", type=int, default=1, help="replays of each, of which the median is taken")
    parser.add_argument("--costs", type=Path, help="a file for bench.scale_model")
    parser.add_argument("--page", type=Path, help="a page to put the figures into")
    return parser.parse_args()


if __name__ == "__main__":
    main()
