"""`rederive replay finra` and `plan finra`: weekly files, or what is stored of them, through the stages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token

from rederive.cli.plans import print_outdated, print_plan, say_plan
from rederive.cli.running import USUAL, Crew, Json, Outdated, Reason, plan_and_run, span

if TYPE_CHECKING:
    from producers.source import Request
    from rederive.replayer import Replayer
    from schemas.plan import Plan

From = Annotated[str | None, Parameter(name="--from", help="First day; the weeks are those that end in the range.")]
To = Annotated[str | None, Parameter(name="--to", help="Last day, included. Default: today (UTC).")]


def _folder(_: object, tokens: Sequence[Token]) -> Path:
    if not tokens[0].value:
        # Path would take it for the folder that one stands in.
        raise ValueError("the name of a folder or file is wanted")
    return Path(tokens[0].value)


Folder = Annotated[
    Path | None, Parameter(converter=_folder, help="Folder of weekly files (.csv, .psv, also .gz), or one file.")
]
Tiers = Annotated[
    tuple[str, ...],
    Parameter(
        name="--tier",
        help="Tiers; none: all that are there. A single one is also that of files whose names say none.",
        consume_multiple=True,
        negative="",
    ),
]
Calcs = Annotated[
    tuple[str, ...],
    Parameter(
        name="--calc", help="Stages and calculations; none: all that follow.", consume_multiple=True, negative=""
    ),
]
CalcVersion = Annotated[str | None, Parameter(help="Version of the calculations named. Default: the current one.")]
InputCapture = Annotated[str | None, Parameter(help="Read this capture, a run's or a partition's, not the latest.")]
FileDate = Annotated[str | None, Parameter(help="Day of publication of the files, where their names don't say it.")]
Force = Annotated[bool, Parameter(negative="", help="Compute also what has been computed of the same input.")]
TakeNewest = Annotated[
    bool, Parameter(negative="", help="Of several files of one week and tier take the newest (by file date, then age).")
]
NoRejectZeroVolume = Annotated[bool, Parameter(negative="", help="Keep rows that have neither shares nor trades.")]

ModeChoice = Annotated[
    Literal["insert", "shadow"] | None,
    Parameter(help="insert (default): new captures are what is read. shadow: only once they are promoted."),
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which weeks and tiers, from where, and what of them."""

    from_: From = None
    to: To = None
    source: Folder = None
    tier: Tiers = ()
    calc: Calcs = ()
    calc_version: CalcVersion = None
    input_capture: InputCapture = None
    file_date: FileDate = None
    take_newest: TakeNewest = False
    force: Force = False
    no_reject_zero_volume: NoRejectZeroVolume = False
    mode: ModeChoice = None

    @property
    def source_name(self) -> str:
        """Which source that means."""
        return "files" if self.source is not None else "table"

    def request(self) -> "Request":
        """As a request. UsageError when a name, version or date is unknown, or the words don't go together."""
        from producers.source import Request
        from schemas.errors import UsageError
        from schemas.finra.tables import FINRA
        from schemas.table import Mode

        if self.source is None and self.from_ is None and self.input_capture is None:
            why = "without --source the stages read what is stored"
            raise UsageError("--from is missing: the first day of the range", why=why, mend="say --from 2025-01-01")
        self._check_words()
        start, end = span(self.from_, self.to, until_today=self.from_ is not None)
        options: dict[str, object] = {
            "source": str(self.source.absolute()) if self.source else None,
            "calc_version": self.calc_version,
            "input_capture": self.input_capture,
            "file_date": self._file_date(),
            "take_newest": self.take_newest,
            "force": self.force,
            "reject_zero_volume": not self.no_reject_zero_volume,
        }
        return Request(
            domain=FINRA.name,
            mode=Mode(self.mode) if self.mode else FINRA.tables[0].policy,
            columns=FINRA.scopes["all"],
            start=start,
            end=end,
            keys=self._tiers(),
            kinds=self._calcs(),
            options=options,
        )

    def _check_words(self) -> None:
        from schemas.errors import UsageError

        if self.input_capture == "":
            raise UsageError("--input-capture names no capture", mend="`rederive captures list` shows them")
        if self.source is not None and self.input_capture is not None:
            raise UsageError(
                "--source and --input-capture don't go together", mend="say what is to be read: one of them"
            )
        if self.source is not None and not self.source.exists():
            raise UsageError(f"--source {self.source} does not exist", mend="name a folder of weekly files")
        if self.source is None and self.file_date is not None:
            raise UsageError("--file-date is for files", mend="say --source, or leave it out")
        if self.source is None and self.take_newest:
            raise UsageError("--take-newest is for files", mend="say --source, or leave it out")

    def _tiers(self) -> tuple[str, ...]:
        from schemas.errors import UsageError
        from schemas.finra.partition import tier_code

        try:
            codes = [tier_code(tier) for word in self.tier for tier in word.split(",") if tier]
        except ValueError as error:
            raise UsageError(f"--tier: {error}") from None
        if self.tier and not codes:
            raise UsageError("--tier names no tier", mend="name one, or leave --tier out for all that are there")
        return tuple(dict.fromkeys(codes))

    def _file_date(self) -> str | None:
        from schemas.errors import UsageError
        from schemas.finra.partition import parse_date

        if self.file_date is None:
            return None
        day = parse_date(self.file_date)
        if day is None:
            raise UsageError(f"--file-date {self.file_date!r} is no date", mend="write a day such as 2025-12-29")
        return day.isoformat()

    def _calcs(self) -> tuple[str, ...]:
        """The names, checked with their version."""
        from schemas.errors import UsageError
        from schemas.finra.units import RawUnit
        from schemas.finra.versions import CALCS, Stage, version_to_write, work_of

        names = tuple(name for word in self.calc for name in word.split(",") if name)
        if self.calc and not names:
            raise UsageError("--calc names no calculation", mend="name one, or leave --calc out for all that follow")
        if self.calc_version is not None and not names:
            raise UsageError("--calc-version needs --calc", mend="name the calculation, such as --calc venue_share")
        try:
            work = work_of(names)
            for calc in sorted(work & CALCS.keys()):
                _warn(calc, version_to_write(calc, self.calc_version))
        except ValueError as error:
            raise UsageError(f"--calc {' '.join(names)}: {error}") from None
        if self.calc_version is not None and not work & CALCS.keys():
            raise UsageError(f"{' '.join(names)} has no versions", mend="leave --calc-version out")
        if Stage.INGEST in work and self.source is None:
            raise UsageError("ingest_week reads files", mend="say --source FOLDER")
        if names and self.input_capture is not None and not work & RawUnit.CAN:
            why = "tier split, rolling figures and snapshots read the latest captures of several stages"
            raise UsageError(f"--input-capture is not for {' '.join(names)}", why=why, mend="leave it out")
        return names


