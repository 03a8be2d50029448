"""Replays: say what will be done, do it, say what was done. Every command that runs a capture ends up here."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from producers.source import DraftOfPlan, DraftOfSource, Request, Services, Source, make_plan, open_source
from rederive import captures, domains
from rederive.database import connect, explained
from rederive.endpoints import resolve
from rederive.logs import also_to, no_longer_to, run_log
from rederive.progress import counts
from rederive.run import Listener, Run
from rederive.settings import Settings
from schemas.capture import Capture, CaptureState, Progress
from schemas.domain import load
from schemas.errors import Failed
from schemas.plan import Plan, PlanHead
from store import captures as stored
from store import problems, units

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did; `problems` are skips and errors by reason."""

    capture_id: str
    mode: str
    dry_run: bool
    progress: Progress
    problems: list[problems.Reason]
    dead: int

    @property
    def exit_code(self) -> int:
        """0 without errors, 1 with."""
        return int(self.progress.errors > 0 or self.dead > 0)

    def describe(self) -> dict[str, Any]:
        """As one JSON object."""
        p = self.progress
        return {
            "capture_id": self.capture_id,
            "mode": self.mode,
            "dry_run": self.dry_run,
            "processed": p.processed,
            "updated": p.updated,
            "unchanged": p.unchanged,
            "skipped": p.skipped,
            "errors": p.errors,
            "units": p.units,
            "dead_units": self.dead,
            "problems": [reason.describe() for reason in self.problems],
        }


@dataclass(frozen=True, slots=True)
class Replayer:
    """Plans and runs captures against one Kafka and one Postgres."""

    settings: Settings
    database_url: str

    @classmethod
    def of(cls, settings: Settings) -> "Replayer":
        """With the services that the settings name, or the embedded ones, started where they don't run."""
        endpoints = resolve(settings)
        return cls(settings.at(endpoints), endpoints.database_url)

    @contextmanager
    def connected(self, doing: str) -> Iterator[psycopg.Connection]:
        """A connection whose errors are explained."""
        with connect(self.database_url, application=f"rederive {doing}") as connection, explained(f"the {doing}"):
            yield connection

    def plan(self, request: Request, source: str) -> Plan[Any]:
        """What the request means now."""
        with self.connected("plan") as connection, closing(self._source(connection, request.domain, source)) as opened:
            return make_plan(opened, request)

    def check(self, plan: Plan[Any]) -> None:
        """Failed when the plan was made by other formulas or was altered; whether it still fits, `mint` says."""
        mend = "make a new plan"
        if plan.digest != plan.computed_digest():
            raise Failed("the plan can't be applied", why="its digest doesn't fit: it was altered", mend=mend)
        version = domains.find(plan.domain).derivation_version
        if plan.derivation_version != version:
            why = f"it was made for derivation version {plan.derivation_version}, this program computes {version}"
            raise Failed("the plan is stale", why=why, mend=mend)

    def _source(self, connection: psycopg.Connection, domain: str, source: str) -> Source[Any]:
        def another() -> psycopg.Connection:
            return connect(self.database_url, application="rederive producer")

        services = Services(connection, another, self.settings.kafka_config(), self.settings.topic_prefix)
        return open_source(domains.find(domain), source, services)

    def mint(
        self, asked: Request | Plan[Any], source: str = "", *, dry_run: bool, reason: str
    ) -> tuple[Capture, PlanHead]:
        """Freeze what a request means now, or a plan that was made before, under a new capture.

        Failed when the plan no longer fits what is stored.
        """
        with self.connected("plan") as connection:
            for other in captures.said_unfinished(connection, asked.domain):
                log.warning("%s", other)
            named = asked.source if isinstance(asked, Plan) else source
            with closing(self._source(connection, asked.domain, named)) as opened:
                if isinstance(asked, Plan):
                    return self._mint_made(connection, opened, asked, dry_run=dry_run, reason=reason)
                draft = DraftOfSource(opened, asked)
                return stored.mint(connection, draft, who=captures.who(), reason=reason, dry_run=dry_run)

    def _mint_made(
        self, connection: psycopg.Connection, source: Source[Any], plan: Plan[Any], *, dry_run: bool, reason: str
    ) -> tuple[Capture, PlanHead]:
        with connection.transaction():
            # What it reads must not be taken back between looking at it and its being frozen.
            stored.hold(connection, plan.domain)
            if why := source.stale(plan):
                raise Failed("the plan is stale, nothing was sent", why=why, mend="make a new plan")
            return stored.mint(connection, DraftOfPlan(plan), who=captures.who(), reason=reason, dry_run=dry_run)

    def run(self, capture: Capture, listener: Listener, agents: int | None = None) -> Report:
        """Run a capture until it is complete, and report."""
        handler = also_to(run_log(self.settings.home, capture.capture_id))
        try:
            if capture.state is CaptureState.RUNNING:
                log.info("capture %s: %s", capture.capture_id, "dry run" if capture.dry_run else capture.mode)
                with self._journal(capture, listener) as journaled:
                    self._run(capture, journaled, agents or self.settings.workers)
            with self.connected("report") as connection:
                progress = units.progress(connection, capture.capture_id)
                reasons = problems.by_reason(connection, capture.capture_id)
            for problem in reasons:
                log.warning(
                    "%d × %s, first %s: %s",
                    problem.count,
                    problem.reason,
                    ", ".join(str(key[0]) if len(key) == 1 else str(key) for key in problem.keys),
                    problem.message or problem.reason,
                )
            log.info("%s: %s", "Dry run complete" if capture.dry_run else "Backfill complete", counts(progress))
            return Report(
                capture.capture_id, capture.mode.value, capture.dry_run, progress, reasons, progress.units_dead
            )
        finally:
            no_longer_to(handler)

    @contextmanager
    def _journal(self, capture: Capture, listener: Listener) -> Iterator[Listener]:
        """A run of hours may leave files that say how far it got: the domain knows which."""
        domain = domains.find(capture.domain)
        if not domain.journal:
            yield listener
            return
        with load(domain.journal)(capture, self.settings.home, lambda: self.connected("journal")) as journal:

            def both(progress: Progress) -> None:
                listener(progress)
                journal(progress)

            yield both

    def _run(self, capture: Capture, listener: Listener, agents: int) -> None:
        def opened(connection: psycopg.Connection) -> closing[Source[Any]]:
            return closing(self._source(connection, capture.domain, capture.source))

        with explained("the replay"):
            Run(self.settings, self.database_url, capture, opened, listener, agents)()
