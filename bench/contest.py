"""Who fills the derived rows of stored snapshots how fast: rederive, scripts, faust and quixstreams, in one run.

    ./run bench [--quick] [--rows 300000] [--rounds 3] [--only script rederive] [--page docs/performance.md]

All fill the same rows of the same embedded Postgres, by the same formulas, one after the other, in an order that turns
round each time. A contender's time is its whole command's, start and stop included; whoever leaves other rows than
most is disqualified. Ratios are those within a round. Then the other domains, and the limits of each part. The last
line is one JSON object.
"""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import psutil

from bench import chart, domains, fresh, limits
from bench.page import put
from bench.rows import bare, digest, fill
from bench.watch import ROOT, Measured, measure
from rederive.settings import Settings

US = "rederive"
_QUICK = {"rows": 10_000, "rounds": 1, "days": 60, "weeks": 1}
_FULL = {"rows": 300_000, "rounds": 3, "days": 365, "weeks": 8}
_OURS = ("rederive.betfair.commands", "rederive.run", "processors.runtime", "sinks.consumer")
_PARTS = ("producer", "kafka", "agents", "sinks", "script", "postgres")


@dataclass(slots=True)
class Contender:
    """A contender: the words of its command, and what it took in each round; `wrong` says why it is disqualified."""

    name: str
    command: Sequence[str]
    rounds: list[Measured] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    wrong: str = ""

    def rates(self, rows: int) -> list[float]:
        """Rows/s in each round."""
        return [rows / one.seconds for one in self.rounds]

    def cpu(self, rows: int) -> dict[str, float]:
        """µs of processor a row by part, medians of the rounds."""
        return {
            part: statistics.median(one.cpu.get(part, 0.0) for one in self.rounds) / rows * 1e6
            for part in _PARTS
            if any(part in one.cpu for one in self.rounds)
        }

    def peak(self, part: str | None = None) -> float:
        """The most MB that one process held, of a part or of any."""
        return max((mb for one in self.rounds for name, mb in one.peaks.items() if part in (None, name)), default=0.0)


def contenders(workers: int) -> list[Contender]:
    """All that can be had: quixstreams needs an environment of its own (`./run environment quixstreams`)."""

    def module(name: str, *words: str, python: str = sys.executable) -> list[str]:
        return [python, "-m", f"bench.contenders.{name}", *words]

    found = [
        Contender("script", module("script")),
        Contender("script_batched_1", module("script_batched", "1")),
        Contender("script_batched", module("script_batched", "2")),
        Contender("faust_plain", module("stream", "faust_plain", str(workers))),
        Contender(US, [sys.executable, "-m", "rederive", "replay", "betfair", "--workers", str(workers), "--json"]),
    ]
    if (python := ROOT / ".venv-quixstreams/bin/python").exists():
        found.insert(4, Contender("quixstreams", module("stream", "quixstreams", str(workers), python=str(python))))
    return found


def take_turns(settings: Settings, given: Sequence[Contender], rounds: int) -> None:
    """Have all fill the rows that are there, so many times, every other round in the opposite order."""
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    for one in given:
        _import(one)
    for number in range(rounds):
        for one in given if number % 2 == 0 else reversed(given):
            if one.wrong:
                continue
            bare(url)
            # Topics of its own, as all others have.
            named = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}{number}-{one.name}."})
            try:
                one.rounds.append(measure(named, one.command))
            except subprocess.CalledProcessError as error:
                one.wrong = f"exit code {error.returncode}: {error.__notes__[0]}"
                continue
            one.digests.append(digest(url))
            print(f"round {number + 1}, {one.name}: {one.rounds[-1].seconds:.1f} s", file=sys.stderr, flush=True)
    judge(given)


