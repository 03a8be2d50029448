"""Replays: say what will be done, do it, say what was done. Every command that runs a capture ends up here."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
import stamina

from producers.source import DraftOfPlan, DraftOfSource, Request, Services, Source, make_plan, open_source
from producers.topics import check_reachable, ensure_topics
from rederive import captures, clearing, domains
from rederive.database import connect, explained
from rederive.endpoints import resolve
from rederive.hours import Hours
from rederive.logs import also_to, no_longer_to, run_log
from rederive.notices import NoticesOfRun, told_unless_begun
from rederive.progress import counts
from rederive.run import Listener, Run
from rederive.settings import Settings
from rederive.spares import Spares
from schemas.capture import Capture, CaptureState, Progress
from schemas.domain import load
from schemas.errors import Failed
from schemas.lane import Lane, LaneName
from schemas.measures import UNMEASURED, Measures
from schemas.plan import Plan, PlanHead
from schemas.table import Mode
from schemas.words import counted
from store import captures as stored
from store import problems, units

log = logging.getLogger(__name__)

_LISTED = 12
"""Causes that a run's last lines name at most, of problems and of dead units."""


_REPORT_SECONDS = 60.0


def database_away(error: Exception) -> bool:
    """Whether a database is away, or refuses for now, as far as a run's or a plan's error says."""
    from sinks.applier import passes

    return isinstance(error, Failed) and isinstance(error.__cause__, psycopg.Error) and passes(error.__cause__)


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
            "removed_units": p.units_removed,
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

    def plan(self, request: Request, source: str, *others: Request, dry: bool = True) -> Plan[Any]:
        """What the request, or several, means now. Changes no row; not `dry` a source may keep what it finds out."""
        with (
            self.connected("plan") as connection,
            closing(self._source(connection, request.domain, source, dry=dry)) as opened,
        ):
            made = make_plan(opened, request, *others)
            return made.model_copy(update={"notes": _notes(connection, made)}).sealed() if request.clear else made

    def clears(self, asked: PlanHead) -> str:
        """How many values a replay that clears may take out, in a sentence; reads only."""
        with self.connected("plan") as connection:
            return clearing.note(connection, asked)

    def check(self, plan: Plan[Any]) -> None:
        """Failed when the plan was made by other formulas or was altered; whether it still fits, `mint` says."""
        mend = "make a new plan"
        if plan.digest != plan.computed_digest():
            raise Failed("the plan can't be applied", why="its digest doesn't fit: it was altered", mend=mend)
        domain = domains.find(plan.domain)
        version = domain.derivation_version
        strange = [name for name in plan.columns if name not in domain.in_scope(domain.scopes["all"])]
        if strange:
            raise Failed("the plan can't be applied", why=f"{domain.name} has no column {strange[0]}", mend=mend)
        if plan.mode is not Mode.SHADOW and (plan.mode is Mode.INSERT) != domain.inserts:
            why = f"rows of {domain.name} aren't written by {plan.mode.value}"
            raise Failed("the plan can't be applied", why=why, mend=mend)
        if plan.derivation_version != version:
            why = f"it was made for derivation version {plan.derivation_version}, this program computes {version}"
            raise Failed("the plan is stale", why=why, mend=mend)

    def check_fits(self, plan: Plan[Any]) -> None:
        """Failed when the plan no longer fits what is stored, as far as that can be said now."""
        with (
            self.connected("plan") as connection,
            closing(self._source(connection, plan.domain, plan.source, dry=True)) as source,
        ):
            _check_fits(source, plan)

    def services(self, connection: psycopg.Connection, *, dry: bool) -> Services:
        """What a source may read from."""

        def another() -> psycopg.Connection:
            return connect(self.database_url, application="rederive producer")

        return Services(connection, another, self.settings.kafka_config(), self.settings.topic_prefix, dry)

    def _source(self, connection: psycopg.Connection, domain: str, source: str, *, dry: bool) -> Source[Any]:
        return open_source(domains.find(domain), source, self.services(connection, dry=dry))

    def mint(
        self, asked: Request | Plan[Any], source: str = "", *, dry_run: bool, reason: str, agents: int | None = None
    ) -> tuple[Capture, PlanHead]:
        """Freeze what a request means now, or a plan that was made before, under a new capture.

        Failed, and no capture made, when the plan no longer fits what is stored, or when Kafka doesn't answer or
        doesn't give the topics that so many agents need.
        """
        with told_unless_begun(self.settings, asked.domain, dry_run=dry_run):
            return self._mint(asked, source, dry_run, reason, agents or self.settings.workers)

    def _mint(
        self, asked: Request | Plan[Any], source: str, dry_run: bool, reason: str, agents: int
    ) -> tuple[Capture, PlanHead]:
        def ready(lanes: Sequence[LaneName]) -> None:
            for name in lanes:
                lane = Lane(asked.domain, name, self.settings.topic_prefix)
                ensure_topics(kafka, lane, agents, domains.find(asked.domain).log_retention)

        kafka = self.settings.kafka_config()
        # Planning may take long: what it would be in vain without is looked at before.
        check_reachable(kafka)
        with self.connected("plan") as connection:
            domain = domains.find(asked.domain)
            request = asked.request if isinstance(asked, Plan) else asked.describe()
            mint = partial(
                stored.mint,
                connection,
                who=captures.who(),
                reason=reason,
                dry_run=dry_run,
                becomes=Mode.INSERT if domain.inserts else Mode.SUPERSEDE,
                clear=domain.in_scope(asked.columns) if request.get("clear") else (),
                ready=ready,
            )
            for other in captures.said(connection, stored.unfinished(connection, asked.domain)):
                log.warning("%s", other)
            named = asked.source if isinstance(asked, Plan) else source
            with closing(self._source(connection, asked.domain, named, dry=dry_run)) as opened:
                if not isinstance(asked, Plan):
                    capture, head = mint(DraftOfSource(opened, asked))
                    return capture, head.model_copy(update={"notes": _notes(connection, head)})
                with connection.transaction():
                    # What it reads must not be taken back between looking at it and its being frozen.
                    stored.hold(connection, asked.domain)
                    _check_fits(opened, asked)
                    return mint(DraftOfPlan(asked))

    def reopen(self, connection: psycopg.Connection, capture_id: str, *, dead: bool) -> Capture:
        """Make a capture runnable again; with `dead` its dead units too, as their source plans them now.

        Failed when it has been rolled back.
        """
        if not dead:
            return captures.reopen(connection, capture_id)
        found = captures.find(connection, capture_id)
        captures.check_planned(found, "retried")
        with closing(self._source(connection, found.domain, found.source, dry=found.dry_run)) as source:
            return captures.reopen(connection, capture_id, dead=source)

    def run(
        self,
        capture: Capture,
        listener: Listener,
        agents: int | None = None,
        sinks: int | None = None,
        spares: Spares | None = None,
        hours: Hours | None = None,
    ) -> Report:
        """Run a capture until it is complete, and report. What is spare of workers it may take.

        Outside `hours` it pauses: nothing new is sent.
        """
        handler = also_to(run_log(self.settings.home, capture.capture_id))
        try:
            with NoticesOfRun(self.settings, capture) as notices:
                if capture.state is CaptureState.RUNNING:
                    log.info("capture %s: %s", capture.capture_id, "dry run" if capture.dry_run else capture.mode)
                    if notices.wanted:
                        notices.begins(self._outcome(capture.capture_id)[0])
                    with (
                        self._journal(capture, notices.listening(listener)) as journaled,
                        self._measured(capture, journaled) as (measured, measures),
                    ):
                        crew = agents or self.settings.workers, sinks or self.settings.sinks
                        self._run(capture, measured, *crew, spares or Spares(), measures, hours)
                progress, reasons, dead = self._outcome(capture.capture_id)
                _say_problems(capture.capture_id, reasons, dead)
                log.info("%s: %s", "Dry run complete" if capture.dry_run else "Backfill complete", counts(progress))
                notices.ended(progress, reasons)
            return Report(
                capture.capture_id, capture.mode.value, capture.dry_run, progress, reasons, progress.units_dead
            )
        finally:
            no_longer_to(handler)

    @contextmanager
    def _measured(self, capture: Capture, listener: Listener) -> Iterator[tuple[Listener, Measures]]:
        """Figures of the run, served meanwhile where the settings say a port."""
        port = self.settings.metrics_port
        if port is None:
            yield listener, UNMEASURED
            return
        from rederive.exposition import served
        from rederive.measuring import Measured

        measured = Measured("run", capture.domain)
        labels = {"role": "run", "member": capture.capture_id}

        def both(progress: Progress) -> None:
            measured.progressed(progress)
            listener(progress)

        with served(measured, self.settings.home, self.settings.metrics_host, port, labels):
            yield both, measured

    def _outcome(self, capture_id: str) -> tuple[Progress, list[problems.Reason], list[units.DeadCause]]:
        """What a complete capture has done: counts, problems, dead units; a database that is away is waited for."""
        try:
            for attempt in stamina.retry_context(
                on=database_away, attempts=None, timeout=_REPORT_SECONDS, wait_max=2.0
            ):
                with attempt:
                    if attempt.num == 2:
                        log.warning("the work is done, the database went away before the report: trying again")
                    with self.connected("report") as connection:
                        return (
                            units.progress(connection, capture_id),
                            problems.by_reason(connection, capture_id),
                            units.dead_by_cause(connection, capture_id),
                        )
        except Failed as error:
            raise Failed(
                f"{capture_id} is complete, but what it did can't be read: {error.what}",
                why=error.why,
                mend=f"see `rederive captures show {capture_id}` when the database is back",
            ) from error
        raise AssertionError("unreachable")

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

    def _run(
        self,
        capture: Capture,
        listener: Listener,
        agents: int,
        sinks: int,
        spares: Spares,
        measures: Measures,
        hours: Hours | None,
    ) -> None:
        def opened(connection: psycopg.Connection) -> closing[Source[Any]]:
            return closing(self._source(connection, capture.domain, capture.source, dry=capture.dry_run))

        with explained("the replay"):
            Run(self.settings, self.database_url, capture, opened, listener, agents, sinks, spares, measures, hours)()


