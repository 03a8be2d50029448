"""Betfair's part of the demo: real snapshots whose derived rows are replayed, reports before and after."""

import os
import shlex
import sys
from pathlib import Path

import orjson
from psycopg import Connection
from rich.markup import escape

from rederive.betfair.fillable import fillable
from rederive.betfair.live_demo import live
from rederive.cli.output import stdout
from rederive.database import connect
from rederive.demo import Show
from samples.betfair import sample
from samples.betfair.load import derive_bare_rows, load
from schemas.betfair.tables import METRICS
from schemas.errors import Failed
from schemas.words import counted
from store.rows import value


def demo(show: Show) -> None:
    """Fill what is NULL or missing, then derive what arrives.

    Failed when something fillable is left, a second replay changes a row, or what arrives isn't derived.
    """
    before = str(show.home / "before.json")
    plan = show.home / "plan.json"
    show.say("2,392 real match-odds snapshots of 105 markets; derived rows without any metric, one in ten missing")
    with connect(show.database_url, application="rederive demo") as connection:
        load(connection, sample.metadata(), sample.snapshots())
        derive_bare_rows(connection, leave_out_every=10)
        market = _largest_market(connection)
    show.type("report null-audit --columns l1,l3,risk", "--save", before)
    show.say("what a replay would do, as a plan")
    _plan(show, plan)
    show.type("apply", str(plan), "--reason", "demo")
    show.type("report null-audit --columns l1,l3,risk", "--against", before, "--fillable")
    show.say("the same again: what is NULL was computed as NULL (the sample has no lay ladders), it is not asked again")
    show.type("replay betfair --json")
    _check(show)
    show.type("report ladder-availability --limit 500")
    show.type(f"report checkpoints {market}")
    show.type(f"report continuity {market}")
    show.type("report spot-check")
    live(show)
    show.type("captures list")


def _largest_market(connection: Connection) -> str:
    return str(
        value(
            connection,
            """SELECT market_id FROM market_book_snapshots
               GROUP BY market_id ORDER BY count(*) DESC, market_id LIMIT 1""",
        )
    )


def _plan(show: Show, path: Path) -> None:
    """`rederive plan betfair > FILE`, the redirection included."""
    kept = os.dup(sys.stdout.fileno())
    try:
        sys.stdout.flush()
        with path.open("wb") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
            show.type("plan betfair", quiet=True)
            sys.stdout.flush()
    finally:
        os.dup2(kept, sys.stdout.fileno())
        os.close(kept)
    plan = orjson.loads(path.read_bytes())
    stdout.print(f"[dim]$ rederive plan betfair > {escape(shlex.quote(str(path)))}[/]")
    stdout.print(
        f"{counted(plan['found'], 'row')} in {counted(len(plan['units']), 'unit')}, digest {plan['digest'][:12]}…"
    )


def _check(show: Show) -> None:
    """The demo's claim: nothing that the payloads could fill is left, and the second replay changed nothing."""
    with connect(show.database_url, application="rederive demo") as connection:
        left = {name: count for name, count in fillable(connection, METRICS).columns.items() if count}
    if left:
        raise Failed("the demo's replay left something undone", why=f"fillable NULLs {left}")
    show.nothing_updated()
    stdout.print("[green]0 NULLs left that the payloads could fill, in all 52 columns; 0 updated the second time[/]")
