"""What 10, 100 and 1,000 partitions would do, by the costs that were measured here: a model, and a simulation of it.

    python -m bench.scale_model [--costs bench/costs.json] [--page docs/scale.md]
    python -m bench.scale_model --partitions 100 --agents 40 --sinks 20 --runs 8 [--postgres-cores 16] …

Without a deployment it prints all tables of docs/scale.md. With one: what each part could carry, what came of playing
it, how much each part was used, and how far behind it was, second by second. Rates of disks and networks are MB/s.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import orjson

from bench.page import put
from bench.simulation.bounds import bounds
from bench.simulation.costs import MEASURED, Costs, Deployment
from bench.simulation.growth import grown, vacuum_rate
from bench.simulation.play import play

_MB = 1e6
_RATES = {"wal_disk", "data_disk", "network", "broker_disk"}
_SHOWN = ("runs", "agents", "sinks", "machines", "broker cores", "broker disk", "network", "postgres", "wal disk")
_PARTS = (*_SHOWN, "data disk")

TEN = Deployment(partitions=10, agents=10, sinks=4, runs=1, machines=3, brokers=1, rows=1_500_000)
HUNDRED = Deployment(partitions=100, agents=40, sinks=20, runs=8, machines=10, brokers=3, rows=6_000_000)
THOUSAND = Deployment(
    partitions=1_000, agents=200, sinks=100, runs=40, machines=50, brokers=6, rows=20_480_000
)  # fmt: skip
LARGE = replace(THOUSAND, postgres_cores=64, wal_disk=1_000e6, data_disk=2_000e6)


def first_to_give(of: Deployment, costs: Costs) -> str:
    """The part that could carry least."""
    found = bounds(of, costs)
    return min(found, key=found.__getitem__)


def line(name: str, of: Deployment, costs: Costs) -> str:
    """A deployment: what is played, what it is bound by, how much each part is used."""
    played, found = play(of, costs), bounds(of, costs)
    shares = "".join(f"{played.used[part]:>10.0%}" for part in _PARTS)
    first = first_to_give(of, costs)
    return f"{name:34}{played.rate:>9,.0f}{found[first]:>9,.0f}  {first:12}{shares}"


def head(name: str) -> str:
    """What stands above such lines."""
    names = "".join(f"{part.replace('broker ', 'b. ').replace('machines', 'workers'):>10}" for part in _PARTS)
    return f"{name:34}{'rows/s':>9}{'bound':>9}  {'by':12}{names}"


def held_against(costs: Costs, measured: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the simulation says of the machine that was measured, where two cores do everything."""
    lines = [f"{'2 cores for everything':34}{'measured':>9}{'played':>9}"]
    for one in measured:
        crew = int(one["agents"])
        of = Deployment(
            partitions=crew, agents=crew, sinks=int(one["sinks"]), runs=1, rows=int(one["rows"]), machines=1,
            shared_cores=2, brokers=1,
        )  # fmt: skip
        name = f"{crew} agents, {one['sinks']} sinks, {one['rows']:,} rows"
        lines.append(f"{name:34}{one['rows_per_s']:>9,}{play(of, costs).rate:>9,.0f}")
    return lines


def deployments(costs: Costs) -> list[str]:
    """10, 100, 1,000 partitions."""
    return [
        head("partitions, agents, sinks, runs"),
        *(
            line(f"{of.partitions:,}, {of.agents}, {of.sinks}, {of.runs}{', large' if of is LARGE else ''}", of, costs)
            for of in (TEN, replace(TEN, runs=4), HUNDRED, THOUSAND, LARGE)
        ),
    ]


def changes(costs: Costs) -> list[str]:
    """What one thing gives at 100 partitions."""
    variants: dict[str, dict[str, Any]] = {
        "as it is": {},
        "one run": {"runs": 1, "rows": 1_500_000},
        "16 runs": {"runs": 16},
        "34 agents, as good as 40": {"agents": 34},
        "8 agents": {"agents": 8},
        "10 sinks": {"sinks": 10},
        "40 sinks": {"sinks": 40},
        "synchronous_commit off": {"synchronous_commit": False},
        "fsync of 10 ms": {"fsync": 0.010},
        "the same with 1,000 rows a merge": {"fsync": 0.010, "batch_rows": 500},
        "log and tables on one disk": {"one_disk": True},
        "32 cores for Postgres": {"postgres_cores": 32},
        "32 cores, 40 sinks, 16 runs": {"postgres_cores": 32, "sinks": 40, "runs": 16},
        "the same, disks twice as fast": {
            "postgres_cores": 32, "sinks": 40, "runs": 16, "wal_disk": 800e6, "data_disk": 1_600e6,
        },
        "no contention between merges": {"contention": 0.0},
        "contention twice as much": {"contention": 0.04},
    }  # fmt: skip
    return [
        head("100 partitions"),
        *(line(name, replace(HUNDRED, **changed), costs) for name, changed in variants.items()),
    ]


