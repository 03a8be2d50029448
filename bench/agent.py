"""What one agent computes on one core: rows/s from a unit's bytes to an outcome's bytes, without a broker.

python -m bench.agent [--rows 50000]
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from time import perf_counter
from typing import Any
from unittest import mock

from processors import betfair
from processors.impedance import decimal_inputs
from samples import betfair_sample
from samples.synthetic import Synthetic
from schemas.unit import TARGET_UNIT_ROWS

_ROUNDS = 3


def main() -> None:
    """Prints one line a data set: the best of three rounds, and which share of rows left the quick readings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000, help="synthetic snapshots (default %(default)s)")
    rows = parser.parse_args().rows
    world = Synthetic()
    _measure("synthetic, both ladders, 10 levels", _lines(world.snapshots(rows), world.metadata()))
    _measure("real sample, back ladders, 3 levels", _lines(betfair_sample.snapshots(), betfair_sample.metadata()))


def _measure(name: str, lines: Iterator[bytes]) -> None:
    units = list(_units(lines))
    count = sum(unit.count(b"\n") + 1 for unit in units)
    best = min(_seconds(units) for _ in range(_ROUNDS))
    general, plain = _fallbacks(units)
    print(
        f"{name}: {count:,} rows, {sum(map(len, units)) / count:,.0f} bytes each: {count / best:,.0f} rows/s, "
        f"{best / count * 1e6:.1f} µs a row; general reading {general / count:.3%}, Decimal {plain / count:.3%}"
    )


def _seconds(units: Iterable[bytes]) -> float:
    start = perf_counter()
    for unit in units:
        betfair.process(unit, ()).encode()
    return perf_counter() - start


def _fallbacks(units: Iterable[bytes]) -> tuple[int, int]:
    """How many rows took the general reading, and how many of them the plain Decimal one."""
    with (
        mock.patch.object(betfair, "book_values", wraps=betfair.book_values) as general,
        mock.patch.object(betfair, "decimal_inputs", wraps=decimal_inputs) as plain,
    ):
        for unit in units:
            betfair.process(unit, ())
    return general.call_count, plain.call_count


def _lines(snapshots: Iterable[Mapping[str, Any]], metadata: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    markets = {market["market_id"]: market for market in metadata}
    for snapshot in snapshots:
        yield betfair_sample.snapshot_line(snapshot, markets.get(snapshot["market_id"]))


def _units(lines: Iterator[bytes]) -> Iterator[bytes]:
    while unit := list(islice(lines, TARGET_UNIT_ROWS)):
        yield b"\n".join(unit)


if __name__ == "__main__":
    main()
