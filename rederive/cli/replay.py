"""`rederive replay`, `replay-topic`, `plan` and `apply`: what to recompute, and recomputing it."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts
from cyclopts import Parameter, validators

from rederive.cli.app import app
from rederive.cli.running import (
    Agents,
    BatchSize,
    DryRun,
    From,
    Json,
    Reason,
    To,
    made_request,
    plan_and_run,
    run,
    say_plan,
)
from schemas.lane import DomainName

if TYPE_CHECKING:
    from producers.source import Request

replay = cyclopts.App(name="replay", help="Read stored payloads again, recompute their rows, merge them.")
plan = cyclopts.App(name="plan", help="Print a replay as a plan (JSON on stdout) and do nothing; `apply` runs it.")
app.command(replay)
app.command(plan)

Market = Annotated[tuple[str, ...], Parameter(name="--market", help="Only these markets.", negative="")]
Columns = Annotated[str, Parameter(help="tier-a, l1, l3, ladder, all, or column names; comma-separated.")]
AllRows = Annotated[bool, Parameter(negative="", help="Every row of the range, not only those with a NULL.")]
Limit = Annotated[int | None, Parameter(validator=validators.Number(gte=1), help="At most so many rows, oldest first.")]
ModeChoice = Annotated[
    Literal["fill", "supersede"] | None,
    Parameter(help="fill: only what is NULL. supersede: replace, after a bug fix. Default: the table's (fill)."),
]
TopicMode = Annotated[
    Literal["fill", "supersede"], Parameter(help="supersede: replace, after a bug fix. fill: only what is NULL.")
]


def _betfair(
    from_: str | None,
    to: str | None,
    market: tuple[str, ...],
    columns: str,
    mode: str | None,
    *,
    all_rows: bool,
    limit: int | None,
) -> "Request":
    from rederive.reports.columns import select
    from schemas.betfair import METRICS

    until = to or datetime.now(UTC).date().isoformat()
    wanted = tuple(sorted(select(columns), key=METRICS.index))
    return made_request(
        "betfair", mode, wanted, (from_, until), ("--from", "--to"), keys=market, all_rows=all_rows, limit=limit
    )


@replay.command(name="betfair")
def replay_betfair(
    *,
    from_: From = None,
    to: To = None,
    market: Market = (),
    columns: Columns = "all",
    all_rows: AllRows = False,
    limit: Limit = None,
    batch_size: BatchSize = 500,
    mode: ModeChoice = None,
    dry_run: DryRun = False,
    workers: Agents = None,
    reason: Reason = "",
    json: Json = False,
) -> int:
    """Recompute market_derived_metrics from the snapshots' raw_payload.

    Picks rows with a NULL among the columns in scope (a snapshot without a derived row counts as all NULL), oldest
    first, and fills what is NULL. Stored values stay, 0.0 too. Safe beside running ingestion; Ctrl+C at any time, then
    `rederive captures resume ID`.

    Example: rederive replay betfair --from 2026-02-06 --to 2026-02-13 --columns tier-a
    """
    request = _betfair(from_, to, market, columns, mode, all_rows=all_rows, limit=limit)
    return plan_and_run(request, "table", dry_run, reason, batch_size, workers, json)


@plan.command(name="betfair")
def plan_betfair(
    *,
    from_: From = None,
    to: To = None,
    market: Market = (),
    columns: Columns = "all",
    all_rows: AllRows = False,
    limit: Limit = None,
    mode: ModeChoice = None,
) -> None:
    """The plan of `rederive replay betfair` with the same options.

    Example: rederive plan betfair --columns l1 > plan.json && rederive apply plan.json
    """
    from rederive.replay import Replayer
    from rederive.settings import Settings

    request = _betfair(from_, to, market, columns, mode, all_rows=all_rows, limit=limit)
    made = Replayer.of(Settings()).plan(request, "table")
    say_plan(made)
    sys.stdout.write(made.model_dump_json() + "\n")


@app.command(name="replay-topic")
def replay_topic(
    domain: DomainName,
    *,
    since: Annotated[str | None, Parameter(help="First UTC day or time of sending, included.")] = None,
    until: Annotated[str | None, Parameter(help="Last UTC day of sending, included; a time is not.")] = None,
    mode: TopicMode = "supersede",
    limit: Annotated[int | None, Parameter(validator=validators.Number(gte=1), help="At most so many records.")] = None,
    batch_size: BatchSize = 500,
    dry_run: DryRun = False,
    workers: Agents = None,
    reason: Reason = "",
    json: Json = False,
) -> int:
    """Recompute everything that a domain's log holds, after a bug fix.

    The end is what the log has now: what is sent later is live work. All columns are recomputed.

    Example: rederive replay-topic betfair --since 2026-02-06 --mode supersede --reason "lay odds were swapped"
    """
    from schemas.registry import DOMAINS

    request = made_request(
        domain, mode, DOMAINS[domain].scopes["all"], (since, until), ("--since", "--until"), limit=limit
    )
    return plan_and_run(request, "log", dry_run, reason, batch_size, workers, json)


@app.command
def apply(
    file: Annotated[Path, Parameter(help="A plan as `rederive plan` printed it; - reads stdin.")],
    *,
    batch_size: BatchSize = 500,
    dry_run: DryRun = False,
    workers: Agents = None,
    reason: Reason = "",
    json: Json = False,
) -> int:
    """Run just what a plan says. A plan that no longer fits what is stored is refused, and nothing is sent."""
    from pydantic import ValidationError

    from rederive.replay import Replayer
    from rederive.settings import Settings
    from schemas.errors import UsageError
    from schemas.plan import Plan

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        made = Plan.model_validate_json(text)
    except OSError as error:
        raise UsageError(f"{file} can't be read", why=str(error.strerror)) from None
    except (ValidationError, UnicodeDecodeError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "it is no text"
        raise UsageError(f"{file} is no plan", why=why, mend="`rederive plan betfair > plan.json` makes one") from None
    replayer = Replayer.of(Settings())
    replayer.check(made)
    capture, head = replayer.mint(made, dry_run=dry_run, reason=reason)
    say_plan(head)
    return run(replayer, capture, batch_size, workers, json=json)
