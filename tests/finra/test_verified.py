"""Weeks of FINRA verify as they were replayed, and after a rollback; what is changed by hand is named."""

from pathlib import Path

import psycopg
import pytest

from rederive.settings import Settings
from schemas.finra.tables import FINRA, RAW, VENUE_VOLUME
from tests.finra.runs import weeks, write
from tests.program import rederive
from tests.test_verify import verify, wrong

pytestmark = pytest.mark.services


def test_weeks_hold_until_somebody_changes_them(
    settings: Settings, connection: psycopg.Connection, tmp_path: Path
) -> None:
    folder = tmp_path / "weekly"
    write(folder, weeks(7), ("OTC", "ATS"))
    rederive(settings, "replay", "finra", "--source", str(folder))
    write(folder, weeks(1), ("OTC",), 1)
    rederive(settings, "replay", "finra", "--source", str(folder))
    clean = verify(settings)
    assert {table.name for table in FINRA.tables} < set(clean)
    assert all(check["apart"] == [] for check in clean.values()), clean
    verify(settings, "latest")
    (capture,) = connection.execute(
        "SELECT writes[1] FROM rederive.units WHERE stage = 'rolling' ORDER BY capture_id DESC, unit LIMIT 1"
    ).fetchall()
    of_partition = verify(settings, capture[0])
    assert "core_manifest" in of_partition

    # Rows that are deleted by hand are counted; they are said apart.
    (newest,) = connection.execute("SELECT capture_id FROM rederive.captures ORDER BY number DESC LIMIT 1").fetchall()
    first = f"SELECT min(line_number) FROM {RAW.name}"
    assert connection.execute(f"DELETE FROM {RAW.name} WHERE line_number = ({first})").rowcount > 0
    assert "others were deleted" in verify(settings)["written captures"]["apart"][0]
    connection.execute(f"UPDATE {VENUE_VOLUME.captures} SET rows = rows + 1")
    assert set(wrong(settings)) == {VENUE_VOLUME.name}
    assert set(wrong(settings, newest[0])) == {VENUE_VOLUME.name}
    connection.execute(f"UPDATE {VENUE_VOLUME.captures} SET rows = rows - 1")

    connection.execute("UPDATE core_manifest SET row_count = -1, merge_xid = pg_current_xact_id()::xid")
    assert set(wrong(settings, newest[0])) == {"core_manifest"}
    assert set(wrong(settings, capture[0])) == {"core_manifest"}
    connection.execute("UPDATE core_manifest SET row_count = -1, merge_xid = NULL")

    rederive(settings, "captures", "rollback", newest[0], "--yes")
    verify(settings)
    connection.execute("DELETE FROM finra_otc_transparency_symbol_rolling_6w")
    assert set(wrong(settings)) == {"written captures"}
