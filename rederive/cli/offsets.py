"""`rederive offsets`: how far consumer groups have come, and putting them elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts
from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rederive.offsets import Change, Where
    from rederive.settings import Settings

offsets = cyclopts.App(name="offsets", help="Where consumer groups stand on their topics, and putting them elsewhere.")

Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON object on stdout instead of text.")]
LaneChoice = Annotated[Literal["replay", "log", "detail"] | None, Parameter(help="Only of this lane.")]
Yes = Annotated[bool, Parameter(negative="", help="Do it; without it the command only says what it would do.")]


@offsets.command
def show(
    group: Annotated[str | None, Parameter(help="A domain or a group, as this command shows it; all unless named.")] = (
        None
    ),
    /,
    *,
    lane: LaneChoice = None,
    json: Json = False,
) -> None:
    """Show by group and partition: what is committed, what the topic holds, how many records wait, who reads them."""
    from rederive.cli.output import print_json, print_table, stdout
    from rederive.offsets import groups_of, stand

    settings, kafka = _services()
    found = stand(kafka, groups_of(settings.topic_prefix, group, lane))
    if json:
        print_json(
            [
                {
                    "domain": one.group.domain,
                    "lane": one.group.lane,
                    "group": one.group.name,
                    "topic": one.group.topic,
                    "partition": one.partition,
                    "committed": one.committed,
                    "low": one.low,
                    "high": one.high,
                    "lag": one.lag,
                    "member": one.member,
                }
                for one in found
            ]
        )
    elif not found:
        stdout.print("their topics aren't there")
    else:
        print_table(
            "Offsets",
            ["domain", "lane", "group", "partition", "committed", "low", "high", "lag", "member"],
            [
                (
                    one.group.domain, one.group.lane, one.group.name, one.partition,
                    "none" if one.committed is None else one.committed, one.low, one.high, one.lag, one.member,
                )
                for one in found
            ],
            left=(0, 1, 2, 8),
        )  # fmt: skip


@offsets.command
def reset(
    group: Annotated[str, Parameter(help="A group, or a domain: then the agents and sinks of --lane.")],
    /,
    *,
    lane: LaneChoice = None,
    to_earliest: Annotated[bool, Parameter(negative="", help="To the first record that is there.")] = False,
    to_latest: Annotated[bool, Parameter(negative="", help="Behind the last record.")] = False,
    to_time: Annotated[str | None, Parameter(help="To the first record sent at or after a UTC day or time.")] = None,
    to_offsets: Annotated[Path | None, Parameter(help="To what a file says, as a reset writes one.")] = None,
    by: Annotated[
        int | None, Parameter(allow_leading_hyphen=True, help="So many records on in each partition, or back.")
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Put groups elsewhere on their topics. A dry run unless it is told --yes; refused while members are active.

    What was there is kept in a file first, which `undo` puts back. What is committed is read back and compared.

    Example: rederive offsets reset betfair --lane log --to-time 2026-02-06 --yes
    """
    from rederive import domains
    from rederive.offsets import Exported, changes, groups_of, stand
    from rederive.offsets import by as by_number
    from rederive.offsets import to_earliest as earliest
    from rederive.offsets import to_latest as latest
    from rederive.offsets import to_offsets as as_file
    from rederive.offsets import to_time as at_time
    from schemas.errors import UsageError

    said = {
        "--to-earliest": to_earliest,
        "--to-latest": to_latest,
        "--to-time": to_time is not None,
        "--to-offsets": to_offsets is not None,
        "--by": by is not None,
    }
    named = [option for option, is_said in said.items() if is_said]
    if len(named) != 1:
        raise UsageError(
            "`rederive offsets reset` goes to one place",
            why=f"{' and '.join(named)} are given" if named else "none is given",
            mend=f"say one of {', '.join(said)}",
        )
    if lane is None and group in domains.names():
        raise UsageError(f"{group} has several lanes", mend="say --lane, or name the group")
    settings, kafka = _services()
    groups = groups_of(settings.topic_prefix, group, lane)
    where: Where = earliest if to_earliest else latest
    if to_time is not None:
        from rederive.cli.running import moment

        at = moment(to_time, "--to-time", end=False)
        assert at is not None
        where = at_time(kafka, at)
    elif to_offsets is not None:
        where = as_file(Exported.read(to_offsets), str(to_offsets))
    elif by is not None:
        where = by_number(by)
    _reset(settings, kafka, changes(stand(kafka, groups), where), yes=yes, json=json)


