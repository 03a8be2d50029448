"""`rederive replay racing` and `plan racing`: race days from the API, or from what is kept of them."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from rederive.cli.plans import print_outdated, print_plan, say_plan
from rederive.cli.running import USUAL, Clear, Crew, Json, Outdated, Reason, Yes, asks_to_clear, check_clear, run, span

if TYPE_CHECKING:
    from producers.source import Request
    from rederive.replayer import Replayer
    from schemas.plan import Plan

From = Annotated[str | None, Parameter(name="--from", help="First race day, such as 2015-01-01.")]
To = Annotated[str | None, Parameter(name="--to", help="Last race day, included. Default: today (UTC).")]
Regions = Annotated[
    tuple[str, ...], Parameter(name="--regions", help="Region codes.", consume_multiple=True, negative="")
]
NoRacecards = Annotated[bool, Parameter(negative="", help="Leave the racecards out.")]
NoResults = Annotated[bool, Parameter(negative="", help="Leave the results out.")]
SkipMasters = Annotated[bool, Parameter(negative="", help="Don't ask for courses and regions.")]
OnlyMasters = Annotated[bool, Parameter(negative="", help="Courses, regions and bookmakers, no race day.")]
Refetch = Annotated[bool, Parameter(negative="", help="Ask the API for days that are kept, too: results are amended.")]
Enrich = Annotated[
    bool, Parameter(negative="", help="Then ask for each horse's detail: a request a horse, half a second each.")
]

ModeChoice = Annotated[
    Literal["fill", "supersede", "shadow"] | None,
    Parameter(
        help="supersede (default): what was observed later wins. fill: only what is NULL. shadow: as supersede, but "
        "served only once it is promoted."
    ),
]


def _days(from_: str | None, to: str | None) -> tuple[datetime, datetime]:
    """From the start of the first race day to the end of the last, in UTC."""
    from producers.racing.days import last_day
    from rederive.racing.days import check_days
    from schemas.errors import UsageError

    if from_ is None:
        raise UsageError("--from is missing: the first race day", mend="results reach back to 2015-01-01")
    for option, text in (("--from", from_), ("--to", to)):
        if text is not None and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise UsageError(f"{option} {text!r} is no race day", mend="write a day such as 2015-01-31")
    start, end = span(from_, to)
    assert start is not None
    assert end is not None
    check_days(start.date(), last_day(end))
    return start, end


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which race days, and what of them."""

    from_: From = None
    to: To = None
    regions: Regions = ("gb", "ire")
    no_racecards: NoRacecards = False
    no_results: NoResults = False
    skip_masters: SkipMasters = False
    only_masters: OnlyMasters = False
    refetch: Refetch = False
    enrich: Enrich = False
    mode: ModeChoice = None
    clear: Clear = False

    def request(self) -> "Request":
        """As a request. UsageError when the words leave nothing to do, or a date can't be one."""
        from schemas.errors import UsageError

        if self.skip_masters and self.only_masters:
            raise UsageError("--skip-masters and --only-masters leave nothing to do", mend="say one of them")
        kinds = [] if self.skip_masters else ["masters"]
        if not self.only_masters:
            kinds += _day_kinds(no_racecards=self.no_racecards, no_results=self.no_results)
            kinds += ["horse"] if self.enrich else []
        days = None if self.only_masters else _days(self.from_, self.to)
        return _request(kinds, self.regions, days, refetch=self.refetch, mode=self.mode, clear=self.clear)


def _day_kinds(*, no_racecards: bool, no_results: bool) -> list[str]:
    from schemas.errors import UsageError

    if no_racecards and no_results:
        why = "without racecards and results there is no race day"
        raise UsageError("--no-racecards and --no-results are too much", why=why, mend="say one of them")
    return [*([] if no_racecards else ["racecards"]), *([] if no_results else ["results"])]


def _request(
    kinds: list[str],
    regions: tuple[str, ...],
    days: tuple[datetime, datetime] | None,
    *,
    refetch: bool = False,
    only_missing: bool = False,
    mode: str | None = None,
    clear: bool = False,
) -> "Request":
    from producers.source import Request
    from schemas.errors import UsageError
    from schemas.racing.tables import RACING
    from schemas.table import Mode

    codes = tuple(sorted({code.lower() for word in regions for code in word.split(",") if code}))
    if not codes:
        raise UsageError("--regions names no region", mend="say --regions gb ire")
    start, end = days or (None, None)
    meeting = Mode(mode) if mode else RACING.tables[0].policy
    return Request(
        domain=RACING.name,
        mode=meeting,
        columns=RACING.scopes["all"],
        start=start,
        end=end,
        keys=codes,
        kinds=tuple(kinds),
        refetch=refetch,
        only_missing=only_missing,
        clear=check_clear(meeting, clear=clear),
    )


