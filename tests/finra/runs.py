"""Runs without Kafka: plan a request, compute its units as agents would, store their rows, until nothing is due."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psycopg

from processors.finra.process import process
from producers.source import DraftOfSource, Refusal, Request, Services, Source, make_plan, open_source
from samples.finra.files import FinraFiles
from schemas.finra.partition import fridays
from schemas.finra.tables import FINRA
from schemas.plan import Plan, PlannedUnit
from schemas.table import Mode
from schemas.unit import Unit
from store import captures, units
from tests.finra.stored import store

FIRST = date(2025, 1, 3)
"""A Friday."""


OWN = {"id", "updated_at", "merge_xid", "capture_id", "captured_at", "execution_id", "batch_id", "input_capture_id"}
OWN |= {"ingested_at", "normalized_at", "calculated_at", "computed_at", "derivation_version"}
OWN |= {f"input_{which}_{what}" for which in ("min", "max") for what in ("capture_id", "captured_at")}
"""Columns that are a capture's own: other captures of the same files have other values there."""


def weeks(count: int, first: date = FIRST) -> list[date]:
    return fridays(first, first + timedelta(weeks=count - 1))


def write(
    folder: Path, weeks: Sequence[date], tiers: Sequence[str] = ("OTC",), edition: int = 0, *, symbols: int = 8
) -> FinraFiles:
    """Files of a small made-up world."""
    world = FinraFiles(symbols=symbols, rows=3 * symbols)
    folder.mkdir(exist_ok=True)
    for week in weeks:
        for tier in tiers:
            made = world.file(week, tier, edition)
            (folder / made.name).write_bytes(made.content)
    return world


def asked(
    source: Path | None = None,
    first: date | None = None,
    last: date | None = None,
    *,
    tiers: Sequence[str] = (),
    calc: Sequence[str] = (),
    **options: object,
) -> Request:
    end = datetime.combine(last + timedelta(days=1), time(), UTC) if last else None
    return Request(
        domain=FINRA.name,
        mode=Mode.INSERT,
        columns=(),
        start=datetime.combine(first, time(), UTC) if first else None,
        end=end,
        keys=tuple(tiers),
        kinds=tuple(calc),
        options={"source": str(source) if source else None, **options},
    )


def opened(connection: psycopg.Connection, request: Request) -> Source[Any]:
    name = "files" if request.options["source"] else "table"
    return open_source(FINRA, name, Services(connection, lambda: connection, {}))


def plan(connection: psycopg.Connection, request: Request) -> Plan[Any]:
    with closing(opened(connection, request)) as source:
        return make_plan(source, request)


class Walk:
    """A run, a unit at a time."""

    def __init__(self, connection: psycopg.Connection, request: Request, source: Source[Any] | None = None) -> None:
        self._connection = connection
        self.source = source or opened(connection, request)
        draft = DraftOfSource(self.source, request)
        self.capture, self.head = captures.mint(
            connection, draft, who="tests", reason="", dry_run=False, becomes=Mode.INSERT
        )

    @property
    def run(self) -> str:
        return self.capture.capture_id

    def units(self, state: str | None = None) -> list[PlannedUnit[Any]]:
        return [
            PlannedUnit(
                unit=one.unit,
                key_range=one.key_range,
                locator=self.source.located(one.locator),
                stage=one.stage,
                reads=one.reads,
                writes=one.writes,
            )
            for one in units.of_capture(self._connection, self.run)
            if state is None or one.state == state
        ]

    def ranges(self) -> list[str]:
        return [unit.key_range for unit in self.units()]

    def answer(self, unit: PlannedUnit[Any]) -> Unit | None:
        """What sending a unit and applying its outcome leaves behind; the unit as it was sent."""
        read = self.source.read(self.run, (), unit)
        if isinstance(read, Refusal):
            units.give_up(self._connection, self.run, read.unit.unit, read.reason)
            return None
        assert isinstance(read, Unit)
        with self._connection.transaction():
            outcome = process(read.value, ())
            store(self._connection, outcome)
            self._connection.execute(
                "UPDATE rederive.units SET state = 'applied', rows = %s WHERE (capture_id, unit) = (%s, %s)",
                [outcome.read, self.run, unit.unit],
            )
        return read

    def more(self, pages: int | None = None) -> int:
        """Ask what has become due, once; how many units were added. With `pages`, die after so many."""
        added = 0
        for number, due in enumerate(self.source.more(self._connection, self.capture)):
            if number == pages:
                break
            units.append(self._connection, self.run, due)
            added += len(due)
        return added

    def finish(self) -> "Walk":
        """To the end."""
        while True:
            for unit in self.units("planned"):
                self.answer(unit)
            if not self.more():
                assert captures.finish(self._connection, self.run)
                return self


def done(connection: psycopg.Connection, request: Request) -> Walk:
    return Walk(connection, request).finish()


def counted(walk: Walk) -> dict[str, int]:
    """Units by stage."""
    found: dict[str, int] = {}
    for unit in walk.units():
        found[unit.stage] = found.get(unit.stage, 0) + 1
    return found
