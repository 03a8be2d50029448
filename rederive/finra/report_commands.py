"""`rederive versions`, and `rederive report quality`, `rejects` and `week`: FINRA's calculations and what is stored."""

from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

from rederive.cli.report import Json
from rederive.cli.running import ANY_NUMBER

if TYPE_CHECKING:
    import psycopg

    from rederive.finra.partitions import Partitions
    from schemas.finra.versions import Calc

versions = cyclopts.App(name="versions", help="Versions of FINRA's calculations: which there are, and how they differ.")

CalcName = Annotated[str, Parameter(help="A calculation, such as venue_share.")]
Week = Annotated[str | None, Parameter(help="Only this week, by its Friday, such as 2025-12-26.")]
Tier = Annotated[str | None, Parameter(help="Only this tier, such as OTC.")]
Capture = Annotated[
    str | None, Parameter(help="Only this capture: a run's id, or one partition's; latest is FINRA's newest run.")
]


@versions.command(name="list")
def list_versions(*, json: Json = False) -> None:
    """List the calculations: versions, the current one, those that are deprecated or only read, table, keys."""
    from dataclasses import asdict

    from rederive.cli.output import print_json, print_table
    from schemas.finra.versions import CALCS

    if json:
        print_json([asdict(calc) for calc in CALCS.values()])
        return
    print_table(
        "Calculations",
        ["calculation", "versions", "current", "deprecated", "sunset", "stage", "table", "keys"],
        [
            (
                calc.name, ", ".join(calc.versions), calc.current, ", ".join(calc.deprecated), ", ".join(calc.sunset),
                calc.stage or "reserved", calc.table, ", ".join(calc.business_keys),
            )
            for calc in CALCS.values()
        ],
        left=tuple(range(8)),
    )  # fmt: skip


@versions.command
def show(
    calc: CalcName, version: Annotated[str | None, Parameter(help="Default: the current one.")] = None, /, *,
    json: Json = False,
) -> None:  # fmt: skip
    """Show one version of a calculation: its state, its table, its keys."""
    from rederive.cli.output import print_json, stdout
    from schemas.finra.versions import get_calc_metadata, get_version_state

    name = _known(calc).name
    chosen = _known_version(name, version)
    found = get_calc_metadata(name, chosen) | {"state": get_version_state(name, chosen).value}
    if json:
        print_json(found)
        return
    for key, value in found.items():
        if value is not None:
            text = ", ".join(value) if isinstance(value, list) else str(value)
            stdout.print(f"{key.replace('_', ' '):24}{text}", markup=False)


@versions.command
def compare(
    calc: CalcName,
    first: Annotated[str, Parameter(help="A version, such as v1.")],
    second: Annotated[str, Parameter(help="Another, such as v2.")],
    /,
    *,
    week: Week = None,
    tier: Tier = None,
    capture: Annotated[
        str | None,
        Parameter(help="Only rows of this capture, or computed from it: a run's id, or one partition's, or latest."),
    ] = None,
    json: Json = False,
) -> None:
    """Compare what is stored of two versions, row by row where both were computed from the same capture.

    Example: rederive versions compare venue_share v1 v2 --week 2025-12-26 --tier OTC
    """
    from dataclasses import asdict

    from rederive.cli.output import print_json
    from rederive.database import opened
    from rederive.finra import versions as stored
    from rederive.finra.partitions import Partitions
    from rederive.finra.report_tables import show_comparison
    from schemas.errors import UsageError

    entry = _known(calc)
    pair = _known_version(entry.name, first), _known_version(entry.name, second)
    if entry.stage is None:
        raise UsageError(f"{entry.name} is a reserved name: nothing computes it")
    asked = Partitions.asked(week, tier, capture)
    with opened("the comparison") as connection:
        asked = _of_known_capture(connection, asked)
        found = stored.compare(connection, entry, *pair, asked)
    print_json(asdict(found)) if json else show_comparison(found)


def _of_known_capture(connection: "psycopg.Connection", asked: "Partitions") -> "Partitions":
    """What is asked for, its capture by its id; Failed when FINRA has none of that name."""
    from dataclasses import replace

    from rederive.captures import LATEST, named
    from schemas.finra.tables import FINRA

    if asked.capture is None:
        return asked
    word = f"{LATEST}:{FINRA.name}" if asked.capture == LATEST else asked.capture
    return replace(asked, capture=named(connection, word))


def _known(calc: str) -> "Calc":
    """The calculation of that name; UsageError lists the names."""
    from schemas.errors import UsageError
    from schemas.finra.versions import CALCS, get_calc

    if calc not in CALCS:
        raise UsageError(f"there is no calculation {calc!r}", why=f"there are {', '.join(CALCS)}")
    return get_calc(calc)


def _known_version(calc: str, version: str | None) -> str:
    """The version of that name, or the current one; UsageError lists the versions."""
    from schemas.errors import UsageError
    from schemas.finra.versions import get_calc_metadata

    try:
        return str(get_calc_metadata(calc, version)["calc_version"])
    except ValueError as error:
        raise UsageError(str(error), mend="`rederive versions list` shows all") from None


def quality(*, week: Week = None, tier: Tier = None, capture: Capture = None, json: Json = False) -> None:
    """Show FINRA's checks by status, the ten latest failures, and whether the last run (or --capture) is healthy."""
    from dataclasses import asdict

    from rederive.cli.output import print_json
    from rederive.database import opened
    from rederive.finra import quality as stored
    from rederive.finra.partitions import Partitions
    from rederive.finra.report_tables import show_quality

    asked = Partitions.asked(week, tier, capture)
    with opened("the quality report") as connection:
        asked = _of_known_capture(connection, asked)
        found = stored.quality(connection, asked)
    print_json(asdict(found)) if json else show_quality(found)


def rejects(
    *,
    week: Week = None,
    tier: Tier = None,
    capture: Capture = None,
    examples: Annotated[int, Parameter(validator=ANY_NUMBER, help="Rows of each reason to show.")] = 3,
    json: Json = False,
) -> None:
    """Count FINRA's rejected rows by reason, with examples: capture, file, line, text."""
    from dataclasses import asdict

    from rederive.cli.output import print_json
    from rederive.database import opened
    from rederive.finra import rejects as stored
    from rederive.finra.partitions import Partitions
    from rederive.finra.report_tables import show_rejects

    asked = Partitions.asked(week, tier, capture)
    with opened("the report on rejects") as connection:
        asked = _of_known_capture(connection, asked)
        found = stored.rejects(connection, asked, examples=examples)
    print_json([asdict(one) for one in found]) if json else show_rejects(found)


def one_week(
    day: Annotated[str, Parameter(name="week", help="The Friday on which it ends, such as 2025-12-26.")],
    /,
    *,
    tier: Tier = None,
    json: Json = False,
) -> None:
    """Show one of FINRA's weeks: its captures, the stages its tiers have reached, shares, top venues, checks."""
    from dataclasses import asdict

    from rederive.cli.output import print_json
    from rederive.database import opened
    from rederive.finra import week as stored
    from rederive.finra.partitions import Partitions
    from rederive.finra.report_tables import show_week

    asked = Partitions.asked(day, tier)
    assert asked.week is not None
    with opened("the report on the week") as connection:
        found = stored.week(connection, asked.week, asked.tier)
    print_json(asdict(found)) if json else show_week(found)
