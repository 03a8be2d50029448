"""`rederive report`: what is stored of Betfair, what is missing, what could be filled (betfair spec, section 8)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rederive.cli.report import Json
from rederive.cli.running import SOME

if TYPE_CHECKING:
    import psycopg

Columns = Annotated[str, Parameter(help="Scopes, columns, or metrics of every role such as `risk`; comma-separated.")]
Limit = Annotated[int, Parameter(validator=SOME, help="Look at the newest so many.")]
MarketId = Annotated[str, Parameter(help="The market's id, such as 1.253637019.")]


def null_audit(
    *,
    columns: Columns = "all",
    save: Annotated[Path | None, Parameter(help="Write the audit to this file, to compare a later one with.")] = None,
    against: Annotated[Path | None, Parameter(help="Show NULL counts before and after: this saved audit, now.")] = None,
    fillable: Annotated[
        bool, Parameter(negative="", help="Count the NULLs that stored payloads would fill; writes nothing.")
    ] = False,
    as_of: Annotated[
        datetime | None, Parameter(help='Count "the last 7 days" back from here (UTC), by default from now.')
    ] = None,
    json: Json = False,
) -> None:
    """Count the NULLs of each column, and what is stored that could fill them."""
    from rederive.betfair import comparison, nulls
    from rederive.betfair.columns import select
    from rederive.betfair.report_tables import show_null_audit, show_null_comparison
    from rederive.cli.output import print_json
    from rederive.database import opened

    names = select(columns)
    before = comparison.load(against) if against else None
    now = as_of if as_of is None or as_of.tzinfo else as_of.replace(tzinfo=UTC)
    with opened("the NULL audit") as connection:
        with _still(connection):
            audit = nulls.null_audit(connection, names, now=now)
        if fillable:
            from rederive.betfair.fillable import fillable as count_fillable

            # Outside the still picture: a long transaction would hold back vacuum.
            found = count_fillable(connection, names)
            filled = tuple(replace(column, fillable=found.columns[column.column]) for column in audit.columns)
            audit = replace(audit, columns=filled, fillable=found)
    if save:
        comparison.save(audit, save)
    compared = comparison.compare(before, audit) if before else None
    if json:
        print_json(comparison.as_json(audit) | ({"comparison": compared} if compared else {}))
        return
    show_null_audit(audit)
    if compared:
        show_null_comparison(compared)


def ladder_availability(*, columns: Columns = "l1", limit: Limit = 10_000, json: Json = False) -> None:
    """Look into the raw ladders of the newest snapshots with NULLs: their lengths, and whether level 1 is there."""
    from rederive.betfair import ladders
    from rederive.betfair.columns import select
    from rederive.betfair.report_tables import show_ladders
    from rederive.cli.output import print_json
    from rederive.database import opened

    names = select(columns)
    with opened("the ladder availability report") as connection:
        found = ladders.ladder_availability(connection, names, limit=limit)
    print_json(found) if json else show_ladders(found)


def checkpoints(market: MarketId, /, *, columns: Columns = "book_risk_l3", json: Json = False) -> None:
    """Show a market at five time points: T-6h, T-1h, kickoff, mid-match, the final 15 minutes.

    Each is the nearest snapshot, however far; how far is in the last column.
    """
    from rederive.betfair import checkpoints as points
    from rederive.betfair.columns import select
    from rederive.betfair.report_tables import show_checkpoints
    from rederive.cli.output import print_json
    from rederive.database import opened

    names = select(columns)
    with opened("the checkpoints report") as connection, _still(connection):
        found = points.checkpoints(connection, market, names)
    print_json(found) if json else show_checkpoints(found)


def spot_check(*, columns: Columns = "best_back_size_l1,back_stake", limit: Limit = 5, json: Json = False) -> None:
    """Show the newest derived rows."""
    from rederive.betfair import spot
    from rederive.betfair.columns import select
    from rederive.betfair.report_tables import show_spot_check
    from rederive.cli.output import print_json
    from rederive.database import opened

    names = select(columns)
    with opened("the spot check") as connection:
        rows = spot.spot_check(connection, names, limit=limit)
    print_json({"rows": rows}) if json else show_spot_check(rows, names)


def continuity(market: MarketId, /, *, json: Json = False) -> None:
    """Show how gapless and how complete a market is stored."""
    from rederive.betfair import continuity as whole
    from rederive.betfair.report_tables import show_continuity
    from rederive.cli.output import print_json
    from rederive.database import opened

    with opened("the continuity report") as connection, _still(connection):
        found = whole.continuity(connection, market)
    print_json(found) if json else show_continuity(found)


@contextmanager
def _still(connection: "psycopg.Connection") -> Iterator[None]:
    """One unchanging picture of the database, for figures that agree with each other."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