def _notes(connection: psycopg.Connection, head: PlanHead) -> tuple[str, ...]:
    """What a person should read of a plan: with what the source says how much it may clear."""
    return (*head.notes, *([clearing.note(connection, head)] if head.request.get("clear") else []))


def _check_fits(source: Source[Any], plan: Plan[Any]) -> None:
    if why := source.stale(plan):
        raise Failed("the plan is stale, nothing was sent", why=why, mend="make a new plan")


def _say_problems(capture_id: str, reasons: list[problems.Reason], dead: list[units.DeadCause]) -> None:
    """What went wrong, by cause: how often, the first records, why, and what can be done."""
    for one in reasons[:_LISTED]:
        first = " ".join(map(captures.said_key, one.keys))
        log.warning("%d × %s, first %s: %s", one.count, one.reason, first, one.message)
    for cause in dead[:_LISTED]:
        of, rows = counted(cause.units, "dead unit"), counted(cause.rows, "row")
        log.error("%s (%s), first %s: %s", of, rows, cause.range, cause.reason)
    if more := len(reasons[_LISTED:]) + len(dead[_LISTED:]):
        log.warning("%d more causes: `rederive captures show %s`", more, capture_id)
    if dead:
        log.error(
            "`rederive captures show %s` lists them; mend what killed them, then `rederive captures retry %s`",
            capture_id,
            capture_id,
        )
