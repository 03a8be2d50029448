"""`rederive live` of the domains that arrive by days and by files: what comes stands in the tables by itself."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from rederive.settings import Settings
from samples.finra.files import FinraFiles
from samples.racing.api import StandIn
from schemas.finra.versions import PREFIX
from tests.finra.runs import weeks
from tests.live.test_following import SECONDS, end, stop
from tests.program import start
from tests.wait import until

pytestmark = pytest.mark.services

(WEEK,) = weeks(1)
WORLD = FinraFiles(symbols=4, rows=12)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A watched folder and an API that stands in for today's."""
    watched = tmp_path / "weekly"
    watched.mkdir()
    monkeypatch.setenv("FINRA_FOLDER", str(watched))
    monkeypatch.setenv("FINRA_SETTLE_SECONDS", "0.2")
    with StandIn(today=datetime.now(UTC).date()) as api:
        monkeypatch.setenv("RACING_API_BASE_URL", api.base_url)
        monkeypatch.setenv("RACING_API_USERNAME", "standin")
        monkeypatch.setenv("RACING_API_PASSWORD", "standin")
        yield watched


def drop(folder: Path, edition: int) -> None:
    made = WORLD.file(WEEK, "OTC", edition)
    coming = folder / f"{made.name}.part"
    coming.write_bytes(made.content)
    coming.rename(folder / made.name)


def count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.long
def test_days_and_weeks_arrive_by_themselves(settings: Settings, connection: psycopg.Connection, folder: Path) -> None:
    live = start(settings.model_copy(update={"workers": 1, "sinks": 1}), "live", "racing", "finra")
    captures = f"SELECT count(DISTINCT capture_id) FROM {PREFIX}raw"
    try:
        drop(folder, 0)
        until(lambda: count(connection, captures) == 1, SECONDS, "the week does not arrive")
        until(lambda: count(connection, "SELECT count(*) FROM ra_runners"), SECONDS, "no race arrives")
        drop(folder, 1)
        until(lambda: count(connection, captures) == 2, SECONDS, "the restated week does not arrive")
        runs = "SELECT count(*) FROM rederive.captures WHERE domain = 'finra' AND state = 'complete'"
        until(lambda: count(connection, runs) == 2, SECONDS, "what follows is not computed")
        assert count(connection, "SELECT count(*) FROM rederive.captures WHERE source = 'live' AND domain = 'racing'")
        assert "Traceback" not in stop(live)
    finally:
        end(live)