def live_beside(costs: Costs) -> list[str]:
    """Latencies of 1,000 rows/s live, alone and beside replays."""
    live = replace(HUNDRED, live_rate=1_000.0, live_seconds=30.0)
    lines = [f"{'1,000 rows/s live':34}{'p50 ms':>9}{'p99 ms':>9}{'replay rows/s':>15}"]
    for name, of in {
        "alone": replace(live, rows=0, runs=0),
        "beside 8 replays": live,
        "the same, one disk": replace(live, one_disk=True),
        "4 cores, nobody gives way": replace(live, postgres_cores=4, gives_way=False, rows=2_000_000),
        "4 cores, replays give way": replace(live, postgres_cores=4, rows=2_000_000),
    }.items():
        played = play(of, costs)
        lines.append(f"{name:34}{played.live_ms(0.5):9.0f}{played.live_ms(0.99):9.0f}{played.rate:15,.0f}")
    return lines


def after_a_death(costs: Costs) -> list[str]:
    """Lag second by second while a machine of ten dies at 5 s."""
    return lag(replace(HUNDRED, machine_dies=5.0), costs, 20)


def lag(of: Deployment, costs: Costs, seconds: int) -> list[str]:
    """Rows that wait, by the second: for agents, for sinks; rows applied within the second."""
    played = play(of, costs)
    dies = "" if of.machine_dies is None else f"; a machine of {of.machines} dies at {of.machine_dies:.0f} s"
    lines = [f"{'second' + dies:50}{'for agents':>12}{'for sinks':>12}{'applied/s':>12}"]
    before = 0
    for sample in played.samples[: seconds + 1]:
        lines.append(f"{sample.at:<50.0f}{sample.raw:12,}{sample.derived:12,}{sample.applied - before:12,}")
        before = sample.applied
    left = played.sent - played.rows
    return [
        *lines,
        f"all: {played.rows:,} rows in {played.seconds:.0f} s, {left:,} lost, {played.twice:,} written twice",
    ]


def growth(costs: Costs, disk: float) -> list[str]:
    """What history comes to."""
    heads = ("serving", "history", "baseline", "all GB", "WAL GB", "vacuum min", "reindex min")
    lines = [f"{'rows':>14}{'captures':>10}" + "".join(f"{one:>13}" for one in heads)]
    for rows in (1_000_000, 10_000_000, 100_000_000, 1_000_000_000):
        for captures in (1, 4, 12):
            of = grown(costs, rows, captures, disk)
            sizes = (of.serving, of.history, of.baseline, of.total, of.wal)
            lines.append(
                f"{rows:14,}{captures:10}"
                + "".join(f"{size / 1e9:13,.1f}" for size in sizes)
                + f"{of.vacuum / 60:13,.1f}{of.rebuild / 60:13,.1f}"
            )
    rates = (
        f"vacuum at {vacuum_rate() / _MB:.0f} MB/s, as Postgres is shipped; reindex of history at {disk / _MB:.0f} MB/s"
    )
    return [*lines, rates]


def everything(path: Path) -> list[str]:
    """All tables."""
    costs = Costs.read(path)
    measured = orjson.loads(path.read_bytes())["measured"]
    database = (
        f"one database of {HUNDRED.postgres_cores} cores, a disk of {HUNDRED.wal_disk / _MB:.0f} MB/s for its log, "
        f"one of {HUNDRED.data_disk / _MB:.0f} for its tables; large: {LARGE.postgres_cores} cores, "
        f"{LARGE.wal_disk / _MB:,.0f} and {LARGE.data_disk / _MB:,.0f} MB/s"
    )
    return [
        *f"costs: {costs.source}".split("; "),
        database,
        "",
        *held_against(costs, measured),
        "",
        *deployments(costs),
        "",
        *changes(costs),
        "",
        *live_beside(costs),
        "",
        *after_a_death(costs),
        "",
        *growth(costs, HUNDRED.data_disk),
    ]


def one(of: Deployment, costs: Costs) -> list[str]:
    """One deployment: bounds, what came of it, what waited."""
    played, found = play(of, costs), bounds(of, costs)
    lines = [
        f"{part:14} at most {rate:12,.0f} rows/s" for part, rate in sorted(found.items(), key=lambda each: each[1])
    ]
    lines += [f"{played.rate:,.0f} rows/s: {played.rows:,} rows in {played.seconds:.1f} s", ""]
    lines += [f"{part:14} used {share:7.0%}" for part, share in played.used.items()]
    if played.live:
        lines.append(f"live: p50 {played.live_ms(0.5):.0f} ms, p99 {played.live_ms(0.99):.0f} ms")
    return [*lines, "", *lag(of, costs, len(played.samples))]


def main() -> None:
    """Print tables."""
    given = _arguments()
    changed = {name: value for name in _names() if (value := getattr(given, name)) is not None}
    if changed:
        of = replace(HUNDRED, **{name: value * _MB if name in _RATES else value for name, value in changed.items()})
        print("\n".join(one(of, Costs.read(given.costs))))
        return
    lines = [f"python -m bench.scale_model{''.join(f' {word}' for word in sys.argv[1:])}", *everything(given.costs)]
    print("\n".join(lines))
    if given.page:
        put(given.page, "model", lines)


def _names() -> Sequence[str]:
    return [field.name for field in fields(Deployment)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", type=Path, default=MEASURED, help="what bench.scale has written")
    parser.add_argument("--page", type=Path, help="a page to put the tables into")
    for field in fields(Deployment):
        name = f"--{field.name.replace('_', '-')}"
        if field.type is bool:
            parser.add_argument(name, action=argparse.BooleanOptionalAction, default=None)
        else:
            parser.add_argument(name, type=int if field.type is int else float, metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    main()
