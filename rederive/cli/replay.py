"""`rederive replay`, `replay-topic`, `plan` and `apply`: what to recompute, and recomputing it."""

import signal
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts
from cyclopts import Parameter, validators

from rederive.cli.app import app

if TYPE_CHECKING:
    from producers.source import Request
    from rederive.replay import Replayer
    from schemas.capture import Capture
    from schemas.plan import PlanHead

replay = cyclopts.App(name="replay", help="Read stored payloads again, recompute their rows, merge them.")
plan = cyclopts.App(name="plan", help="Print a replay as a plan (JSON on stdout) and do nothing; `apply` runs it.")
app.command(replay)
app.command(plan)

Json = Annotated[bool, Parameter(name="--json", negative="", help="End with one JSON object on stdout.")]
DryRun = Annotated[
    bool, Parameter(negative="", help="Compute and count as ever, with a SELECT in place of the merge; writes no row.")
]
From = Annotated[str | None, Parameter(name="--from", help="First UTC day (2026-02-06), or a time.")]
To = Annotated[str | None, Parameter(name="--to", help="Last UTC day, included; a time is not. Default: today.")]
Market = Annotated[tuple[str, ...], Parameter(name="--market", help="Only these markets.", negative="")]
Columns = Annotated[str, Parameter(help="tier-a, l1, l3, ladder, all, or column names; comma-separated.")]
AllRows = Annotated[bool, Parameter(negative="", help="Every row of the range, not only those with a NULL.")]
Limit = Annotated[int | None, Parameter(validator=validators.Number(gte=1), help="At most so many rows, oldest first.")]
BatchSize = Annotated[
    int, Parameter(validator=validators.Number(gte=1), help="Rows a progress line, where there is no bar.")
]
ModeChoice = Annotated[
    Literal["fill", "supersede"] | None,
    Parameter(help="fill: only what is NULL. supersede: replace, after a bug fix. Default: the table's (fill)."),
]
TopicMode = Annotated[
    Literal["fill", "supersede"], Parameter(help="supersede: replace, after a bug fix. fill: only what is NULL.")
]
Agents = Annotated[
    int | None,
    Parameter(name="--workers", validator=validators.Number(gte=1), help="Agents. Default: REDERIVE_WORKERS."),
]
Reason = Annotated[str, Parameter(help="Why, for the record.")]


def moment(text: str | None, option: str, *, end: bool) -> datetime | None:
    """A day or a time in UTC; of an end day, the start of the next. UsageError when it is neither."""
    from schemas.errors import UsageError

    if text is None:
        return None
    try:
        if len(text) == len("2026-02-06"):
            day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            return day + timedelta(days=1) if end else day
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is no date", mend="write a UTC day such as 2026-02-06, or 2026-02-06T12:00:00+00:00"
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _request(
    domain: str,
    mode: str | None,
    columns: tuple[str, ...],
    span: tuple[str | None, str | None],
    names: tuple[str, str],
    **more: object,
) -> "Request":
    from producers.source import Request
    from schemas.errors import UsageError
    from schemas.registry import DOMAINS
    from schemas.table import Mode

    start = moment(span[0], names[0], end=False)
    end = moment(span[1], names[1], end=True)
    if start and end and start >= end:
        raise UsageError(
            f"{names[0]} {span[0]} is after {names[1]} {span[1]}", mend="name the earlier one first: both ends belong"
        )
    spec = DOMAINS[domain]
    return Request(
        domain=domain,
        mode=Mode(mode) if mode else spec.tables[0].policy,
        columns=columns,
        start=start,
        end=end,
        **more,  # type: ignore[arg-type]
    )


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
    return _request(
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
    return _plan_and_run(request, "table", dry_run, reason, batch_size, workers, json)


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
    made = Replayer.of(Settings()).plan(request)
    say_plan(made)
    sys.stdout.write(made.model_dump_json() + "\n")


@app.command(name="replay-topic")
def replay_topic(
    domain: Literal["betfair"],
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

    request = _request(domain, mode, DOMAINS[domain].scopes["all"], (since, until), ("--since", "--until"), limit=limit)
    return _plan_and_run(request, "log", dry_run, reason, batch_size, workers, json)


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


def say_plan(made: "PlanHead") -> None:
    """What a plan will do, for a person, on stderr."""
    import logging

    log = logging.getLogger("rederive.replay")
    noun = "rows needing backfill" if made.source == "table" else "records to replay"
    log.info("Found %d %s", made.found, noun)
    start, end = made.request["start"] or "the beginning", made.request["end"] or "now"
    log.info(
        "%s from %s to %s (end excluded): %d units, %s, derivation version %d, %d columns",
        made.domain,
        start,
        end,
        made.unit_count,
        made.mode,
        made.derivation_version,
        len(made.columns),
    )
    if nulls := {name: count for name, count in made.nulls.items() if count}:
        most = sorted(nulls.items(), key=lambda item: -item[1])[:6]
        more = f" and {len(nulls) - len(most)} more" if len(nulls) > len(most) else ""
        log.info("NULLs among them: %s%s", ", ".join(f"{name} {count}" for name, count in most), more)
    for note in made.notes:
        log.warning("%s", note)


def _plan_and_run(
    request: "Request", source: str, dry_run: bool, reason: str, batch_size: int, agents: int | None, json: bool
) -> int:
    from rederive.replay import Replayer
    from rederive.settings import Settings

    replayer = Replayer.of(Settings())
    capture, head = replayer.mint(request, source, dry_run=dry_run, reason=reason)
    say_plan(head)
    return run(replayer, capture, batch_size, agents, json=json)


def run(replayer: "Replayer", capture: "Capture", batch_size: int, agents: int | None, *, json: bool) -> int:
    """Run a capture with progress on stderr and its result on stdout; the exit code."""
    from rederive.cli.output import print_json, stderr, stdout
    from rederive.progress import counts, shown
    from rederive.run import TakenOverError
    from schemas.errors import RederiveError

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    # A service manager's stop is a person's Ctrl+C.
    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        with shown(stderr, batch_size) as listener:
            report = replayer.run(capture, listener, agents)
    except KeyboardInterrupt:
        stderr.print(f"interrupted; go on with: rederive captures resume {capture.capture_id}")
        raise
    except TakenOverError:
        raise
    except RederiveError:
        stderr.print(f"what is merged stays; go on with: rederive captures resume {capture.capture_id}")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if json:
        print_json(report.describe())
    else:
        verb = "would be updated (dry run)" if report.dry_run else "updated"
        text = counts(report.progress).replace("updated", verb, 1)
        stdout.print(f"{report.capture_id}: {text}")
    return report.exit_code
