"""The demo: the main job on real input, with everything embedded and fresh, as the commands a person would type."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import orjson
from rich.markup import escape

from rederive import local
from rederive.__main__ import BROKEN_PIPE, INTERRUPTED
from rederive.cli.output import stderr, stdout
from rederive.database import connect
from rederive.settings import PREFIX, Settings
from samples import betfair_sample, finra_sample
from samples.finra_files import FinraFiles
from samples.load import derive_bare_rows, load
from samples.racing_api import StandIn
from samples.racing_faults import Fault
from schemas.errors import Failed
from schemas.finra_partition import fridays

_RACING_DAYS = "--from 2024-05-17 --to 2024-05-19"
_RACING_TODAY = date(2024, 6, 1)
_QUARTER = date(2025, 1, 1), date(2025, 3, 31)

RunCommand = Callable[[list[str]], int]


@dataclass(slots=True)
class Demo:
    """One run of the demo; `run_command` runs a command line and returns its exit code."""

    home: Path
    run_command: RunCommand

    def __call__(self) -> int:
        """Do everything; 0 when the holes are filled and a second replay finds nothing to do. Stops what it started."""
        started = time.monotonic()
        settings = Settings(home=self.home, kafka_bootstrap=None, database_url=None)
        local.stop(settings)
        shutil.rmtree(self.home, ignore_errors=True)
        try:
            self._say("fresh Kafka and Postgres (the first time they are downloaded)")
            endpoints = local.start(settings)
            # The commands below must work on these services, whatever the environment or rederive.toml names.
            own = {"HOME": self.home, "KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap}
            own |= {"DATABASE_URL": endpoints.database_url, "TOPIC_PREFIX": "demo."}
            os.environ.update({PREFIX + name: str(value) for name, value in own.items()})
            self._type("local start")
            self._type("migrate")
            self._betfair(settings)
            self._racing(settings)
            self._finra()
        finally:
            local.stop(settings)
        stdout.print(f"\n[bold]done in {time.monotonic() - started:.0f} s[/]; both services are stopped")
        return 0

    def _betfair(self, settings: Settings) -> None:
        before = str(self.home / "before.json")
        plan = self.home / "plan.json"
        url = local.start(settings).database_url
        self._say("2,392 real match-odds snapshots of 105 markets; derived rows without any metric, one in ten missing")
        with connect(url, application="rederive demo") as connection:
            load(connection, betfair_sample.metadata(), betfair_sample.snapshots())
            derive_bare_rows(connection, leave_out_every=10)
            market, *_ = connection.execute(
                """SELECT market_id FROM market_book_snapshots
                   GROUP BY market_id ORDER BY count(*) DESC, market_id LIMIT 1"""
            ).fetchone() or ("",)
        self._type("report null-audit --columns l1,l3,risk", "--save", before)
        self._say("what a replay would do, as a plan")
        self._plan(plan)
        self._type("apply", str(plan), "--reason", "demo")
        self._type("report null-audit --columns l1,l3,risk", "--against", before, "--fillable")
        self._say(
            "the same again: what is NULL was computed as NULL (the sample has no lay ladders), it is not asked again"
        )
        self._type("replay betfair --json")
        self._check(url)
        self._type("report ladder-availability --limit 500")
        self._type(f"report checkpoints {market}")
        self._type(f"report continuity {market}")
        self._type("report spot-check")
        self._type("captures list")

    def _racing(self, settings: Settings) -> None:
        url = local.start(settings).database_url
        self._say("three race days from a stand-in of The Racing API, which fails now and then on purpose")
        with StandIn(today=_RACING_TODAY) as api:
            api.faults.add(
                Fault("429", path="/results", date="2024-05-17", retry_after=1),
                Fault("cut-body", path="/racecards", date="2024-05-18"),
                Fault("500", path="/results", date="2024-05-19"),
            )
            os.environ.update(
                RACING_API_BASE_URL=api.base_url, RACING_API_USERNAME="standin", RACING_API_PASSWORD="standin"
            )
            self._type(f"replay racing {_RACING_DAYS} --check-status")
            self._type(f"replay racing {_RACING_DAYS}")
            self._say(f"{len(api.requests)} requests, {len(api.faults.fired)} of them failed on purpose")
        self._type("report racing-verify")
        self._say("the days are kept: derived again with the API switched off, nothing changes")
        self._type("replay-topic racing --reason demo --json")
        self._type(f"gaps racing {_RACING_DAYS}")
        self._nothing_updated(url)

    def _finra(self) -> None:
        real, made = self.home / "finra-real", self.home / "finra-quarter"
        self._say("FINRA's weekly OTC files: two real weeks")
        real.mkdir()
        for name in finra_sample.NAMES:
            (real / name).write_text(finra_sample.content(name))
        self._type("replay finra --from 2025-12-01 --to 2025-12-31 --source", str(real))
        self._type("replay finra --from 2025-12-01 --to 2025-12-31 --calc venue_share --calc-version v2")
        self._type("versions compare venue_share v1 v2 --week 2025-12-19 --tier OTC")
        self._say("a made-up quarter of four tiers")
        made.mkdir()
        for weekly in FinraFiles(symbols=300, rows=1200, faults=0.02).files(fridays(*_QUARTER)):
            (made / weekly.name).write_bytes(weekly.content)
        quarter = f"--from {_QUARTER[0]} --to {_QUARTER[1]}"
        self._type(f"replay finra {quarter} --source", str(made))
        self._type("report week 2025-03-28 --tier OTC")
        self._type("report quality")
        self._say("the same files again: nothing to do")
        self._type(f"replay finra {quarter} --json --source", str(made))

    def _plan(self, path: Path) -> None:
        """`rederive plan betfair > FILE`, the redirection included."""
        kept = os.dup(sys.stdout.fileno())
        try:
            sys.stdout.flush()
            with path.open("wb") as file:
                os.dup2(file.fileno(), sys.stdout.fileno())
                self._type("plan betfair", quiet=True)
                sys.stdout.flush()
        finally:
            os.dup2(kept, sys.stdout.fileno())
            os.close(kept)
        plan = orjson.loads(path.read_bytes())
        stdout.print(f"[dim]$ rederive plan betfair > {escape(shlex.quote(str(path)))}[/]")
        stdout.print(f"{plan['found']} rows in {len(plan['units'])} units, digest {plan['digest'][:12]}…")

    def _check(self, url: str) -> None:
        """The demo's claim: nothing that the payloads could fill is left, and the second replay changed nothing."""
        from rederive.reports.fillable import fillable
        from schemas.betfair import METRICS

        with connect(url, application="rederive demo") as connection:
            left = {name: count for name, count in fillable(connection, METRICS).columns.items() if count}
        if left:
            raise Failed("the demo's replay left something undone", why=f"fillable NULLs {left}")
        self._nothing_updated(url)
        stdout.print(
            "[green]0 NULLs left that the payloads could fill, in all 52 columns; 0 updated the second time[/]"
        )

    def _nothing_updated(self, url: str) -> None:
        """The last replay changed no row."""
        with connect(url, application="rederive demo") as connection:
            row = connection.execute(
                """SELECT sum(updated) FROM rederive.units
                   WHERE capture_id = (SELECT capture_id FROM rederive.captures ORDER BY number DESC LIMIT 1)"""
            ).fetchone()
        if row is None or row[0]:
            raise Failed("the demo's replay was not the last word", why=f"the same again updated {row} rows")

    def _say(self, text: str) -> None:
        stdout.print(f"\n[bold]# {text}[/]")

    def _type(self, *words: str, quiet: bool = False) -> None:
        """Show a command as it would be typed and run it; the first of `words` may be several, a path is one."""
        first, *rest = words
        line = f"{first} {shlex.join(rest)}".strip()
        if not quiet:
            stdout.print(f"\n[dim]$ rederive {escape(line)}[/]")
        sys.stdout.flush()
        code = self.run_command([*first.split(" "), *rest])
        stderr.file.flush()
        if code in (INTERRUPTED, BROKEN_PIPE):
            # The command has said what there is to say.
            raise SystemExit(code)
        if code:
            raise Failed(f"`rederive {line}` ended with {code}", mend="see its message above")
