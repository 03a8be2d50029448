"""`rederive replay betfair` and `plan betfair`: the metrics of stored market book snapshots."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from rederive.cli.plans import print_outdated, print_plan
from rederive.cli.running import (
    SOME,
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

if TYPE_CHECKING:
    from producers.source import Request

Market = Annotated[tuple[str, ...], Parameter(name="--market", help="Only these markets.", negative="")]
Columns = Annotated[str, Parameter(help="tier-a, l1, l3, ladder, all, or column names; comma-separated.")]
AllRows = Annotated[bool, Parameter(negative="", help="Every row of the range, not only those with a NULL.")]
Limit = Annotated[int | None, Parameter(validator=SOME, help="At most so many rows, oldest first.")]
ModeChoice = Annotated[
    Literal["fill", "supersede", "shadow"] | None,
    Parameter(
        help="fill: only what is NULL. supersede: replace, after a bug fix. shadow: as supersede, but served only once "
        "it is promoted. Default: the table's (fill)."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which snapshots, and which of their columns."""

    from_: From = None
    to: To = None
    market: Market = ()
    columns: Columns = "all"
    all_rows: AllRows = False
    limit: Limit = None
    mode: ModeChoice = None
    clear: Clear = False

    def request(self) -> "Request":
        """As a request. UsageError for unknown columns or a range that can't be one."""
        from producers.source import Request
        from rederive.betfair.columns import select
        from schemas.betfair.tables import BETFAIR, METRICS
        from schemas.table import Mode

        start, end = span(self.from_, self.to)
        mode = Mode(self.mode) if self.mode else BETFAIR.tables[0].policy
        return Request(
            domain=BETFAIR.name,
            mode=mode,
            columns=tuple(sorted(select(self.columns), key=METRICS.index)),
            start=start,
            end=end,
            keys=self.market,
            all_rows=self.all_rows,
            limit=self.limit,
            clear=check_clear(mode, clear=self.clear),
        )


def replay_betfair(
    *,
    asked: Asked | None = None,
    batch_size: BatchSize = 500,
    dry_run: DryRun = False,
    crew: Crew = USUAL,
    reason: Reason = "",
    yes: Yes = False,
    json: Json = False,
) -> int:
    """Recompute market_derived_metrics from the snapshots' raw_payload.

    Picks rows with a NULL among the columns in scope (a snapshot without a derived row counts as all NULL), oldest
    first, and fills what is NULL; what the current formulas have computed as NULL is left out. Stored values stay, 0.0
    too. Safe beside running ingestion; Ctrl+C at any time, then `rederive captures resume ID`.

    Example: rederive replay betfair --from 2026-02-06 --to 2026-02-13 --columns tier-a
    """
    return plan_and_run((asked or Asked()).request(), "table", dry_run, reason, batch_size, crew, json, yes=yes)


def plan_betfair(*, asked: Asked | None = None, outdated: Outdated = False) -> None:
    """The plan of `rederive replay betfair` with the same options.

    Example: rederive plan betfair --columns l1 > plan.json && rederive apply plan.json
    """
    request = (asked or Asked()).request()
    if outdated:
        print_outdated(request)
    else:
        print_plan(request, "table")
