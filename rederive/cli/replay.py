"""`rederive replay`, `replay-topic`, `plan` and `apply`: what to recompute, and recomputing it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from rederive.cli.plans import print_plan, shown
from rederive.cli.running import (
    SOME,
    USUAL,
    BatchSize,
    Clear,
    Crew,
    DomainName,
    DryRun,
    Json,
    Reason,
    Yes,
    check_clear,
    may_clear,
    plan_and_run,
    run,
    span,
)

if TYPE_CHECKING:
    from producers.source import Request
    from rederive.replayer import Replayer
    from schemas.domain import Domain
    from schemas.plan import Plan
    from schemas.table import Mode

replay = cyclopts.App(name="replay", help="Read stored payloads again, recompute their rows, merge them.")
plan = cyclopts.App(name="plan", help="Print a replay as a plan (JSON on stdout) and do nothing; `apply` runs it.")

TopicMode = Annotated[
    Literal["fill", "supersede", "shadow"] | None,
    Parameter(
        help="supersede (default): replace, after a bug fix. fill: only what is NULL. shadow: serve nothing until it "
        "is promoted. Inserted rows know only shadow."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which records of which topic, and how their rows meet what is stored."""

    since: Annotated[str | None, Parameter(help="First UTC day or time of sending, included.")] = None
    until: Annotated[str | None, Parameter(help="Last UTC day of sending, included; a time is not.")] = None
    from_: Annotated[str | None, Parameter(name="--from", help="First UTC day, or a time, of the payloads.")] = None
    to: Annotated[str | None, Parameter(name="--to", help="Last UTC day of the payloads, included; a time is not.")] = (
        None
    )
    topic: Annotated[
        str | None, Parameter(help="log, detail or replay, or a topic's whole name. Default: what the domain keeps.")
    ] = None
    partitions: Annotated[str | None, Parameter(help="Only these partitions, such as 0,2,5-7.")] = None
    from_offsets: Annotated[
        Path | None, Parameter(help="Begin at the offsets in a file, as `offsets reset` writes one.")
    ] = None
    mode: TopicMode = None
    clear: Clear = False
    limit: Annotated[int | None, Parameter(validator=SOME, help="At most so many records.")] = None
    rate: Annotated[int | None, Parameter(validator=SOME, help="At most so many records a second.")] = None

    apart: Annotated[
        bool,
        Parameter(negative="", help="Each record is a unit of its own: what a bug makes dead is that record alone."),
    ] = False

    def request(self, domain: "Domain") -> "Request":
        """As a request. UsageError for a range, a topic, partitions or a file that can't be."""
        from producers.source import Dated, Request
        from rederive.settings import Settings
        from rederive.topics import begins, logs, numbers

        start, end = span(self.since, self.until, ("--since", "--until"), until_today=False)
        dated = Dated(*span(self.from_, self.to, until_today=False))
        meeting = _meeting(self.mode, domain)
        prefix = Settings().topic_prefix
        chosen = logs(domain, prefix, self.topic)
        return Request(
            domain=domain.name,
            mode=meeting,
            columns=domain.scopes["all"],
            start=start,
            end=end,
            limit=self.limit,
            clear=check_clear(meeting, clear=self.clear),
            logs=chosen,
            partitions=numbers(self.partitions),
            begins=begins(domain, prefix, chosen, self.from_offsets),
            dated=dated if any(dated) else None,
            rate=self.rate,
            apart=self.apart,
        )


def replay_topic(
    domain: DomainName,
    *,
    asked: Asked | None = None,
    plan: Annotated[
        bool, Parameter(negative="", help="Print the plan (JSON on stdout) and do nothing; `apply` runs it.")
    ] = False,
    batch_size: BatchSize = 500,
    dry_run: DryRun = False,
    crew: Crew = USUAL,
    reason: Reason = "",
    yes: Yes = False,
    json: Json = False,
) -> int:
    """Recompute everything that a domain's log holds, after a bug fix.

    The end is what the log has now: what is sent later is live work. All columns are recomputed.

    Example: rederive replay-topic betfair --since 2026-02-06 --mode supersede --reason "lay odds were swapped"
    """
    from rederive import domains
    from schemas.domain import LOG

    request = (asked or Asked()).request(domains.find(domain))
    if plan:
        print_plan(request, LOG)
        return 0
    return plan_and_run(request, LOG, dry_run, reason, batch_size, crew, json, yes=yes)


def _meeting(mode: str | None, domain: "Domain") -> "Mode":
    """How recomputed rows meet what is stored. UsageError when the domain's rows meet none."""
    from schemas.errors import UsageError
    from schemas.table import Mode

    if not domain.inserts or mode == Mode.SHADOW:
        return Mode(mode or Mode.SUPERSEDE)
    if mode is not None:
        why = "its rows are written under a new capture, beside what is stored"
        raise UsageError(
            f"{domain.name} knows no --mode {mode}", why=why, mend="leave --mode out, or say --mode shadow"
        )
    return Mode.INSERT


def _no_option(_: object, file: Path) -> None:
    if str(file).startswith("-") and str(file) != "-":
        raise ValueError(f"it looks like an option, and there is none of that name; a file is said as ./{file}")


def apply(
    file: Annotated[
        Path,
        Parameter(
            allow_leading_hyphen=True,
            validator=_no_option,
            help="A plan as `rederive plan` printed it, or several, a line each; - reads stdin.",
        ),
    ],
    *,
    batch_size: BatchSize = 500,
    dry_run: DryRun = False,
    crew: Crew = USUAL,
    reason: Reason = "",
    yes: Yes = False,
    json: Json = False,
) -> int:
    """Run just what a plan says. A plan that no longer fits what is stored is refused, and nothing is sent.

    Of several plans, as `rederive gaps --fill` prints them, each is run when the one before is complete.
    """
    from rederive.plans import read_plans
    from rederive.replayer import Replayer
    from rederive.settings import Settings
    from schemas.errors import UsageError

    name = "stdin" if str(file) == "-" else str(file)
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except OSError as error:
        raise UsageError(f"{name} can't be read", why=str(error.strerror)) from None
    except UnicodeDecodeError:
        mend = "`rederive plan betfair > plan.json` makes one"
        raise UsageError(f"{name} is no plan", why="it is no text", mend=mend) from None
    made = read_plans(text, name)
    replayer = Replayer.of(Settings())
    for one in made:
        replayer.check(one)
        if one.request.get("clear") and not dry_run and not may_clear(one, yes=yes):
            return 1
    return max(_apply(replayer, one, dry_run, reason, batch_size, crew, json) for one in made)


def _apply(
    replayer: "Replayer", made: "Plan[Any]", dry_run: bool, reason: str, batch_size: int, crew: Crew, json: bool
) -> int:
    if dry_run:
        replayer.check_fits(made)
        if (code := shown(made, json=json)) is not None:
            return code
    with crew.ahead(made.domain) as spares:
        capture, head = replayer.mint(made, dry_run=dry_run, reason=reason, agents=crew.workers)
        return run(replayer, capture, batch_size, crew, json=json, head=head, spares=spares)