@offsets.command
def undo(
    file: Annotated[Path, Parameter(help="A file that a reset has written.")],
    /,
    *,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Put back what a reset has exported. A dry run unless it is told --yes; refused while members are active."""
    from rederive.offsets import Exported, changes, groups_of, stand, to_offsets

    exported = Exported.read(file)
    settings, kafka = _services()
    groups = [found for one in exported.groups for found in groups_of(settings.topic_prefix, one.group)]
    _reset(settings, kafka, changes(stand(kafka, groups), to_offsets(exported, str(file))), yes=yes, json=json)


def _services() -> "tuple[Settings, Mapping[str, str]]":
    from rederive.endpoints import running
    from rederive.settings import Settings
    from schemas.errors import Failed

    settings = Settings()
    bootstrap, _ = running(settings)
    if bootstrap is None:
        raise Failed(
            "there is no Kafka",
            why="none is named, and the embedded one doesn't run",
            mend="start it: `rederive local start`",
        )
    settings = settings.model_copy(update={"kafka_bootstrap": bootstrap})
    return settings, settings.kafka_config()


def _reset(
    settings: "Settings", kafka: "Mapping[str, str]", wanted: "Sequence[Change]", *, yes: bool, json: bool
) -> None:
    from rederive.cli.output import print_json, stdout
    from rederive.offsets import check_idle
    from rederive.offsets import reset as do
    from schemas.errors import Failed

    if not wanted:
        raise Failed("nothing can be reset", why="the topics aren't there")
    file = None
    if yes:
        file = do(kafka, wanted, settings.home / "offsets")
    else:
        check_idle(kafka, list(dict.fromkeys(one.standing.group for one in wanted)))
    if json:
        print_json({"dry_run": not yes, "exported": None if file is None else str(file), "changes": _described(wanted)})
        return
    _say(wanted)
    if file is None:
        stdout.print("a dry run: --yes does it")
    else:
        stdout.print(f"what was there is in {file}", markup=False)
        stdout.print(f"put it back with: rederive offsets undo {file} --yes", markup=False)


def _described(wanted: "Sequence[Change]") -> list[dict[str, object]]:
    return [
        {
            "group": one.standing.group.name,
            "topic": one.standing.group.topic,
            "partition": one.standing.partition,
            "before": one.standing.committed,
            "after": one.after,
            "repeated": one.repeated,
            "skipped": one.skipped,
        }
        for one in wanted
    ]


def _say(wanted: "Sequence[Change]") -> None:
    from rederive.cli.output import print_table, stdout
    from schemas.words import counted, verb

    print_table(
        "Offsets",
        ["group", "partition", "before", "after", "come again", "are skipped"],
        [
            (
                one.standing.group.name, one.standing.partition, _offset(one.standing.committed), _offset(one.after),
                one.repeated, one.skipped,
            )
            for one in wanted
        ],
    )  # fmt: skip
    if repeated := sum(one.repeated for one in wanted):
        stdout.print(
            f"{counted(repeated, 'record')} {verb(repeated, 'comes', 'come')} again: harmless, each counts once"
        )
    if skipped := sum(one.skipped for one in wanted):
        domain, are = wanted[0].standing.group.domain, verb(skipped, "is", "are")
        stdout.print(f"{counted(skipped, 'record')} {are} skipped: holes, which `rederive gaps {domain}` lists")


def _offset(offset: int | None) -> str:
    return "none" if offset is None else str(offset)
