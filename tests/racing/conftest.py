from collections.abc import Iterator

import psycopg
import pytest

from rederive.settings import Settings
from samples.racing.api import StandIn
from tests.racing.rows import TODAY


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in, and an environment that leads to it, without patience for faults."""
    with StandIn(today=TODAY) as running:
        monkeypatch.setenv("RACING_API_BASE_URL", running.base_url)
        monkeypatch.setenv("RACING_API_USERNAME", "standin")
        monkeypatch.setenv("RACING_API_PASSWORD", "standin")
        monkeypatch.setenv("RACING_API_TIMEOUT", "2")
        yield running


@pytest.fixture
def database(settings: Settings, migrated: str) -> Iterator[psycopg.Connection]:
    """The test's database, migrated."""
    assert settings.database_url is not None
    with psycopg.connect(migrated, autocommit=True) as connection:
        yield connection