def _import(one: Contender) -> None:
    """Have its modules read once, so that the first round isn't that of whose files are in the system's cache."""
    python, _, module, name, *_ = [*one.command, ""]
    modules = _OURS if one.name == US else [f"bench.contenders.{name}" if module.endswith(".stream") else module]
    subprocess.run(
        [python, "-c", f"import {', '.join(modules)}"],
        cwd=ROOT,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def judge(given: Sequence[Contender]) -> None:
    """Disqualify those whose rows differ from most others', by one bit in one round."""
    counted = Counter(each for one in given for each in one.digests)
    if not counted:
        return
    ((agreed, _),) = counted.most_common(1)
    for one in given:
        if not one.wrong and set(one.digests) != {agreed}:
            one.wrong = "its rows differ from the others'"


def ratios(of: Contender, to: Contender) -> list[float]:
    """How many times as fast, round by round."""
    return [slow.seconds / fast.seconds for fast, slow in zip(of.rounds, to.rounds, strict=True)]


def table(given: Sequence[Contender], rows: int) -> list[str]:
    """A line a contender: rows/s, how rederive compares, µs of processor a row by part, its largest process in MB."""
    us = next((one for one in given if one.name == US and not one.wrong), None)
    head = f"{'betfair':18}{'rows/s':>9}{'least':>9}{'most':>9}{'rederive is':>13}"
    lines = [head + "".join(f"{part:>10}" for part in (*_PARTS, "µs a row", "MB"))]
    for one in given:
        if one.wrong:
            lines.append(f"{one.name:18}disqualified: {one.wrong}")
            continue
        rates, used = one.rates(rows), one.cpu(rows)
        ratio = f"{statistics.median(ratios(us, one)):.2f}×" if us is not None else ""
        found = f"{one.name:18}{statistics.median(rates):9,.0f}{min(rates):9,.0f}{max(rates):9,.0f}{ratio:>13}"
        found += "".join(f"{used[part]:10.1f}" if part in used else f"{'':10}" for part in _PARTS)
        lines.append(f"{found}{sum(used.values()):10.1f}{one.peak():10,.0f}")
    if us is not None:
        peaks = (f"{part} {us.peak(part):,.0f} MB" for part in _PARTS if us.peak(part))
        lines.append(f"the most memory of one process of rederive: {', '.join(peaks)}")
    return lines


def summary(given: Sequence[Contender], rows: int) -> dict[str, dict[str, object]]:
    """The same for programs: by contender, medians of the rounds, and rederive's ratio to it."""
    us = next((one for one in given if one.name == US and not one.wrong), None)
    found: dict[str, dict[str, object]] = {}
    for one in given:
        if one.wrong:
            found[one.name] = {"disqualified": one.wrong}
            continue
        rates = one.rates(rows)
        found[one.name] = {
            "rows_per_s": round(statistics.median(rates)),
            "least": round(min(rates)),
            "most": round(max(rates)),
            "cpu_s_per_million": {part: round(used, 1) for part, used in one.cpu(rows).items()},
            "peak_mb": {part: round(one.peak(part)) for part in _PARTS if one.peak(part)},
        }
        if us is not None:
            found[one.name]["rederive_is"] = round(statistics.median(ratios(us, one)), 2)
    return found


def of_domain(rows: int, measured: Measured) -> dict[str, object]:
    """A domain's replay for programs."""
    return {
        "rows_per_s": round(rows / measured.seconds),
        "cpu_s_per_million": {part: round(used / rows * 1e6, 1) for part, used in sorted(measured.cpu.items())},
        "peak_mb": {part: round(peak) for part, peak in sorted(measured.peaks.items())},
    }


def machine() -> str:
    """Cores, processor, memory and system that figures are of."""
    cpus = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.+)$", cpus.read_text(), re.MULTILINE) if cpus.exists() else []
    memory = psutil.virtual_memory().total / 1e9
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({models[0] if models else platform.machine()}), {memory:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def write_page(page: Path, lines: Sequence[str], drawn: str) -> None:
    """Put figures into the page, between its two marks, and the chart beside it. ValueError: a mark is missing."""
    put(page, "figures", lines)
    page.with_suffix(".svg").write_text(drawn)


def main() -> int:
    """Print all figures; 1 when a contender was disqualified."""
    given = _arguments()
    defaults: Mapping[str, int] = _QUICK if given.quick else _FULL
    rows, rounds = given.rows or defaults["rows"], given.rounds or defaults["rounds"]
    entered = [one for one in contenders(given.workers) if not given.only or one.name in given.only]
    found: dict[str, object] = {"machine": machine(), "rows": rows, "rounds": rounds}
    began = time.perf_counter()
    lines = [
        f"./run bench{''.join(f' {word}' for word in sys.argv[1:])}",
        f"{rows:,} full-depth snapshots, rounds: {rounds}, workers: {given.workers}; {machine()}",
        "",
    ]
    with fresh.services() as settings:
        assert settings.database_url is not None
        fill(settings.database_url.get_secret_value(), rows)
        take_turns(settings, entered, rounds)
        lines += table(entered, rows)
        found["betfair"] = summary(entered, rows)
        if not given.only:
            alone = limits.measure(settings, rows)
            lines += ["", *limits.table(alone)]
            found["limits"] = {part: round(rate) for part, rate in alone.items()}
    if not given.only:
        with fresh.services() as settings:
            measured = domains.measure(settings, defaults["days"], defaults["weeks"], given.workers)
        for name, one in measured.items():
            domain, _, contender = name.partition(" by ")
            of = found.setdefault(domain, {})
            assert isinstance(of, dict)
            of[contender or US] = of_domain(*one)
        lines += ["", *domains.table(measured)]
    print("\n".join(lines))
    if given.page:
        bars = {one.name: statistics.median(one.rates(rows)) for one in entered if not one.wrong}
        write_page(given.page, lines, chart.draw(bars, f"Betfair, {rows:,} rows: rows/s of whole commands", US))
    print(f"all in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    print(orjson.dumps(found).decode())
    return int(any(one.wrong for one in entered))


def _arguments() -> argparse.Namespace:
    names = [one.name for one in contenders(1)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows, one round")
    parser.add_argument("--rows", type=int, help="snapshots")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--workers", type=int, default=2, help="agents, and their peers (default %(default)s)")
    parser.add_argument("--only", nargs="+", choices=names, help="contenders; then neither limits nor other domains")
    parser.add_argument("--page", type=Path, help="a page to put the figures into, and their chart beside it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
