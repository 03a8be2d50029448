"""A wrong formula's part of the demo: live has computed by it, the log gives the right values while live goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg import Connection
from rich.markup import escape

import samples.release
from rederive.cli.output import stdout
from rederive.database import connect
from rederive.demo import Show
from rederive.safe_path import environment
from schemas.errors import Failed
from store.rows import values

COLUMN = "home_book_risk_l3"
_WRONG = f"betfair.market_derived_metrics.{COLUMN}"
_STOP_SECONDS = 60.0


@contextmanager
def wrong_live(show: Show) -> Iterator[Callable[[], None]]:
    """Live of a release in which the formula of COLUMN is wrong: `samples.release`. Stopped in order afterwards.

    What is given raises Failed when live has ended.
    """
    show.say(f"a release is live whose formula of {COLUMN} is wrong: it gives the half")
    stdout.print("\n[dim]$ rederive live betfair[/]")
    found = environment()
    found["PYTHONPATH"] = os.pathsep.join([str(Path(samples.release.__file__).parent), found["PYTHONPATH"]])
    process = subprocess.Popen(
        [sys.executable, "-m", "rederive", "live", "betfair"],
        env={**os.environ, **found, "RELEASE_WRONG": _WRONG, "REDERIVE_WORKERS": "1", "REDERIVE_SINKS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def check() -> None:
        if process.poll() is not None:
            raise Failed(f"live ended with {process.returncode}", why=process.communicate()[1])

    try:
        yield check
        check()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=_STOP_SECONDS)
        if process.returncode:
            raise Failed(f"live ended with {process.returncode}", why=said)
    finally:
        process.kill()
        process.communicate()


def repair(show: Show, wrong: list[int]) -> None:
    """Derive again, in shadow, from the log; compare; promote. Failed when a value is other than it should be then.

    `wrong` are the snapshots that were derived by the wrong formula.
    """
    show.say("the formula is mended and live goes on; what is on the log is derived again, and nobody sees it yet")
    show.type("replay-topic betfair --mode shadow", "--reason", f"{COLUMN} was half of what it is")
    show.say("what it would change: that column of those rows, and nothing else")
    show.type("captures compare latest:betfair --examples 2", code=1)
    show.type(f"captures promote latest:betfair --only-columns {COLUMN} --yes")
    show.type("captures compare latest:betfair")
    show.type(f"explain betfair {wrong[0]} {COLUMN}")
    with connect(show.database_url, application="rederive demo") as connection:
        left = _differing(connection, wrong)
    if left:
        raise Failed("the demo's repair left something wrong", why=f"{len(left)} of {len(wrong)} snapshots")
    stdout.print(f"[green]{len(wrong)} rows are right again, proven and explained[/]")
    stdout.print(f"[dim]it can be taken back: {escape('rederive captures rollback latest:betfair')}[/]")


def _differing(connection: Connection, wrong: list[int]) -> list[int]:
    """Those of them whose value isn't that of the snapshot whose copy they are."""
    return values(
        connection,
        f"""SELECT mine.snapshot_id FROM market_derived_metrics AS mine
            JOIN market_book_snapshots AS copy USING (snapshot_id)
            WHERE mine.snapshot_id = ANY(%s) AND NOT EXISTS (
                SELECT FROM market_derived_metrics AS theirs JOIN market_book_snapshots AS original USING (snapshot_id)
                WHERE original.market_id = copy.market_id AND original.raw_payload = copy.raw_payload
                    AND original.snapshot_id <> copy.snapshot_id AND NOT original.snapshot_id = ANY(%s)
                    AND theirs.{COLUMN} IS NOT DISTINCT FROM mine.{COLUMN})""",
        [wrong, wrong],
    )
