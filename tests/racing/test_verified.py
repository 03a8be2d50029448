"""Days of racing verify as they were replayed; what is changed by hand is named."""

from datetime import date, timedelta

import psycopg
import pytest

from rederive.settings import Settings
from schemas.racing.tables import RACING
from tests.program import rederive
from tests.test_verify import verify, wrong

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("api")]

FIRST = date(2024, 5, 17)


def test_days_hold_until_somebody_changes_them(settings: Settings, database: psycopg.Connection) -> None:
    days = ("--from", str(FIRST), "--to", str(FIRST + timedelta(days=1)))
    rederive(settings, "replay", "racing", *days)
    rederive(settings, "replay-topic", "racing", "--reason", "again")
    clean = verify(settings)
    assert all(clean[table.name]["looked_at"] != "0 rows" for table in RACING.tables)
    verify(settings, "latest")
    database.execute("UPDATE ra_mst_horses SET name = 'Nobody', merge_xid = pg_current_xact_id()::xid")
    database.execute("UPDATE rederive.origins SET applied = '{}' WHERE topic LIKE '%racing.log'")
    found = wrong(settings)
    assert set(found) == {"ra_mst_horses", "origins"}
    fault = verify(settings, code=1)["ra_mst_horses"]["faults"][0]
    assert (fault["column"], fault["served"]) == ("name", "Nobody")
