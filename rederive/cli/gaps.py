"""`rederive gaps`: what is missing of a domain, and the plans that close it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rederive.cli.plans import print_plans
from rederive.cli.running import DomainName, From, Json, span

if TYPE_CHECKING:
    from producers.gap import Gap
    from producers.source import Request
    from schemas.domain import Domain

_LISTED = 20


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What of a domain is looked at."""

    from_: From = None
    to: Annotated[str | None, Parameter(name="--to", help="Last UTC day, included. Default: today.")] = None
    key: Annotated[
        tuple[str, ...],
        Parameter(name="--key", help="Only these: the domain's own names, markets or tiers.", negative=""),
    ] = ()
    kind: Annotated[
        tuple[str, ...], Parameter(name="--kind", help="Only these kinds of payloads, such as results.", negative="")
    ] = ()
    option: Annotated[
        tuple[str, ...], Parameter(name="--option", help="NAME=VALUE: the domain's own words.", negative="")
    ] = ()
    outdated: Annotated[bool, Parameter(negative="", help="Rows, too, that older formulas have computed.")] = False
    only: Annotated[
        tuple[str, ...], Parameter(name="--only", help="Only gaps of these kinds, such as missing.", negative="")
    ] = ()

    def request(self, domain: "Domain") -> "Request":
        """As a request. UsageError for a range that can't be one."""
        from rederive.cli.generic import options_of
        from rederive.gaps import usual_request

        start, end = span(self.from_, self.to, until_today=self.to is not None)
        return usual_request(domain, start, end, keys=self.key, kinds=self.kind, options=options_of(self.option))

    def filling(self, domain: str, kind: str) -> str:
        """The command that fills a kind of gap of what was asked for."""
        from rederive.gaps import fill_command

        words: list[str] = []
        for name, value in (("--from", self.from_), ("--to", self.to)):
            words += [name, value] if value else []
        for name, values in (("--key", self.key), ("--kind", self.kind), ("--option", self.option)):
            words += [word for value in values for word in (name, value)]
        words += ["--outdated"] if self.outdated else []
        return fill_command(domain, kind, words)


def gaps(
    domain: DomainName,
    /,
    *,
    asked: Asked | None = None,
    fill: Annotated[
        bool, Parameter(negative="", help="Print the plans that close just these, a line each; change nothing.")
    ] = False,
    json: Json = False,
) -> int:
    """List what is missing of a domain: a calendar, totals, and the command that fills each kind of gap.

    Nothing is changed, and no API is asked. Exit: 0 when there is no gap, 1 when there are some; 0 with --fill.

    Example: rederive gaps betfair --from 2026-02-01 --fill | rederive apply -
    """
    from producers.gap import KINDS
    from rederive import domains
    from rederive.cli.output import print_json
    from rederive.gaps import gaps as look
    from rederive.replayer import Replayer
    from rederive.settings import Settings
    from schemas.errors import UsageError

    given, of = asked or Asked(), domains.find(domain)
    request = given.request(of)
    replayer = Replayer.of(Settings())
    found = look(replayer, of, request, outdated=given.outdated, only=given.only)
    # A domain may have kinds of its own.
    if not found and (unknown := sorted({*given.only} - {*KINDS})):
        raise UsageError(f"--only {unknown[0]} is no kind of gap", mend=f"kinds are {', '.join(KINDS)}")
    if fill:
        print_plans(replayer, of, request, found)
        return 0
    if json:
        print_json([gap.describe() for gap in found])
    else:
        _show(given, request, domain, found)
    return int(bool(found))


def _show(asked: Asked, request: "Request", domain: str, found: "Sequence[Gap]") -> None:
    from producers.gap import KINDS
    from rederive.cli.calendar import NOTHING, SEVERAL, calendar, sign_of
    from rederive.cli.output import stdout

    if not found:
        stdout.print(f"No gaps of {domain}", style="bold", markup=False)
        return
    stdout.print(f"Gaps of {domain}", style="bold", markup=False)
    first = request.start.date() if request.start else None
    last = (request.end - timedelta(microseconds=1)).date() if request.end else None
    for line in calendar(found, first, last):
        stdout.print(line)
    _list(found)
    for kind in dict.fromkeys(gap.kind for gap in found):
        of_kind = [gap for gap in found if gap.kind == kind]
        meaning = f", {KINDS[kind].meaning}" if kind in KINDS else ""
        stdout.print(f"{sign_of(kind)}  {kind}{meaning}: {_total(of_kind)}", markup=False)
        if any(gap.fill for gap in of_kind):
            stdout.print(f"   {asked.filling(domain, kind)}", markup=False)
        for mend in list(dict.fromkeys(gap.mend for gap in of_kind if not gap.fill))[:3]:
            stdout.print(f"   {mend}", markup=False)
    stdout.print(f"{NOTHING}  no gap   {SEVERAL}  gaps of several kinds", markup=False)


def _total(found: "Sequence[Gap]") -> str:
    from schemas.words import counted

    counts: dict[str, int] = {}
    for gap in found:
        counts[gap.of] = counts.get(gap.of, 0) + gap.count
    days = {gap.day for gap in found if gap.day is not None}
    of = counted(len(days), "week" if all(gap.days == 7 for gap in found) else "day")
    rows = ", ".join(counted(count, one) for one, count in counts.items())
    return f"{rows} of {of}" if days else rows


def _list(found: "Sequence[Gap]") -> None:
    """The first gaps, days on end of one kind, part and reason as one."""
    from rederive.cli.output import print_table, stdout

    alike = sorted(found, key=lambda gap: (gap.kind, gap.part, gap.why, gap.of, gap.days, gap.day or date.min))
    rows = []
    for (kind, part, why, of, days), group in groupby(
        alike, key=lambda gap: (gap.kind, gap.part, gap.why, gap.of, gap.days)
    ):
        run: list[Gap] = []
        for gap in [*group, None]:
            if gap is None or (run and not (gap.day and run[-1].day and (gap.day - run[-1].day).days == days)):
                rows.append((run[0].day, run[-1].day, kind, part, sum(one.count for one in run), of, why))
                run = []
            run += [gap] if gap else []
    rows.sort(key=lambda row: (row[0] is None, row[0] or date.min))
    shown = [("-" if first is None else first, "-" if last is None else last, *others) for first, last, *others in rows]
    print_table("", ["first", "last", "kind", "part", "count", "of", "why"], shown[:_LISTED], left=(0, 1, 2, 3, 5, 6))
    if len(rows) > _LISTED:
        stdout.print(f"and {len(rows) - _LISTED:,} more: --json lists all", markup=False)
    stdout.print()
