"""Rollbacks that die and are said again, and rollbacks beside runs that plan: real Postgres, no Kafka."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from processors.finra.process import process
from producers.source import Refusal, Source
from rederive import captures
from rederive.cli.capture_text import facts
from rederive.database import connect
from rederive.finra.week import week
from rederive.progress import counts
from rederive.replayer import Replayer
from rederive.run import TakenOverError, _Steps
from rederive.settings import Settings
from schemas.capture import Capture
from schemas.errors import Failed
from schemas.finra.tables import FINRA, RAW, ROLLING, SNAPSHOT, TIER_VOLUME_SHARE
from schemas.finra.versions import PREFIX
from schemas.plan import PlannedUnit
from schemas.unit import Origin, Unit
from sinks.apply import Result, apply
from sinks.policies import prepare
from store import captures as stored_captures
from store import units
from tests.finra.runs import Walk, asked, counted, plan, weeks, write
from tests.finra.test_runs import everything
from tests.program import start
from tests.wait import until

pytestmark = pytest.mark.services

WEEKS = weeks(3)
Beside = Callable[[Callable[[psycopg.Connection], Any]], "Future[Any]"]
"""Does something with a connection of its own, beside the test."""

_RAW = "SELECT DISTINCT capture_id FROM finra_otc_transparency_raw WHERE execution_id = %s ORDER BY 1"


class Merged(Walk):
    """A run whose outcomes are written as the sink writes them."""

    def answer(self, unit: PlannedUnit[Any]) -> Unit | None:
        read = self.source.read(self.run, (), unit)
        if isinstance(read, Refusal):
            units.give_up(self._connection, self.run, read.unit.unit, read.reason)
            return None
        assert isinstance(read, Unit)
        origin = Origin(f"of {self.run}", 0, unit.unit)
        done = apply(self._connection, FINRA, self.run, [Result(origin, self.run, unit.unit, process(read.value, ()))])
        assert done.applied == 1
        return read


@pytest.fixture
def runs(migrated: str, tmp_path: Path) -> tuple[str, str]:
    """Two runs' ids: three weeks, then the second of them restated."""
    first, second = tmp_path / "weekly", tmp_path / "restated"
    write(first, WEEKS)
    write(second, WEEKS[1:2], edition=1)
    with connect(migrated, application="tests") as connection:
        prepare(connection, FINRA)
        one, two = (Merged(connection, asked(folder)).finish().run for folder in (first, second))
    return one, two


def stored(connection: psycopg.Connection) -> list[Any]:
    """All that a rollback decides: rows, the manifest, what `report week` shows, states."""
    return [
        everything(connection),
        [told(connection, day) for day in WEEKS],
        connection.execute("SELECT capture_id, state FROM rederive.captures ORDER BY number").fetchall(),
        connection.execute("SELECT capture_id, unit, state FROM rederive.units ORDER BY 1, 2").fetchall(),
    ]


def told(connection: psycopg.Connection, day: date) -> tuple[Any, ...]:
    """What `report week` shows, but for when the manifest was written."""
    found = week(connection, day, None)
    return found.captures, [(s.tier, s.stage, s.row_count, s.capture_id) for s in found.stages], found.shares


class DiedError(Exception):
    """Stands for a kill: the transaction under way is lost, those before stay."""


class Mortal(psycopg.Connection[Any]):
    """A connection that dies before a statement, however far it has got."""

    left = 0

    def execute(self, *words: Any, **more: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise DiedError
        return super().execute(*words, **more)


@contextmanager
def copied(url: str) -> Iterator[str]:
    """A copy of a database that nobody is connected to."""
    name = conninfo_to_dict(url)["dbname"]
    copy = f"{name}_copy"
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as connection:
        of, to = sql.Identifier(str(name)), sql.Identifier(copy)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(to, of))
        try:
            yield make_conninfo(url, dbname=copy)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(to))


def undisturbed(url: str, capture_id: str) -> list[Any]:
    """What a rollback leaves that nothing happens to."""
    with copied(url) as copy, connect(copy, application="tests") as connection:
        before = stored(connection)
        done = dict(captures.rollback(connection, capture_id))
        after = stored(connection)
        assert after != before
        manifest = {row[0] for row in connection.execute("SELECT capture_id FROM core_manifest")}
        kept = {row[0] for row in connection.execute("SELECT capture_id FROM rederive.core_manifest_history")}
        assert manifest <= kept
        assert done["core_manifest"].changed + done["core_manifest"].deleted > 0
        return after


