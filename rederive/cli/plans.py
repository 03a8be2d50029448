"""Plans for people and for `apply`: what they will do on stderr, JSON on stdout."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producers.gap import Gap
    from producers.source import Request
    from rederive.replayer import Replayer
    from schemas.domain import Domain
    from schemas.plan import Plan, PlanHead

_PARTITIONS = 8
"""Of how many partitions a plan's offsets are said."""


def say_plan(made: "PlanHead") -> None:
    """What a plan will do, for a person, on stderr."""
    import logging

    from rederive import domains
    from schemas.domain import API, LOG
    from schemas.words import counted, noun

    log = logging.getLogger("rederive.replayer")
    counts = {LOG: ("record", "to replay"), **domains.find(made.domain).counts}
    one, to = counts.get(made.source, ("record", f"of {made.source}"))
    log.info("Found %d %s %s", made.found, noun(made.found, one), to)
    log.info(
        "%s %s: %s, %s, derivation version %d, %s",
        made.domain,
        made.span,
        counted(made.unit_count, "unit"),
        made.mode,
        made.derivation_version,
        f"{len(made.columns)} columns" if made.columns else "all tables",
    )
    if nulls := {name: count for name, count in made.nulls.items() if count}:
        most = sorted(nulls.items(), key=lambda item: -item[1])[:6]
        more = f" and {len(nulls) - len(most)} more" if len(nulls) > len(most) else ""
        log.info("NULLs among them: %s%s", ", ".join(f"{name} {count}" for name, count in most), more)
    for frozen in made.request.get("logs", ()):
        log.info("%s, offsets by partition: %s", frozen["topic"], _offsets(frozen["partitions"]))
    for note in made.notes:
        log.log(logging.INFO if made.source == API else logging.WARNING, "%s", note)


def _offsets(partitions: "Sequence[Sequence[int]]") -> str:
    """What a plan freezes of a topic's partitions, the first of them."""
    from schemas.words import counted

    wanted = [(partition, first, last) for partition, _, first, last in partitions if first < last]
    said = [f"{partition}: {first:,} to {last - 1:,}" for partition, first, last in wanted[:_PARTITIONS]]
    more = [f"and {counted(len(wanted) - _PARTITIONS, 'more partition')}"] if len(wanted) > _PARTITIONS else []
    return ", ".join([*said, *more]) or "none"


def shown(made: "Plan[Any]", *, json: bool) -> int | None:
    """Print a plan where that is all a dry run can do; the exit code, None where it computes and counts.

    What would arrive for the first time would be kept on a log, and a dry run keeps nothing.
    """
    from rederive import domains
    from rederive.cli.output import print_json, stdout
    from schemas.domain import load
    from schemas.lane import LaneName
    from schemas.words import counted

    if part := domains.find(made.domain).show_plan:
        return int(load(part)(made, json=json))
    arriving = [unit for unit in made.units if unit.lane is not LaneName.REPLAY]
    if not arriving:
        return None
    if json:
        print_json(made.model_dump(mode="json"))
    else:
        say_plan(made)
        units = counted(len(made.units), "unit")
        stdout.print(f"{units}, {len(arriving):,} of them for the log, would be sent (dry run)")
    return 0


def print_outdated(request: "Request") -> None:
    """Print the plans that compute anew what of a request's range older formulas have computed, a line each."""
    from producers.gap import OUTDATED
    from rederive import domains
    from rederive.gaps import gaps
    from rederive.replayer import Replayer
    from rederive.settings import Settings

    replayer, domain = Replayer.of(Settings()), domains.find(request.domain)
    print_plans(replayer, domain, request, gaps(replayer, domain, request, outdated=True, only=(OUTDATED,)))


def print_plans(replayer: "Replayer", domain: "Domain", request: "Request", found: "Sequence[Gap]") -> None:
    """Print the plans that close gaps, a line each; what no plan closes is said on stderr."""
    import logging
    import sys

    from rederive.gaps import no_plan, plans
    from schemas.words import counted

    for made in list(plans(replayer, found)) or [no_plan(domain, request)]:
        say_plan(made)
        sys.stdout.write(made.model_dump_json() + "\n")
    left = [gap for gap in found if gap.fill is None]
    for mend in dict.fromkeys(gap.mend for gap in left):
        count = sum(gap.mend == mend for gap in left)
        logging.getLogger("rederive.gaps").warning("no plan closes %s: %s", counted(count, "gap"), mend)


def print_plan(request: "Request", source: str) -> None:
    """Print what a request means now as a plan, as JSON on stdout; what it will do, and its checklist, on stderr."""
    import sys

    from rederive.checklist import checklist
    from rederive.cli.output import stderr
    from rederive.replayer import Replayer
    from rederive.settings import Settings

    replayer = Replayer.of(Settings())
    made = replayer.plan(request, source)
    say_plan(made)
    with replayer.connected("checklist") as connection:
        items = checklist(connection, made)
    stderr.print("Checklist ([ ] is yours)", style="bold", markup=False)
    for item in items:
        stderr.print(f"[{'x' if item.done else ' '}] {item.name:<12}{item.text}", markup=False)
    sys.stdout.write(made.model_dump_json() + "\n")
