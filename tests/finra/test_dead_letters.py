"""A weekly file that the formulas died of, sent again once they are mended: its stages follow all the same."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from rederive.settings import Settings
from schemas.finra.tables import FINRA
from schemas.finra.versions import PREFIX
from tests.another import Version
from tests.finra.runs import weeks, write
from tests.program import last_object, rederive
from tests.sinks.captures import miscounted

pytestmark = pytest.mark.services


def test_a_file_is_sent_again(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = weeks(2)
    world = write(tmp_path / "weekly", (first, second))
    version = Version(monkeypatch, tmp_path / "other")
    version.poisoned("finra", world.file(second, "OTC").name.encode())
    found = last_object(
        rederive(settings, "replay", "finra", "--source", str(tmp_path / "weekly"), "--json", code=1).stdout
    )
    assert found["dead_units"] == 1

    def stored(table: str) -> list[object]:
        query = f"SELECT DISTINCT week_ending FROM {PREFIX}{table} ORDER BY 1"
        return [row[0] for row in connection.execute(query)]

    assert stored("raw") == [first]
    version()
    done = last_object(rederive(settings, "dlq", "requeue", "finra", "--json").stdout)
    reports: Any = done["captures"]
    (report,) = reports
    assert (report["capture_id"], report["dead_units"], report["errors"]) == (found["capture_id"], 0, 0)
    for table in ("raw", "venue_share", "research_snapshot"):
        assert stored(table) == [first, second], table
    assert connection.execute("SELECT DISTINCT state FROM rederive.captures").fetchall() == [("complete",)]
    assert miscounted(connection, FINRA.tables) == []
