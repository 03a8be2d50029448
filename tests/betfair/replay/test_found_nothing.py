"""What the current formulas have found nothing for is not asked again, unless something may be different now."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.types.json import Jsonb

from processors.betfair.process import process
from producers.betfair.snapshots import Snapshots, SnapshotTable
from producers.source import DraftOfSource, Request, Services, make_plan
from schemas.betfair.tables import BETFAIR, SCOPES
from schemas.plan import Plan
from schemas.table import Mode
from schemas.unit import Origin
from sinks.apply import Result, apply
from sinks.merge.merging import prepare
from store import captures, units
from tests.betfair.reports import made

pytestmark = pytest.mark.services

L1 = SCOPES["l1"]


def _request(columns: tuple[str, ...] = L1, **more: Any) -> Request:
    return Request(BETFAIR.name, Mode.FILL, columns, **more)


def _source(connection: psycopg.Connection) -> SnapshotTable:
    return SnapshotTable(BETFAIR, Services(connection, lambda: connection, {}))


def _plan(connection: psycopg.Connection, columns: tuple[str, ...] = L1, **more: Any) -> Plan[Snapshots]:
    with closing(_source(connection)) as source:
        return make_plan(source, _request(columns, **more))


def _ids(plan: Plan[Snapshots]) -> list[int]:
    return [key for unit in plan.units for key in unit.locator.ids]


def _run(connection: psycopg.Connection, request: Request, *, dry_run: bool = False) -> str:
    """A capture, its units computed and applied as agents and sinks do it."""
    source = _source(connection)
    capture, _ = captures.mint(connection, DraftOfSource(source, request), who="tests", reason="", dry_run=dry_run)
    for unit in units.planned(connection, capture.capture_id, -1, 1_000, source.located):
        read = source.read(capture.capture_id, capture.columns, unit)
        outcome = process(read.value, capture.columns)  # type: ignore[union-attr]
        origin = Origin("betfair.replay", 0, unit.unit)
        done = apply(connection, BETFAIR, capture.capture_id, [Result(origin, capture.capture_id, unit.unit, outcome)])
        assert done.applied == 1
    captures.finish(connection, capture.capture_id)
    return capture.capture_id


def _change(connection: psycopg.Connection, table: str, key: int, column: str, value: object) -> None:
    connection.execute(f"UPDATE {table} SET {column} = %s WHERE snapshot_id = %s", [value, key])


@pytest.fixture
def holes(connection: psycopg.Connection) -> psycopg.Connection:
    """Five snapshots: 1 whole, 2 without home ladder, 3 without any back ladder, 4 without roles, 5 without a row."""
    made.market(connection, "1.1")
    made.market(connection, "1.2", ids=(made.HOME, None, made.DRAW))
    no_home, no_backs = made.payload(), made.payload()
    no_home["runners"][0]["ex"]["availableToBack"] = []
    for runner in no_backs["runners"]:
        runner["ex"]["availableToBack"] = []
    for key, raw in enumerate((made.PAYLOAD, no_home, no_backs, made.PAYLOAD, no_backs), start=1):
        made.snapshot(connection, key, "1.2" if key == 4 else "1.1", made.START + timedelta(minutes=key), raw)
        if key < 5:
            made.derived(connection, key)
    prepare(connection, BETFAIR.tables)
    return connection


def test_what_was_computed_as_null_is_left_out_and_said(holes: psycopg.Connection) -> None:
    _run(holes, _request(), dry_run=True)
    assert _ids(_plan(holes)) == [1, 2, 3, 4, 5], "a dry run proves nothing"
    first = _run(holes, _request())
    again = _plan(holes)
    assert _ids(again) == [4], "what was skipped may have its metadata now"
    (said,) = again.notes
    assert said.startswith("3 left out: version 1 has computed them from these payloads, what is NULL is NULL again")
    assert _ids(_plan(holes, all_rows=True)) == [1, 2, 3, 4, 5]
    assert _ids(_plan(holes, (*L1, "total_volume"))) == [1, 2, 3, 4, 5], "a column out of that run's scope is asked"

    holes.execute("UPDATE rederive.captures SET state = 'rolled-back' WHERE capture_id = %s", [first])
    assert _ids(_plan(holes)) == [2, 3, 4, 5]


def test_what_may_be_different_now_is_picked_again(holes: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(holes, _request())
    for key in (2, 3):
        _change(holes, "market_book_snapshots", key, "raw_payload", Jsonb(made.PAYLOAD, dumps=orjson.dumps))
    _change(holes, "market_derived_metrics", 1, "home_best_back_size_l1", None)
    assert _ids(_plan(holes)) == [1, 2, 3, 4], "payloads that were written again, a value taken away from outside"
    _run(holes, _request())
    assert _ids(_plan(holes)) == [4]

    monkeypatch.setattr("producers.betfair.computed.BETFAIR", _newer())
    assert _ids(_plan(holes)) == [4, 5], "other formulas are asked"


def _newer() -> Any:
    return replace(BETFAIR, derivation_version=BETFAIR.derivation_version + 1)
