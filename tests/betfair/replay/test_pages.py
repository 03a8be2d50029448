"""Plans of many snapshots: all pages are of one query, in order, and of what stood there when it began."""

from contextlib import closing
from datetime import timedelta

import psycopg
import pytest

from producers.betfair import snapshots
from producers.betfair.snapshots import SnapshotTable
from producers.source import Request, Services
from schemas.betfair.tables import BETFAIR, SCOPES
from schemas.table import Mode
from sinks.policies import prepare
from tests.betfair.reports import made

pytestmark = pytest.mark.services


@pytest.mark.parametrize(("limit", "sizes"), [(None, [2, 2, 1]), (4, [2, 2]), (3, [2, 1])])
@pytest.mark.parametrize("within", [False, True])
def test_pages_hold_every_snapshot_once_in_order(
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    limit: int | None,
    sizes: list[int],
    *,
    within: bool,
) -> None:
    monkeypatch.setattr(snapshots, "PAGE_ROWS", 2)
    for market in ("1.1", "1.2"):
        made.market(connection, market, kickoff=made.START)
    # Younger ids are older, and two share a moment.
    for key, minute in ((1, 40), (2, 30), (3, 30), (4, 20), (5, 10)):
        made.snapshot(connection, key, f"1.{1 + key % 2}", made.START + timedelta(minutes=minute))
    prepare(connection, BETFAIR)
    request = Request(BETFAIR.name, Mode.FILL, SCOPES["l1"], limit=limit)

    def paged() -> list[list[int]]:
        pages = []
        with closing(SnapshotTable(BETFAIR, Services(connection, lambda: connection, {}))) as source:
            for page in source.pages(request):
                pages.append([key for unit in page.units for key in unit.locator.ids])
                connection.execute("DELETE FROM market_book_snapshots WHERE snapshot_id = 1")
        return pages

    if within:
        with connection.transaction():
            pages = paged()
    else:
        pages = paged()
    assert [len(page) for page in pages] == sizes
    assert [key for page in pages for key in page] == [5, 4, 2, 3, 1][:limit]