def _warn(calc: str, version: str) -> None:
    import logging

    from schemas.finra.versions import check_deprecation_warning

    if warning := check_deprecation_warning(calc, version):
        logging.getLogger("rederive.replayer").warning("%s", warning)


def replay_finra(
    *,
    asked: Asked | None = None,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Print what would be done, with an estimate; write and send nothing.")
    ] = False,
    crew: Crew = USUAL,
    reason: Reason = "",
    json: Json = False,
) -> int:
    """Derive FINRA's tables from weekly files, or with no --source from what is stored of them.

    Everything is written under a new capture, nothing is overwritten. What has been computed of the same input is
    passed over. Stages that follow, tier splits, rolling figures and snapshots, are computed as they become due. Ctrl+C
    at any time, then `rederive captures resume ID`. A dry run with files that can't be used names them, and exits 1.

    Example: rederive replay finra --source weekly/ --from 2025-01-01 --to 2025-12-31
    """
    given = asked or Asked()
    request = given.request()
    if dry_run:
        return show_plan(_replayer().plan(request, given.source_name), json=json)
    return plan_and_run(request, given.source_name, False, reason, 10_000, crew, json)


def plan_finra(*, asked: Asked | None = None, outdated: Outdated = False) -> None:
    """The plan of `rederive replay finra` with the same options.

    Example: rederive plan finra --from 2025-01-01 --calc venue_share --calc-version v2 > plan.json
    """
    given = asked or Asked()
    if outdated:
        print_outdated(replace(given.request(), kinds=()))
    else:
        print_plan(given.request(), given.source_name)


def _replayer() -> "Replayer":
    from rederive.replayer import Replayer
    from rederive.settings import Settings

    return Replayer.of(Settings())


def checklist(made: "Plan[Any]") -> list[tuple[str, str]]:
    """What of a plan's checklist is FINRA's own: weeks, tiers, versions, and what it comes to."""
    from producers.finra.estimate import estimate
    from schemas.words import counted

    found = estimate(made)
    weeks = f"{found.weeks[0]} to {found.weeks[-1]}, {counted(len(found.weeks), 'week')}" if found.weeks else "none"
    said = [
        ("only", f"tiers {', '.join(found.tiers)}" if found.tiers else "no tier"),
        ("weeks", weeks),
        ("versions", ", ".join(f"{calc} {version}" for calc, version in found.versions.items()) or "none are computed"),
        ("rows", f"{counted(found.rows, 'row')}, rows × calcs × versions: {found.results:,}"),
        ("captures", f"{found.captures:,} of partitions, in one run"),
        ("then due", f"up to {found.follow_ups:,} tier splits, rolling figures and snapshots"),
    ]
    return said + ([("can't be used", counted(found.refused, "file"))] if found.refused else [])


def show_plan(made: "Plan[Any]", *, json: bool) -> int:
    """Print what a plan would do, with an estimate: FINRA's dry run."""
    from dataclasses import asdict

    from producers.finra.estimate import estimate
    from rederive.cli.output import print_json, print_table, stdout
    from schemas.words import counted

    found = estimate(made)
    code = int(found.refused > 0)
    if json:
        print_json({**asdict(found), "notes": list(made.notes), "request": made.request})
        return code
    say_plan(made)
    print_table("What a replay would do", ["month", "weeks", "files", "stored stages", "rows"], found.months)
    stdout.print()
    weeks = f"{found.weeks[0]} to {found.weeks[-1]} ({len(found.weeks):,})" if found.weeks else "none"
    said = {
        "weeks": weeks,
        "tiers": ", ".join(found.tiers) or "none",
        "versions": ", ".join(f"{calc} {version}" for calc, version in found.versions.items()),
        "new captures": f"{found.captures:,} of partitions, in one run",
        "rows × calcs × versions": f"{found.results:,} ({counted(found.rows, 'row')})",
        "then become due": f"up to {found.follow_ups:,} tier splits, rolling figures and snapshots",
        "time": f"about {found.seconds:,} s",
        "can't be used": counted(found.refused, "file"),
    }
    for name, value in said.items():
        stdout.print(f"{name:26}{value}", markup=False)
    return code