@pytest.mark.parametrize("of", ["run", "partition", "first run"])
def test_a_rollback_that_dies_anywhere_is_completed_by_the_same_words(
    migrated: str, runs: tuple[str, str], of: str
) -> None:
    capture_id = runs[0] if of == "first run" else runs[1]
    if of == "partition":
        with connect(migrated, application="tests") as connection:
            ((capture_id,),) = connection.execute(_RAW, [runs[1]]).fetchall()
    expected = undisturbed(migrated, capture_id)
    for lives in count():
        with Mortal.connect(migrated, autocommit=True) as connection:
            connection.left = lives
            with suppress(DiedError):
                list(captures.rollback(connection, capture_id))
            if connection.left >= 0:
                break
    assert lives > 10
    with connect(migrated, application="tests") as connection:
        assert stored(connection) == expected
        assert captures.nothing_to_take_back(connection, capture_id) == (
            f"{capture_id} is rolled back already, there is nothing more to take back"
        )


def in_the_way(connection: psycopg.Connection, event: str, waiting: int = 1) -> None:
    """Until so many connections of the database wait for a lock of this kind."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = %s"

    def found() -> bool:
        row = connection.execute(query, [event]).fetchone()
        return row == (waiting,)

    until(found, 30, f"nobody waits for a lock ({event})")


@pytest.fixture
def beside(migrated: str) -> Iterator[Beside]:
    """Does something with a connection of its own, beside the test."""

    def act(what: Callable[[psycopg.Connection], Any]) -> Any:
        with connect(migrated, application="beside") as connection:
            return what(connection)

    with ThreadPoolExecutor(4) as pool:
        yield lambda what: pool.submit(act, what)


def test_of_two_rollbacks_at_once_the_second_says_that_it_is_done(
    settings: Settings, migrated: str, runs: tuple[str, str], beside: Beside
) -> None:
    _, run = runs
    with connect(migrated, application="tests") as connection:
        with connect(migrated, application="holder", autocommit=False) as holder:
            holder.execute("SELECT FROM core_manifest FOR UPDATE")
            first = beside(lambda other: dict(captures.rollback(other, run)))
            in_the_way(connection, "transactionid")
            second = start(settings, "captures", "rollback", run, "--yes")
            in_the_way(connection, "advisory")
        said, problem = second.communicate(timeout=60)
        assert second.returncode == 0, problem
        assert said == f"{run} is rolled back already, there is nothing more to take back\n"
        assert first.result(30)["finra_otc_transparency_raw"].deleted > 0


def test_units_that_were_taken_back_count_no_rows(settings: Settings, migrated: str, tmp_path: Path) -> None:
    write(tmp_path / "weekly", WEEKS[:1])
    with connect(migrated, application="tests") as connection:
        prepare(connection, FINRA)
        walk = Merged(connection, asked(tmp_path / "weekly"))
        (unit,) = walk.units("planned")
        walk.answer(unit)
        there = units.progress(connection, walk.run)
        assert (there.units_removed, there.updated > 0) == (0, True)
        captures.cancel(connection, walk.run)
        ((raw,),) = connection.execute(_RAW, [walk.run]).fetchall()
        assert dict(captures.rollback(connection, raw))["finra_otc_transparency_raw"].deleted > 0

        found = captures.reopen(connection, walk.run)
        assert stored_captures.finish(connection, found.capture_id)
        report = Replayer(settings, migrated).run(captures.find(connection, walk.run), lambda _: None)
        assert counts(report.progress) == (
            "0/0 rows read, 0 new rows, 0 rejected, 0 errors; 1 of 1 unit was taken back"
        )
        assert (report.describe()["removed_units"], report.describe()["updated"]) == (1, 0)
        (listed,) = stored_captures.listed(connection, limit=1)
        assert (listed.units_removed, listed.rows, listed.updated) == (1, 0, 0)
        assert ("units", "1 of 1 done, 0 dead, 1 taken back") in facts(captures.shown(connection, walk.run))


def test_what_is_planned_on_is_not_taken_back(
    settings: Settings,
    migrated: str,
    runs: tuple[str, str],
    beside: Beside,
) -> None:
    _, run = runs
    again = asked(None, force=True)
    replayer = Replayer(settings, migrated)

    def roll_back(connection: psycopg.Connection) -> Any:
        return dict(captures.rollback(connection, run))

    def reading(walk: Walk, capture_id: str) -> list[PlannedUnit[Any]]:
        return [unit for unit in walk.units() if capture_id in unit.reads]

    with connect(migrated, application="tests") as connection:
        ((raw,),) = connection.execute(_RAW, [run]).fetchall()
        prepare(connection, FINRA)
        before = everything(connection)
        with connection.transaction():
            walk = Merged(connection, again)
            assert len(reading(walk, raw)) == 1
            refused = beside(roll_back)
            with connect(migrated, application="looking") as looking:
                in_the_way(looking, "advisory")
        with pytest.raises(Failed, match=f"{walk.run} writes or reads what {run} holds, and is not complete"):
            refused.result(30)
        assert everything(connection) == before
        assert captures.find(connection, run).state == "complete"
        made = plan(connection, again)
        walk.answer(*reading(walk, raw))
        captures.cancel(connection, walk.run)

        with connect(migrated, application="holder", autocommit=False) as holder:
            holder.execute("SELECT FROM core_manifest FOR UPDATE")
            done = beside(roll_back)
            in_the_way(connection, "transactionid")
            late = beside(lambda other: Walk(other, again).units())
            resumed = beside(lambda other: captures.reopen(other, walk.run))
            applied = beside(lambda _: replayer.mint(made, dry_run=False, reason=""))
            in_the_way(connection, "advisory", 3)
        assert done.result(30)["finra_otc_transparency_raw"].deleted > 0
        assert late.result(30)
        assert all(raw not in unit.reads for unit in late.result(30))
        with pytest.raises(Failed, match=r"the plan is stale, nothing was sent\n  why: .* rolled back"):
            applied.result(30)
        # One unit of it was taken back, what others were to read is gone; it comes to its end all the same.
        assert resumed.result(30).state == "running"
        assert [unit.unit for unit in walk.units("removed")] == [unit.unit for unit in reading(walk, raw)]
        walk.finish()
        assert captures.find(connection, walk.run).state == "complete"


class _Lanes:
    """Where a run would send to."""

    def open(self, *_: object) -> None: ...

    def poll(self) -> list[object]:
        return []

    def processes(self) -> dict[str, list[int]]:
        return {}


class _Pausing(Source[Any]):
    """A run's source that finds what is due while somebody rolls the run back."""

    def __init__(self, source: Source[Any], begun: Callable[[], None]) -> None:
        self._source, self._begun = source, begun

    open = head = pages = notes = stale = read = None  # type: ignore[assignment]

    def more(self, connection: psycopg.Connection, capture: Capture) -> Iterator[Sequence[PlannedUnit[Any]]]:
        pages = list(self._source.more(connection, capture))
        self._begun()
        yield from pages


