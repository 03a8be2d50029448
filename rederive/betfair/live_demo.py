"""Live's part of the demo: what a client commits is derived beside it, and how long that takes."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from psycopg import Connection

from producers.betfair.live import CURSOR
from rederive.betfair.repair_demo import repair, wrong_live
from rederive.cli.output import print_table, stdout
from rederive.database import connect
from rederive.demo import Show
from rederive.live import Supervisor
from rederive.settings import Settings
from schemas.betfair.tables import BETFAIR
from schemas.errors import Failed
from schemas.lane import LaneName
from store import cursors, latencies
from store.latencies import Quantiles
from store.rows import values

T = TypeVar("T")

_SNAPSHOTS, _A_SECOND, _BY_A_WRONG_FORMULA = 200, 50, 50
_BEGIN_SECONDS, _LAST_SECONDS, _NOTED_SECONDS = 60.0, 15.0, 5.0
_LOOK_SECONDS = 0.002

_AGAIN = """INSERT INTO market_book_snapshots
        (snapshot_at, market_id, raw_payload, total_matched, inplay, status, depth_limit)
    SELECT clock_timestamp(), market_id, raw_payload, total_matched, inplay, status, depth_limit
    FROM market_book_snapshots WHERE snapshot_id = %s RETURNING snapshot_id"""


def live(show: Show) -> None:
    """Commit snapshots beside live, one after the other, and repair what it had computed by a wrong formula before.

    Failed when one of them isn't derived, or isn't right in the end.
    """
    with connect(show.database_url, application="rederive demo") as connection:
        first, *sample = values(
            connection,
            """SELECT snapshot_id FROM market_derived_metrics WHERE home_best_back_size_l1 IS NOT NULL
               ORDER BY snapshot_id LIMIT %s""",
            [_SNAPSHOTS + 1],
        )
        wrong = _derived_wrong(show, connection, sample[:_BY_A_WRONG_FORMULA])
        show.say(f"live: {_SNAPSHOTS} snapshots are committed, {_A_SECOND} a second, and derived as they come")
        stdout.print("\n[dim]$ REDERIVE_WORKERS=1 rederive live betfair[/]")
        with _at_work(show.database_url) as check:
            _wait(lambda: cursors.load(connection, CURSOR), check, _BEGIN_SECONDS, "live doesn't begin")
            # Its agents and sinks may still be coming.
            warm = values(connection, _AGAIN, [first])
            _wait(lambda: _derived(connection, warm), check, _BEGIN_SECONDS, "live derives nothing")
            took = _commit(connection, sample, check)
            stages = _wait(lambda: _stages(connection), check, _NOTED_SECONDS, "live doesn't say how long it took")
            _show(took, stages)
            repair(show, wrong)
    stdout.print("live is stopped, in order")


def _derived_wrong(show: Show, connection: Connection, sample: Sequence[int]) -> list[int]:
    """Commit a copy of each snapshot while a wrong release is live; their ids, once they are derived."""
    with wrong_live(show) as check:
        _wait(lambda: cursors.load(connection, CURSOR), check, _BEGIN_SECONDS, "live doesn't begin")
        wrong = [key for one in sample for key in values(connection, _AGAIN, [one])]
        _wait(lambda: len(_derived(connection, wrong)) == len(wrong), check, _BEGIN_SECONDS, "live derives nothing")
    return wrong


def _show(took: Sequence[float], stages: Mapping[str, Quantiles]) -> None:
    whole = Quantiles(len(took), *(took[math.ceil(len(took) * share) - 1] for share in (0.5, 0.95, 0.99)))
    stdout.print()
    print_table(
        "How long it took, in ms",
        ["", "rows", "p50", "p95", "p99"],
        [_line("the client: commit to visible", whole)]
        + [_line(f"live: {stage}", stages[stage]) for stage in latencies.STAGES],
    )
    stdout.print(f"[green]{len(took)} of {_SNAPSHOTS} snapshots are derived[/]")


def _line(name: str, of: Quantiles) -> list[str]:
    return [name, str(of.rows), *(f"{milliseconds:.0f}" for milliseconds in (of.p50, of.p95, of.p99))]


@contextmanager
def _at_work(database_url: str) -> Iterator[Callable[[], None]]:
    """Live of Betfair on a thread, stopped in order afterwards; what is given raises what it has ended with."""
    over, ended = threading.Event(), list[Exception]()

    def work() -> None:
        try:
            # One agent has nobody to share with, and nobody who joins later is waited for.
            settings = Settings().model_copy(update={"workers": 1})
            Supervisor(settings, database_url, (BETFAIR.name,))(over)
        except Exception as error:
            ended.append(error)

    def check() -> None:
        if ended:
            raise ended[0]

    thread = threading.Thread(target=work, name="live", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        over.set()
        thread.join()
    check()


def _wait(look: Callable[[], T | None], check: Callable[[], None], seconds: float, what: str) -> T:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        check()
        if time.monotonic() > deadline:
            raise Failed(what, why=f"waited {seconds:.0f} s", mend="`rederive logs` says more")
        time.sleep(_LOOK_SECONDS)
    return found


def _commit(connection: Connection, sample: Sequence[int], check: Callable[[], None]) -> list[float]:
    """Commit a copy of each snapshot, in time; how long their rows took to be visible, sorted, in milliseconds."""
    committed: dict[int, float] = {}
    took: list[float] = []
    waiting = list(sample)
    began = time.perf_counter()

    def look() -> bool:
        if waiting and time.perf_counter() >= began + (len(sample) - len(waiting)) / _A_SECOND:
            (key,) = values(connection, _AGAIN, [waiting.pop(0)])
            committed[key] = time.perf_counter()
        visible = _derived(connection, list(committed))
        now = time.perf_counter()
        took.extend(1e3 * (now - committed.pop(key)) for key in visible)
        return not (waiting or committed)

    _wait(look, check, len(sample) / _A_SECOND + _LAST_SECONDS, "not every snapshot is derived")
    return sorted(took)


def _derived(connection: Connection, keys: Sequence[int]) -> list[int]:
    return values(connection, "SELECT snapshot_id FROM market_derived_metrics WHERE snapshot_id = ANY(%s)", [keys])


def _stages(connection: Connection) -> dict[str, Quantiles] | None:
    """What live has measured, once all is noted."""
    found = latencies.of_last(connection, _BEGIN_SECONDS, BETFAIR.name)
    stages = {stage: of for (_, lane, stage), of in found.items() if lane == LaneName.LOG}
    return stages if len(stages) == len(latencies.STAGES) and stages["visible"].rows > _SNAPSHOTS else None
