"""What live says when a domain can't begin, and that the others do."""

import psycopg
import pytest

from rederive.settings import Settings
from tests.live.ingesting import derived, insert, markets, stream
from tests.live.test_following import SECONDS, end, stop
from tests.program import rederive, start
from tests.wait import until

pytestmark = pytest.mark.services


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder and no access to an API."""
    for name in ("FINRA_FOLDER", "RACING_API_USERNAME", "RACING_API_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("migrated")
def test_a_domain_alone_that_cannot_begin_ends_with_what_to_do(settings: Settings) -> None:
    done = rederive(settings, "live", "finra", code=1)
    assert "FINRA_FOLDER is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_that_cannot_begin_holds_no_other_back(settings: Settings, connection: psycopg.Connection) -> None:
    markets(connection)
    snapshots = stream()
    live = start(settings.model_copy(update={"workers": 1}), "live", "finra", "betfair")
    try:
        begun = "SELECT 1 FROM rederive.cursors"
        until(lambda: connection.execute(begun).fetchone(), SECONDS, "the other does not begin")
        insert(connection, next(snapshots))
        until(lambda: derived(connection) == 1, SECONDS, "the other derives nothing")
        live.terminate()
        _, said = live.communicate(timeout=SECONDS)
        assert live.returncode == 1
        assert "live finra stops and is begun again in 60 s" in said
        assert "FINRA_FOLDER is not set" in said
    finally:
        end(live)


def test_a_database_without_tables_is_told_to_migrate(settings: Settings) -> None:
    done = rederive(settings, "live", "betfair", code=1)
    assert "rederive migrate" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_domain_is_wrong_usage(settings: Settings, database_url: str) -> None:  # noqa: ARG001
    assert "betfair" in rederive(settings, "live", "betfiar", code=2).stderr


@pytest.mark.usefixtures("migrated")
def test_live_that_is_stopped_at_once_stops(settings: Settings) -> None:
    live = start(settings, "live", "betfair")
    try:
        until((settings.home / "logs" / "betfair-live.log").exists, SECONDS, "it does not begin")
        stop(live)
    finally:
        end(live)
