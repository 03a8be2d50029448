"""Replays: say what will be done, do it, say what was done. Every command that runs a capture ends up here."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from producers import ledger
from producers.registry import Where, open_source
from producers.source import Finding, Made, Request, Source, make_plan
from rederive import captures
from rederive.database import connect, explained
from rederive.endpoints import resolve
from rederive.journal import Journal
from rederive.logs import also_to, no_longer_to, run_log
from rederive.progress import counts
from rederive.run import Listener, Run
from rederive.settings import Settings
from schemas.capture import Capture, CaptureState, Progress
from schemas.errors import Failed, UsageError
from schemas.plan import Plan, PlanHead
from schemas.registry import DOMAINS

log = logging.getLogger(__name__)

_LISTED = 12
"""Causes that a run's last lines name at most, of problems and of dead units."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did; `problems` are skips and errors by reason."""

    capture_id: str
    mode: str
    dry_run: bool
    progress: Progress
    problems: list[dict[str, Any]]
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
            "problems": self.problems,
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

    def plan(self, request: Request, source: str) -> Plan:
        """What the request means now."""
        with self.connected("plan") as connection, closing(self._source(connection, request.domain, source)) as opened:
            return make_plan(opened, request)

    def check(self, plan: Plan) -> None:
        """Failed when the plan was made by other formulas, was altered, or no longer fits what is stored."""
        mend = "make a new plan"
        if plan.digest != plan.computed_digest():
            raise Failed("the plan can't be applied", why="its digest doesn't fit: it was altered", mend=mend)
        if plan.domain not in DOMAINS:
            raise UsageError(f"the plan's domain {plan.domain} is unknown", mend=f"known are {', '.join(DOMAINS)}")
        version = DOMAINS[plan.domain].derivation_version
        if plan.derivation_version != version:
            why = f"it was made for derivation version {plan.derivation_version}, this program computes {version}"
            raise Failed("the plan is stale", why=why, mend=mend)
        with (
            self.connected("plan") as connection,
            closing(self._source(connection, plan.domain, plan.source)) as opened,
        ):
            if why_stale := opened.stale(plan):
                raise Failed("the plan is stale, nothing was sent", why=why_stale, mend=mend)

    def _source(self, connection: psycopg.Connection, domain: str, source: str) -> Source:
        def another() -> psycopg.Connection:
            return connect(self.database_url, application="rederive producer")

        where = Where(connection, another, self.settings.kafka_config(), self.settings.topic_prefix)
        return open_source(domain, source, where)

    def mint(self, asked: Request | Plan, source: str = "", *, dry_run: bool, reason: str) -> tuple[Capture, PlanHead]:
        """Freeze what a request means now, or a plan that was made before, under a new capture."""
        with self.connected("plan") as connection:
            for other in captures.unfinished(connection, asked.domain):
                log.warning("%s is unfinished; `rederive captures resume %s` goes on with it", other, other)
            if isinstance(asked, Plan):
                return ledger.mint(connection, Made(asked), who=captures.who(), reason=reason, dry_run=dry_run)
            with closing(self._source(connection, asked.domain, source)) as opened:
                planning = Finding(opened, asked)
                return ledger.mint(connection, planning, who=captures.who(), reason=reason, dry_run=dry_run)

    def run(self, capture: Capture, listener: Listener, agents: int | None = None) -> Report:
        """Run a capture until it is complete, and report."""
        handler = also_to(run_log(self.settings.home, capture.capture_id))
        try:
            if capture.state is CaptureState.RUNNING:
                log.info("capture %s: %s", capture.capture_id, "dry run" if capture.dry_run else capture.mode)
                with self._journal(capture, listener) as journaled:
                    self._run(capture, journaled, agents or self.settings.workers)
            with self.connected("report") as connection:
                progress = ledger.progress(connection, capture.capture_id)
                problems = captures.problems(connection, capture.capture_id)
                dead = captures.dead_units(connection, capture.capture_id)
            _say_problems(capture.capture_id, problems, dead)
            log.info("%s: %s", "Dry run complete" if capture.dry_run else "Backfill complete", counts(progress))
            return Report(
                capture.capture_id, capture.mode.value, capture.dry_run, progress, problems, progress.units_dead
            )
        finally:
            no_longer_to(handler)

    @contextmanager
    def _journal(self, capture: Capture, listener: Listener) -> Iterator[Listener]:
        """A run that asks an API, for hours maybe, leaves files that say how far it got."""
        if capture.source != "api":
            yield listener
            return
        journal = Journal(self.settings.home, lambda: self.connected("journal"), capture.capture_id)

        def both(progress: Progress) -> None:
            listener(progress)
            journal(progress)

        ended: BaseException | None = None
        try:
            yield both
        except BaseException as error:
            ended = error
            raise
        finally:
            journal.end(ended)

    def _run(self, capture: Capture, listener: Listener, agents: int) -> None:
        def opened(connection: psycopg.Connection) -> closing[Source]:
            return closing(self._source(connection, capture.domain, capture.source))

        with explained("the replay"):
            Run(self.settings, self.database_url, capture, opened, listener, agents)()


def _say_problems(capture_id: str, problems: list[dict[str, Any]], dead: list[tuple[int, int, str, str]]) -> None:
    """What went wrong, by cause: how often, the first records, why, and what can be done."""
    for problem in problems[:_LISTED]:
        first = " ".join(map(captures.said_key, problem["keys"]))
        log.warning("%d × %s, first %s: %s", problem["count"], problem["reason"], first, problem["message"])
    for units, rows, first, reason in dead[:_LISTED]:
        log.error("%d dead units (%d rows), first %s: %s", units, rows, first, reason)
    if more := len(problems[_LISTED:]) + len(dead[_LISTED:]):
        log.warning("%d more causes: `rederive captures show %s`", more, capture_id)
    if dead:
        log.error(
            "`rederive captures show %s` lists them; mend what killed them, then `rederive captures retry %s`",
            capture_id,
            capture_id,
        )