def test_units_that_are_added_meanwhile_are_taken_back_too(migrated: str, tmp_path: Path, beside: Beside) -> None:
    write(tmp_path / "weekly", WEEKS)
    with connect(migrated, application="tests") as connection:
        prepare(connection, FINRA)
        walk = Merged(connection, asked(tmp_path / "weekly"))
        for unit in walk.units("planned"):
            walk.answer(unit)
        rollbacks: list[Future[Any]] = []

        def begun() -> None:
            rollbacks.append(beside(lambda other: dict(captures.rollback(other, walk.run))))
            with connect(migrated, application="looking") as looking:
                in_the_way(looking, "advisory")

        steps = _Steps(walk.capture, _Lanes(), lambda _: None)  # type: ignore[arg-type]
        steps.begin(connection, _Pausing(walk.source, begun))
        steps.advance()
        rollbacks[0].result(30)
        states = connection.execute("SELECT DISTINCT state FROM rederive.units").fetchall()
        assert states == [("removed",)]
        assert len(walk.units()) > len(WEEKS)
        assert not any(rows for name, rows in everything(connection).items() if name != "core_manifest")
        with pytest.raises(TakenOverError, match=f"{walk.run} is rolled-back"):
            until(steps.advance, 10, "the run goes on")


def partitions(connection: psycopg.Connection) -> dict[str, set[tuple[date, str]]]:
    """By table the weeks and tiers that it has rows of."""
    return {
        table.name: set(connection.execute(f"SELECT week_ending, tier FROM {table.name}").fetchall())
        for table in FINRA.tables
        if table.name.startswith(PREFIX)
    }


def test_only_what_was_derived_goes_with_a_week(migrated: str, tmp_path: Path) -> None:
    all_weeks = weeks(9)
    gone = all_weeks[1]
    write(tmp_path / "weekly", all_weeks, ("OTC", "ATS"))
    with connect(migrated, application="tests") as connection:
        prepare(connection, FINRA)
        walk = Merged(connection, asked(tmp_path / "weekly")).finish()
        ((raw,),) = connection.execute(
            f"SELECT DISTINCT capture_id FROM {RAW.name} WHERE week_ending = %s AND tier = 'OTC'", [gone]
        ).fetchall()
        before = partitions(connection)
        previewed = captures.rollback_preview(connection, raw)
        done = dict(captures.rollback(connection, raw))
        after = partitions(connection)
        rolled = {(week, "OTC") for week in all_weeks[5:7]}
        for table in FINRA.tables:
            if table.name.startswith(PREFIX):
                expected = {(gone, "OTC")}
                if table is TIER_VOLUME_SHARE:
                    expected |= {(gone, "ATS")}
                elif table is ROLLING:
                    expected = rolled
                elif table is SNAPSHOT:
                    expected |= rolled
                assert before[table.name] - after[table.name] == expected, table.name
                assert previewed[table.name]["deleted"] == done[table.name].deleted
        # What has gone is what is due: the same files give the same rows again.
        again = Merged(connection, asked(tmp_path / "weekly")).finish()
        assert counted(again) == {"file": 1, "tier_split": 1, "rolling": 6, "snapshot": 6}
        assert walk.run != again.run
