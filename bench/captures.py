"""What it takes to compare, promote and take back captures of many merged rows: seconds, processor, memory.

    python -m bench.captures [--rows 100000] [--back 20000] [--statements]

Betfair's rows in an embedded Postgres, without Kafka: one capture is served, another one, of a newer version, is kept
in shadow. Its rows differ in `home_risk`, a tenth of them in `total_volume`, and one in a hundred lacks
`home_best_back_size_l1`. Rows are made in SQL of 5,000 computed ones. Processor seconds are of this process and of the
server; `--statements` says what each statement took.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import psycopg

from bench.fresh import postgres
from bench.running import running
from bench.statements import (
    BATCH_ROWS,
    PROFILE,
    ProfiledConnection,
    ProfiledCursor,
    Rows,
    Writing,
    capture,
    fill_tables,
)
from rederive import captures, promotion
from rederive.comparison import Comparison
from rederive.database import connect, connection_string
from schemas.betfair.tables import BETFAIR, METRICS_TABLE
from schemas.table import Mode
from sinks.merge.companions import Companions
from sinks.policies import prepare
from sinks.policy import Promoted, Taken
from store.rows import value

_SQL = Companions(METRICS_TABLE)
_ENTRY = ("source", "capture_id", "observed", "derivation_version", "arrival")
_PAGE = 100_000


def main() -> None:
    """Print a line for each of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of each capture (default %(default)s)")
    parser.add_argument("--back", type=int, default=20_000, help="keys that are taken back (default %(default)s)")
    parser.add_argument("--statements", action="store_true", help="say what each statement took, too")
    given = parser.parse_args()
    rows = max(given.rows, BATCH_ROWS) // BATCH_ROWS * BATCH_ROWS
    with postgres() as (_, url):
        with connect(url, application="bench") as connection:
            make(connection, url, rows, min(given.back, rows))
        measure(url, rows, min(given.back, rows), statements=given.statements)


def make(connection: psycopg.Connection, url: str, rows: int, back: int) -> None:
    """A capture that is served, one in shadow of as many rows, one in shadow of `back` of them."""
    fill_tables(connection, rows, 0)
    connection.execute("DELETE FROM market_derived_metrics")
    with psycopg.connect(url, autocommit=True) as sink:
        prepare(sink, BETFAIR)
        of = capture(connection, 1, Mode.SUPERSEDE, 100)
        Writing(sink, Rows(), of, Mode.SUPERSEDE).write(1, BATCH_ROWS)
    _serve_more(connection, rows)
    said = {
        "home_risk": "t.home_risk * 2",
        "total_volume": "t.total_volume + CASE WHEN t.snapshot_id %% 10 = 0 THEN 0.5 ELSE 0 END",
        "home_best_back_size_l1": "CASE WHEN t.snapshot_id %% 100 > 0 THEN t.home_best_back_size_l1 END",
    }
    _in_shadow(connection, of, "betfair-bench-2", rows, 2, said)
    _in_shadow(connection, of, "betfair-bench-3", back, 3, {"home_risk": "t.home_risk * 3"})
    connection.execute("UPDATE rederive.captures SET state = 'complete', finished_at = now()")
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")


def _serve_more(connection: psycopg.Connection, rows: int) -> None:
    """Rows of the first batch again, under ids behind it, with what a merge would have kept of them."""
    for first in range(BATCH_ROWS, rows, _PAGE):
        last = min(rows, first + _PAGE) - 1
        behind = f"generate_series({first}, {last}, {BATCH_ROWS}) n(id)"
        with connection.transaction():
            for table, before, more in (
                (_SQL.history, "t", _ENTRY),
                (_SQL.baseline, "t", ("present",)),
                (_SQL.serving, "t", ("capture_id", "derivation_version")),
            ):
                names = ", ".join((*more, *_SQL.columns))
                stamp = (", merge_xid", ", pg_current_xact_id()::xid") if table == _SQL.serving else ("", "")
                connection.execute(
                    f"""INSERT INTO {table} (snapshot_id, {names}{stamp[0]})
                        SELECT n.id + {before}.snapshot_id, {names}{stamp[1]} FROM {behind}, {table} t
                        WHERE t.snapshot_id <= {BATCH_ROWS} ORDER BY 1"""
                )