def replay_racing(
    *,
    asked: Asked | None = None,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Print what would be done, by month; ask for nothing.")
    ] = False,
    check_status: Annotated[
        bool, Parameter(negative="", help="Print days, chunks, calls, hours and what is done; ask for nothing.")
    ] = False,
    crew: Crew = USUAL,
    reason: Reason = "",
    yes: Yes = False,
    json: Json = False,
) -> int:
    """Fill the racing tables from race days.

    A day that isn't kept is asked of The Racing API, 2 requests a second, and kept on the racing log; a kept day is
    read again from there, without the API. A day that was fetched before it was over is asked for again. Ctrl+C at any
    time, then `rederive captures resume ID`. RACING_API_USERNAME and RACING_API_PASSWORD are needed where anything is
    to be asked for.

    Example: rederive replay racing --from 2015-01-01
    """
    request = (asked or Asked()).request()
    if check_status:
        return _check_status(request, json=json)
    if dry_run:
        return show_plan(_plan(request), json=json)
    if not asks_to_clear(request, "api", yes=yes):
        return 1
    return _run(request, reason, crew, json=json)


def plan_racing(*, asked: Asked | None = None, outdated: Outdated = False) -> None:
    """The plan of `rederive replay racing` with the same options.

    Example: rederive plan racing --from 2024-05-01 --to 2024-05-31 > plan.json && rederive apply plan.json
    """
    request = (asked or Asked()).request()
    if outdated:
        kinds = tuple(kind for kind in request.kinds if kind in ("racecards", "results"))
        print_outdated(replace(request, kinds=kinds))
    else:
        print_plan(request, "api")


def _replayer() -> "Replayer":
    from rederive.replayer import Replayer
    from rederive.settings import Settings

    return Replayer.of(Settings())


def _plan(request: "Request") -> "Plan[Any]":
    return _replayer().plan(request, "api")


def _run(request: "Request", reason: str, crew: Crew, *, json: bool) -> int:
    replayer = _replayer()
    _check_asking(replayer, request)
    capture, head = replayer.mint(request, "api", dry_run=False, reason=reason, agents=crew.workers)
    return run(replayer, capture, 500, crew, json=json, head=head)


def _check_asking(replayer: "Replayer", request: "Request") -> None:
    """Before a capture is made, if something is to be asked for: Failed without credentials, UsageError for regions."""
    from producers.racing.locators import Ask
    from producers.racing.settings import RacingSettings
    from rederive.database import connect
    from rederive.racing.regions import check_regions

    if not any(isinstance(unit.locator, Ask) for unit in replayer.plan(request, "api", dry=False).units):
        return
    RacingSettings()
    check_regions(request.keys, lambda: connect(replayer.database_url, application="rederive regions"))


def show_plan(made: "Plan[Any]", *, json: bool) -> int:
    """Print what a plan would do, by month: racing's dry run."""
    from rederive.cli.output import print_json, print_table
    from rederive.racing.days import months

    if json:
        print_json(made.model_dump(mode="json"))
        return 0
    say_plan(made)
    print_table(
        "What a replay would do",
        ["month", "racecards to ask for", "results to ask for", "other", "kept records to read again"],
        months(made),
    )
    return 0


def _check_status(request: "Request", *, json: bool) -> int:
    from rederive.cli.output import print_json, stdout
    from rederive.racing.days import status

    found = status(_replayer(), request)
    if json:
        print_json(found)
        return 0
    for name, value in found.items():
        stdout.print(f"{name.replace('_', ' '):24}{value}", markup=False)
    return 0


def racing_verify(*, json: Json = False) -> None:
    """Count the racing tables, show races per year and coverage, and what to look at; nothing is changed."""
    from dataclasses import asdict

    from rederive.cli.output import print_json, print_table, stdout
    from rederive.database import opened
    from rederive.racing.verify import verify

    with opened("the verification") as connection:
        found = verify(connection)
    if json:
        print_json(asdict(found))
    else:
        print_table("Rows", ["", "count"], list(found.counts.items()))
        stdout.print()
        print_table("Races per year", ["year", "races"], found.years)
        coverage = [(found.total_races, found.races_with_runners, found.coverage_pct)]
        stdout.print()
        print_table("Coverage", ["total_races", "races_with_runners", "coverage_pct"], coverage)
        checks = [(one.name, one.count, ", ".join(one.examples)) for one in found.checks]
        stdout.print()
        print_table("Worth a look", ["", "count", "the first"], checks, left=(0, 2))
        headlines = [(one.figure, one.announced, one.here) for one in found.headlines]
        stdout.print()
        print_table("Against the figures announced for 2015 to 2025-10", ["", "announced", "here"], headlines)
