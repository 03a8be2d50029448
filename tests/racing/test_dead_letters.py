"""A race day that the mapping died of, sent again once it is mended: what the API said isn't asked for again."""

from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rederive.settings import Settings
from samples.racing.api import StandIn
from tests.another import Version
from tests.program import last_object, rederive
from tests.racing.rows import served, stored

pytestmark = pytest.mark.services

DAY = date(2024, 5, 18)


def test_a_race_day_is_sent_again(
    settings: Settings,
    database: psycopg.Connection,
    api: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    version = Version(monkeypatch, tmp_path / "other")
    version.poisoned("racing", b'"kind":"results"')
    days = ("--from", str(DAY), "--to", str(DAY))
    found = last_object(rederive(settings, "replay", "racing", *days, "--json", code=1).stdout)
    assert found["dead_units"] == 1
    asked = api.requests
    version()
    done = last_object(rederive(settings, "dlq", "requeue", "racing", "--json").stdout)
    reports: Any = done["captures"]
    (report,) = reports
    assert (report["capture_id"], report["dead_units"], report["errors"]) == (found["capture_id"], 0, 0)
    assert api.requests == asked
    assert stored(database) == served(api, [DAY])
    assert database.execute("SELECT state FROM rederive.captures").fetchall() == [("complete",)]
    assert database.execute("SELECT count(*) FROM ra_runners WHERE position = 1").fetchone() != (0,)