def _in_shadow(
    connection: psycopg.Connection, of: str, name: str, rows: int, version: int, said: dict[str, str]
) -> None:
    running(connection, name, "betfair", Mode.SHADOW, version)
    connection.execute("UPDATE rederive.captures SET becomes = 'supersede' WHERE capture_id = %s", [name])
    values = ", ".join(said.get(column, f"t.{column}") for column in _SQL.columns)
    for first in range(1, rows + 1, _PAGE):
        connection.execute(
            f"""INSERT INTO {_SQL.history} (snapshot_id, source, capture_id, observed, derivation_version,
                                           {_SQL.names})
                SELECT t.snapshot_id, t.source, %s, t.observed, %s, {values} FROM {_SQL.history} t
                WHERE t.capture_id = %s AND t.snapshot_id BETWEEN %s AND %s ORDER BY 1""",
            [name, version, of, first, min(rows, first + _PAGE - 1)],
        )


def measure(url: str, rows: int, back: int, *, statements: bool) -> None:
    """Compare, promote and take back, each on a connection of its own."""

    def compared(one: str, other: str | None, equal: bool) -> Callable[[psycopg.Connection], str]:
        def run(connection: psycopg.Connection) -> str:
            (found,) = Comparison.of(connection, one, other).run(connection)
            assert found.equal is equal, found
            return f"{found.differing:,} differ in {len(found.columns)} columns"

        return run

    def previewed(connection: psycopg.Connection) -> str:
        return f"{sum(promotion.preview(connection, 'betfair-bench-2').values(), Promoted()).changed:,} would change"

    def promoted(name: str, wanted: int) -> Callable[[psycopg.Connection], str]:
        def run(connection: psycopg.Connection) -> str:
            done = sum((one for _, one in promotion.promote(connection, name)), Promoted())
            assert done.rows == wanted, done
            return f"{done.changed:,} changed"

        return run

    def taken_back(connection: psycopg.Connection) -> str:
        done = sum((one for _, one in captures.rollback(connection, "betfair-bench-3")), Taken())
        assert done.entries == back, done
        return f"{done.changed:,} changed"

    first, second, third = (f"betfair-bench-{number}" for number in (1, 2, 3))
    for name, run, of in (
        ("compare two captures", compared(first, second, False), rows),
        ("compare a shadow with what is served", compared(second, None, False), rows),
        ("look at a promotion", previewed, rows),
        ("promote", promoted(second, rows), rows),
        ("compare what is served with itself", compared(second, None, False), rows),
        ("promote some keys", promoted(third, back), back),
        ("roll them back", taken_back, back),
    ):
        with _counted(url, name, of, statements=statements) as (connection, said):
            said.append(run(connection))


def _used(process: psutil.Process) -> float:
    """Processor seconds of a server process and of all others of its server, those that have ended too."""
    parent = process.parent()
    assert parent is not None
    return sum(parent.cpu_times()[:4]) + sum(sum(one.cpu_times()[:2]) for one in parent.children())


@contextmanager
def _counted(url: str, name: str, rows: int, *, statements: bool) -> Iterator[tuple[psycopg.Connection, list[str]]]:
    kind = ProfiledConnection if statements else psycopg.Connection
    with kind.connect(connection_string(url, "bench"), autocommit=True) as connection:
        if statements:
            connection.cursor_factory = ProfiledCursor
            PROFILE.spent.clear()
        server, said = psutil.Process(connection.info.backend_pid), list[str]()
        log, used = value(connection, "SELECT pg_current_wal_lsn()"), _used(server)
        began, own = time.perf_counter(), time.process_time()
        yield connection, said
        took, own, used = time.perf_counter() - began, time.process_time() - own, _used(server) - used
        wal = int(value(connection, "SELECT (pg_current_wal_lsn() - %s::pg_lsn)::int8", [log]))
        memory = server.memory_info()
        held = psutil.Process().memory_info().rss / 1e6, (memory.rss - memory.shared) / 1e6
        print(
            f"{name:38}{rows:10,} rows {took:7.2f} s, {took / rows * 1e6:6.1f} s a million; processor: "
            f"server {used:6.2f} s, here {own:6.2f} s, {(used + own) / rows * 1e6:5.1f} s a million; "
            f"{wal / rows:5.0f} B of log a row; holds {held[0]:.0f} MB here, {held[1]:.0f} there; {', '.join(said)}",
            flush=True,
        )
    for statement, spent in PROFILE.spent.items() if statements else ():
        calls, took, used = len(spent.used), sum(spent.times), sum(spent.used)
        print(f"    {statement:60.60}{calls:6} calls {took:8.2f} s, {used:8.2f} s of processor")


if __name__ == "__main__":
    main()
