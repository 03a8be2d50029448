"""How a command asks for a replay and runs it: the options they share, the range, what is said before and after."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cyclopts import Token

    from producers.source import Request
    from rederive.hours import Hours
    from rederive.replayer import Replayer
    from rederive.spares import Spares
    from schemas.capture import Capture
    from schemas.plan import PlanHead
    from schemas.table import Mode

_MOST = 2**63 - 1  # What Postgres counts to.
SOME = validators.Number(gte=1, lte=_MOST)
ANY_NUMBER = validators.Number(gte=0, lte=_MOST)

Json = Annotated[bool, Parameter(name="--json", negative="", help="End with one JSON object on stdout.")]
DryRun = Annotated[
    bool,
    Parameter(
        negative="",
        help="Write no row: compute and count, with a SELECT for the merge; some domains print the plan instead.",
    ),
]
From = Annotated[str | None, Parameter(name="--from", help="First UTC day (2026-02-06), or a time.")]
To = Annotated[str | None, Parameter(name="--to", help="Last UTC day, included; a time is not. Default: today.")]
BatchSize = Annotated[int, Parameter(validator=SOME, help="Rows a progress line, where there is no bar.")]


def _bounded(_: object, workers: int | None) -> None:
    if workers is not None:
        from rederive.settings import too_many_workers

        if why := too_many_workers(workers):
            raise ValueError(why)


def _hours(_: object, window: str | None) -> None:
    if window is not None:
        from rederive.hours import Hours

        Hours.read(window)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """How many processes a run starts, and when it sends; None is what the settings say, and at any time."""

    workers: Annotated[
        int | None,
        Parameter(
            validator=(validators.Number(gte=1), _bounded), help="Agents, at most 4 a core. Default: REDERIVE_WORKERS."
        ),
    ] = None
    sinks: Annotated[
        int | None, Parameter(validator=SOME, help="Sinks, no more than partitions. Default: REDERIVE_SINKS.")
    ] = None
    window: Annotated[
        str | None,
        Parameter(
            validator=_hours,
            help="Only send within these hours, such as 01:00-05:00, of the UTC day, or by a time zone named behind "
            "them; outside them the run pauses.",
        ),
    ] = None

    @property
    def hours(self) -> "Hours | None":
        """The window. UsageError when it is none."""
        if self.window is None:
            return None
        from rederive.hours import Hours

        return Hours.read(self.window)

    def ahead(self, domain: str) -> "Spares":
        """Workers that begin while the run is being planned; none for a run that will pause first."""
        from rederive.spares import Spares

        hours = self.hours
        return Spares() if hours and hours.opens(datetime.now(UTC)) else Spares.ahead(domain)


USUAL = Crew()


def _known(_: object, tokens: "Sequence[Token]") -> str:
    from rederive import domains

    return domains.known(tokens[0].value)


DomainName = Annotated[str, Parameter(converter=_known, help="A domain, such as betfair.")]
Clear = Annotated[
    bool,
    Parameter(
        negative="",
        help="With --mode supersede: what is computed as NULL, in the columns asked for, clears what is stored. Asks "
        "first, or needs --yes; a rollback undoes it.",
    ),
]
Yes = Annotated[bool, Parameter(negative="", help="Don't ask, where --clear would.")]
Outdated = Annotated[
    bool,
    Parameter(
        negative="",
        help="Plan just the ranges and columns whose formulas are newer than what computed them; several plans may be "
        "printed, a line each.",
    ),
]
Reason = Annotated[str, Parameter(help="Why, for the record.")]


def moment(text: str | None, option: str, *, end: bool) -> datetime | None:
    """A day or a time in UTC; of an end day, the start of the next. UsageError when it is neither."""
    from producers.source import end_of, start_of
    from schemas.errors import UsageError

    if text is None:
        return None
    mend = "write a UTC day such as 2026-02-06, or 2026-02-06T12:00:00+00:00"
    try:
        if day := _day(text):
            return end_of(day) if end else start_of(day)
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except ValueError:
        raise UsageError(f"{option} {text!r} is no date", mend=mend) from None
    except OverflowError:
        why = "in UTC it is outside the years 1 to 9999"
        raise UsageError(f"{option} {text!r} is out of range", why=why, mend=mend) from None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _today() -> date:
    """The UTC day it is."""
    return datetime.now(UTC).date()


def span(
    start: str | None, end: str | None, names: tuple[str, str] = ("--from", "--to"), *, until_today: bool = True
) -> tuple[datetime | None, datetime | None]:
    """A range of days or times, its end excluded; without an end it ends today, or with `until_today=False` nowhere.

    UsageError when one of them is no date, or the start is after the end.
    """
    from schemas.errors import UsageError

    first = moment(start, names[0], end=False)
    last = moment(end or (_today().isoformat() if until_today else None), names[1], end=True)
    if first and last and first >= last:
        why = f"{names[1]} is {end}" if end else f"without {names[1]} the range ends today, {_today()}"
        raise UsageError(f"{names[0]} {start} is after the end", why=why, mend="both ends belong to the range")
    if first and last is None and first > (now := datetime.now(UTC)):
        why = f"it is {now:%Y-%m-%d %H:%M:%S} UTC"
        raise UsageError(f"{names[0]} {start} is in the future", why=why, mend="both ends belong to the range")
    return first, last


def may_clear(asked: "PlanHead", *, yes: bool) -> bool:
    """Whether a replay may take stored values out: a person says so, on a terminal, or `--yes` has.

    UsageError, which says how many values that may be, where nobody can be asked.
    """
    import sys

    from rederive.cli.output import confirmed, stderr
    from rederive.replayer import Replayer
    from rederive.settings import Settings
    from schemas.errors import UsageError

    if yes:
        return True
    what = Replayer.of(Settings()).clears(asked)
    if not sys.stdin.isatty():
        raise UsageError(
            "--clear takes stored values out",
            why=what,
            mend="say --yes; --dry-run counts rows, `captures promote --clear` of a --mode shadow counts values",
        )
    stderr.print(what)
    return confirmed("replay, and clear what is computed as NULL?")


def asks_to_clear(request: "Request", source: str, *, yes: bool) -> bool:
    """As `may_clear`, of a request; True of one that clears nothing."""
    from rederive.clearing import head_of

    return not request.clear or may_clear(head_of(request, source), yes=yes)


def check_clear(mode: "Mode", *, clear: bool) -> bool:
    """`clear` itself. UsageError for a mode that clears nothing."""
    from schemas.errors import UsageError
    from schemas.table import Mode

    if clear and mode is not Mode.SUPERSEDE:
        mend = "say --mode supersede"
        if mode is Mode.SHADOW:
            mend = "leave it out here, and say it when promoting: `rederive captures promote ID --clear`"
        raise UsageError("--clear is of no use here", why=f"the mode is {mode}", mend=mend)
    return clear


def plan_and_run(
    request: "Request",
    source: str,
    dry_run: bool,
    reason: str,
    batch_size: int,
    crew: Crew,
    json: bool,
    *,
    yes: bool = False,
) -> int:
    """Mint a capture of what the request means now, say so, and run it; the exit code."""
    from rederive.cli.plans import shown
    from rederive.spares import Spares

    if not dry_run and not asks_to_clear(request, source, yes=yes):
        return 1

    # A dry run may do no more than print its plan.
    with Spares() if dry_run else crew.ahead(request.domain) as spares:
        from rederive.replayer import Replayer
        from rederive.settings import Settings

        replayer = Replayer.of(Settings())
        if dry_run:
            made = replayer.plan(request, source)
            if (code := shown(made, json=json)) is not None:
                return code
        capture, head = replayer.mint(request, source, dry_run=dry_run, reason=reason, agents=crew.workers)
        return run(replayer, capture, batch_size, crew, json=json, head=head, spares=spares)


def run(
    replayer: "Replayer",
    capture: "Capture",
    batch_size: int,
    crew: Crew,
    *,
    json: bool,
    head: "PlanHead | None" = None,
    spares: "Spares | None" = None,
) -> int:
    """Run a capture with progress on stderr and its result on stdout, said to do what `head` says; the exit code."""
    from rederive.cli.output import print_json, stderr, stdout
    from rederive.cli.plans import say_plan
    from rederive.progress import counts, shown
    from rederive.run import TakenOverError
    from schemas.errors import RederiveError

    again = f"rederive captures resume {capture.capture_id}" + (f" --window '{crew.window}'" if crew.window else "")
    try:
        if head is not None:
            say_plan(head)
        with shown(stderr, batch_size) as listener:
            report = replayer.run(capture, listener, crew.workers, crew.sinks, spares, crew.hours)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"go on with: {again}") from None
    except TakenOverError:
        raise
    except RederiveError as error:
        own = capture.capture_id in error.mend
        go_on = "" if own else f"; go on with: {again}"
        stderr.print(f"what is merged stays{go_on}")
        raise
    if json:
        print_json(report.describe())
    else:
        text = counts(report.progress)
        if report.dry_run:
            text = text.replace("updated", "would be updated (dry run)").replace(
                "new rows", "rows would be new (dry run)"
            )
        stdout.print(f"{report.capture_id}: {text}")
    return report.exit_code
