"""Commands of a domain that brings none of its own: `replay`, `plan`, and the reports that it names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from rederive.cli.plans import print_outdated, print_plan
from rederive.cli.replay import plan, replay
from rederive.cli.report import Json as ReportJson
from rederive.cli.report import exporting, report
from rederive.cli.running import (
    USUAL,
    BatchSize,
    Clear,
    Crew,
    DryRun,
    From,
    Json,
    Outdated,
    Reason,
    To,
    Yes,
    check_clear,
    plan_and_run,
    span,
)
from schemas.domain import Domain, load
from schemas.table import Mode

if TYPE_CHECKING:
    from producers.source import Request


def add_commands(domain: Domain, below: str | None = None) -> None:
    """Add the domain's reports, and `replay` and `plan` of it unless its own commands do; `below` one of the three."""
    if below in (None, "replay") and domain.sources and domain.name not in replay:
        replay.command(_replay(domain), name=domain.name)
    if below in (None, "plan") and domain.sources and domain.name not in plan:
        plan.command(_plan(domain), name=domain.name)
    for name, part in domain.reports.items():
        if below in (None, "report") and name not in report:
            report.command(exporting(name, _report(part)), name=name)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which payloads, and what of them."""

    from_: From = None
    to: To = None
    source: Annotated[str, Parameter(help="Where payloads are read from. Default: the domain's first source.")] = ""
    key: Annotated[
        tuple[str, ...], Parameter(name="--key", help="Only these: the domain's own names.", negative="")
    ] = ()
    columns: Annotated[str, Parameter(help="A scope or column names, comma-separated.")] = "all"
    all_rows: Annotated[bool, Parameter(negative="", help="Every row of the range, not only those with a NULL.")] = (
        False
    )
    limit: Annotated[int | None, Parameter(validator=validators.Number(gte=1), help="At most so many rows.")] = None
    option: Annotated[
        tuple[str, ...], Parameter(name="--option", help="NAME=VALUE: the source's own words.", negative="")
    ] = ()
    mode: Annotated[Mode | None, Parameter(help="How rows meet what is stored. Default: the first table's.")] = None
    clear: Clear = False

    def source_of(self, domain: Domain) -> str:
        """The name of the source."""
        return self.source or next(iter(domain.sources))

    def request(self, domain: Domain) -> "Request":
        """As a request. UsageError for unknown columns or a range that can't be one."""
        from producers.source import Request

        start, end = span(self.from_, self.to)
        mode = self.mode or domain.tables[0].policy
        return Request(
            domain=domain.name,
            mode=mode,
            columns=_columns(domain, self.columns),
            start=start,
            end=end,
            keys=self.key,
            all_rows=self.all_rows,
            limit=self.limit,
            options=options_of(self.option),
            clear=check_clear(mode, clear=self.clear),
        )


def options_of(words: tuple[str, ...]) -> dict[str, object]:
    """What `--option` says, by name. UsageError for a word that is no NAME=VALUE."""
    from schemas.errors import UsageError

    pairs = [word.partition("=") for word in words]
    if odd := [name for name, equals, _ in pairs if not name or not equals]:
        raise UsageError(f"--option {odd[0]!r} has no value", mend="write NAME=VALUE, such as --option folder=readings")
    return {name: value for name, _, value in pairs}


def _columns(domain: Domain, words: str) -> tuple[str, ...]:
    """The value columns that scopes and names mean, in the tables' order. UsageError for an unknown one."""
    from schemas.errors import UsageError

    known = [column.name for table in domain.tables for column in table.values]
    said = [word for word in words.split(",") if word]
    for word in said:
        if word not in domain.scopes and word not in known:
            raise UsageError(f"--columns {word!r} is unknown", mend=f"say {', '.join([*domain.scopes, *known])}")
    if all(not domain.scopes.get(word, word) for word in said):
        # All of them is said by none.
        return ()
    chosen = domain.meant(said)
    return tuple(dict.fromkeys(name for name in known if name in chosen))


def _replay(domain: Domain) -> Callable[..., int]:
    def command(
        *,
        selection: Selection | None = None,
        batch_size: BatchSize = 500,
        dry_run: DryRun = False,
        crew: Crew = USUAL,
        reason: Reason = "",
        yes: Yes = False,
        json: Json = False,
    ) -> int:
        chosen = selection or Selection()
        request = chosen.request(domain)
        source = chosen.source_of(domain)
        return plan_and_run(request, source, dry_run, reason, batch_size, crew, json, yes=yes)

    command.__doc__ = f"Recompute the rows of {domain.name} from stored payloads."
    return command


def _plan(domain: Domain) -> Callable[..., None]:
    def command(*, selection: Selection | None = None, outdated: Outdated = False) -> None:
        chosen = selection or Selection()
        if outdated:
            print_outdated(chosen.request(domain))
        else:
            print_plan(chosen.request(domain), chosen.source_of(domain))

    command.__doc__ = f"The plan of `rederive replay {domain.name}` with the same options."
    return command


def _report(part: str) -> Callable[..., None]:
    def command(*, json: ReportJson = False) -> None:
        from rederive.cli.output import print_json, print_table
        from rederive.database import opened

        with opened("the report") as connection:
            rows: list[dict[str, Any]] = list(load(part)(connection))
        if json:
            print_json(rows)
            return
        headings = list(rows[0]) if rows else ["nothing"]
        print_table(part.rpartition(":")[2].replace("_", " "), headings, [list(row.values()) for row in rows])

    command.__doc__ = f"{part.rpartition(':')[2].replace('_', ' ').capitalize()}."
    return command
