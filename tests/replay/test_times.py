"""Times that Postgres has and Python hasn't stop no plan and no report; a run's own end outlives its rollback."""

from contextlib import closing
from datetime import timedelta

import psycopg
import pytest

from producers import ledger
from producers.betfair import SnapshotTable
from producers.source import Finding, Request, make_plan
from rederive import captures
from rederive.reports.checkpoints import checkpoints
from rederive.reports.continuity import continuity
from rederive.reports.fillable import fillable
from rederive.reports.ladders import ladder_availability
from rederive.reports.nulls import null_audit
from rederive.reports.spot import spot_check
from schemas.betfair import BETFAIR, METRICS, SCOPES
from schemas.errors import Failed
from schemas.table import Mode
from sinks.merge import prepare
from tests.replay.stored import scalar
from tests.reports import made

pytestmark = pytest.mark.services

REQUEST = Request(BETFAIR.name, Mode.FILL, SCOPES["l1"])


@pytest.fixture
def beyond(connection: psycopg.Connection) -> psycopg.Connection:
    """Snapshots 1 to 3 of one market; 2 and 3 are of times that Python hasn't. All have an empty derived row."""
    made.market(connection, "1.1", kickoff=made.START)
    for key in (1, 2, 3):
        made.snapshot(connection, key, "1.1", made.START + timedelta(minutes=key))
    connection.execute("UPDATE market_book_snapshots SET snapshot_at = '0044-03-15 BC' WHERE snapshot_id = 2")
    connection.execute("UPDATE market_book_snapshots SET snapshot_at = 'infinity' WHERE snapshot_id = 3")
    for key in (1, 2, 3):
        made.derived(connection, key)
    prepare(connection, BETFAIR.tables)
    return connection


def test_they_are_left_out_of_plans_and_said(beyond: psycopg.Connection) -> None:
    def planned() -> tuple[list[int], tuple[str, ...]]:
        with closing(SnapshotTable(beyond)) as source:
            plan = make_plan(source, REQUEST)
        return [key for unit in plan.units for key in unit.picked["ids"]], plan.notes

    said = "2 left out: snapshot_at is outside the years 1 to 9999, the first is snapshot 2"
    assert planned() == ([1], (said,))
    beyond.execute("DELETE FROM market_book_snapshots WHERE snapshot_id = 1")
    assert planned() == ([], (said, "nothing to do"))


def test_they_stop_no_report(beyond: psycopg.Connection) -> None:
    audit = null_audit(beyond, SCOPES["l1"])
    first = made.START + timedelta(minutes=1)
    assert (audit.rows, audit.inventory.snapshots, audit.inventory.oldest, audit.inventory.newest) == (
        3, 3, first, first,
    )  # fmt: skip
    assert [row.snapshot_id for row in audit.sample] == [1]
    assert [row.snapshot_id for row in spot_check(beyond, METRICS[:2])] == [1]
    assert ladder_availability(beyond, SCOPES["l1"], limit=10).examined == 1
    assert fillable(beyond, SCOPES["l1"]).examined == 1
    assert {point.snapshot_id for point in checkpoints(beyond, "1.1").points} == {1}
    assert continuity(beyond, "1.1").intervals.first == first


def test_a_rollback_leaves_when_the_run_ended(beyond: psycopg.Connection) -> None:
    def run() -> str:
        capture, _ = ledger.mint(beyond, Finding(SnapshotTable(beyond), REQUEST), who="t", reason="", dry_run=False)
        return capture.capture_id

    def ended(capture_id: str) -> object:
        return scalar(beyond, "SELECT finished_at FROM rederive.captures WHERE capture_id = %s", capture_id)

    whole, broken = run(), run()
    captures.cancel(beyond, whole)
    before = ended(whole)
    for one in (whole, broken):
        list(captures.rollback(beyond, one))
    assert ended(whole) == before
    assert ended(broken) is not None
    with pytest.raises(Failed, match=r"^there is no capture ''"):
        captures.named(beyond, "")
