"""What history and notes cost a whole replay: the same Betfair replay with them and without, in turns.

    python -m bench.history [--rows 100000] [--rounds 2] [--workers 2]

Without means: sinks that upsert what is staged, and keep no history, no baseline, no origins and no problems. There is
no such switch in the program: in its worker processes a `sitecustomize.py`, in a folder of its own on PYTHONPATH, puts
other functions in the place of those that keep them. Rows are the same afterwards, which is checked. Both are whole
commands, start and stop included; every other round the order turns round.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psycopg

from bench.fresh import services
from bench.rows import bare, digest, fill
from bench.watch import Measured, measure
from rederive.settings import Settings

if TYPE_CHECKING:
    from sinks.merge.staging import Staged
    from sinks.policy import Writer

_SITE = """
import sys

if sys.orig_argv[1:4] == ["-m", "rederive.worker", "sink"]:
    from bench import history

    history.keep_nothing()
"""


def keep_nothing() -> None:
    """Have this process's sinks write rows and count units, and nothing else."""
    from sinks.merge import merging
    from store import origins, problems, units

    def upsert(connection: psycopg.Connection, staged: "Staged", writer: "Writer") -> set[tuple[object, ...]]:
        sql = merging.statements(staged.table)
        columns = (*sql.key, *sql.columns)
        sets = ", ".join(f"{name} = {sql._merged(name, writer.mode)}" for name in sql.columns)
        return set(
            connection.execute(
                f"""INSERT INTO {sql.serving} AS s ({", ".join(columns)}, capture_id, derivation_version)
                    SELECT {sql.of("x", columns)}, %s, %s FROM {sql.stage} x ORDER BY {sql.of("x", sql.key)}
                    ON CONFLICT ({sql.keys}) DO UPDATE SET {sets}, capture_id = excluded.capture_id,
                        derivation_version = excluded.derivation_version
                    WHERE {sql.changes(writer.mode, "excluded")} RETURNING {sql.of("s", sql.key)}""",
                [writer.capture_id, writer.derivation_version],
            ).fetchall()
        )

    for module, name, instead in (
        (merging, "_merge_staged", upsert),
        (origins, "lock", lambda *_: set()),
        (origins, "add", lambda *_: None),
        (problems, "replace", lambda *_: None),
        (units, "applied_of", lambda *_: set()),
    ):
        if not hasattr(module, name):
            raise AttributeError(f"{module.__name__} has no {name}: this benchmark has to be told what it is called")
        setattr(module, name, instead)


def replay(settings: Settings, url: str, name: str, workers: int, folder: Path | None) -> tuple[Measured, str]:
    """A replay of all rows into fresh bare ones, and their digest; with `folder` its sinks keep nothing."""
    bare(url)
    named = settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}{name}."})
    command = [sys.executable, "-m", "rederive", "replay", "betfair", "--workers", str(workers), "--json"]
    measured = measure(named, command, ahead=folder)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM rederive.market_derived_metrics_history").fetchone()
    assert row is not None
    assert (row[0] == 0) == (folder is not None), "the sinks have not done what they were told"
    return measured, digest(url)


def main() -> None:
    """Print rows/s of both, round by round, and the cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 100_000), ("rounds", 2), ("workers", 2)):
        parser.add_argument(f"--{name}", type=int, default=default, help="default %(default)s")
    given = parser.parse_args()
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    with services() as settings, tempfile.TemporaryDirectory(prefix="rederive-bench-site-") as site:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        (Path(site) / "sitecustomize.py").write_text(_SITE)
        fill(url, given.rows)
        for number in range(given.rounds):
            digests = set()
            for name in ("with", "without") if number % 2 == 0 else ("without", "with"):
                folder = Path(site) if name == "without" else None
                measured, rows = replay(settings, url, f"{number}-{name}", given.workers, folder)
                digests.add(rows)
                seconds[name].append(measured.seconds)
                used = ", ".join(
                    f"{part} {spent / given.rows * 1e6:.1f}" for part, spent in sorted(measured.cpu.items())
                )
                print(f"round {number + 1}, {name:8}{given.rows / measured.seconds:9,.0f} rows/s  µs a row: {used}")
            assert len(digests) == 1, "rows differ"
    costs = [1 - without / with_ for with_, without in zip(seconds["with"], seconds["without"], strict=True)]
    rates = {name: given.rows / median(taken) for name, taken in seconds.items()}
    print(
        f"{given.rows:,} rows, workers: {given.workers}: with history and notes {rates['with']:,.0f} rows/s, without "
        f"{rates['without']:,.0f}: they cost {median(costs):.0%} of the throughput (of rounds, "
        f"{', '.join(f'{cost:.0%}' for cost in costs)}; allowed are 35%)"
    )


if __name__ == "__main__":
    main()
