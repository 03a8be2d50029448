"""A formula was wrong, live has computed by it: what is on the logs is derived again while the fixed one is live."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from rederive.settings import Settings
from samples.finra.files import FinraFiles
from samples.racing.api import StandIn
from schemas.finra.tables import CONCENTRATION
from tests.finra.runs import weeks
from tests.live.ingesting import Ingesters, check_values, derived, lacking, markets, stream
from tests.live.test_following import SECONDS, end, stop
from tests.program import ROOT, last_object, start
from tests.wait import until

pytestmark = pytest.mark.services

RISK, WEIGHT, HHI = "market_derived_metrics.home_book_risk_l3", "ra_runners.weight_lbs", f"{CONCENTRATION.name}.hhi"
WRONG = {"betfair": RISK, "racing": WEIGHT, "finra": HHI}
NAMES_ITS_CAPTURE = "core_manifest.metrics_json"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A watched folder and an API that stands in for today's."""
    watched = tmp_path / "weekly"
    watched.mkdir()
    monkeypatch.setenv("FINRA_FOLDER", str(watched))
    monkeypatch.setenv("FINRA_SETTLE_SECONDS", "0.2")
    monkeypatch.setenv("TEST_PYTHONPATH", str(ROOT / "samples" / "release"))
    with StandIn(today=datetime.now(UTC).date()) as api:
        monkeypatch.setenv("RACING_API_BASE_URL", api.base_url)
        monkeypatch.setenv("RACING_API_USERNAME", "standin")
        monkeypatch.setenv("RACING_API_PASSWORD", "standin")
        yield watched


def command(settings: Settings, *words: str, code: int = 0) -> str:
    """A command of the release that the environment names, to its end; what it prints."""
    process = start(settings, *words)
    said, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == code, f"{words} ended with {process.returncode}\n{said}\n{errors}"
    return said


def values_of(connection: psycopg.Connection, name: str) -> dict[tuple[Any, ...], float]:
    """A column's values by key, of what is served."""
    table, _, column = name.partition(".")
    key = "week_ending, tier, symbol" if table == CONCENTRATION.name else "race_id, horse_id"
    table = f"{table}_latest" if table == CONCENTRATION.name else table
    query = f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL"
    return {tuple(row[:-1]): row[-1] for row in connection.execute(query.encode())}


def stored(connection: psycopg.Connection) -> bool:
    """Whether what arrives of each domain has been derived, all of it."""
    weeks = "SELECT 1 FROM rederive.captures WHERE domain = 'finra' AND state = 'complete'"
    return bool(connection.execute(weeks).fetchone() and values_of(connection, WEIGHT) and derived(connection) > 100)


def more(connection: psycopg.Connection, rows: int) -> None:
    """Wait until so many snapshots more are derived."""
    reached = derived(connection) + rows
    until(lambda: derived(connection) >= reached, SECONDS, "live derives nothing more")


def test_what_live_has_computed_wrong_is_repaired_while_live_goes_on(
    settings: Settings, connection: psycopg.Connection, migrated: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"workers": 1, "sinks": 1})
    markets(connection)
    snapshots = stream()
    made = FinraFiles(symbols=4, rows=12).file(weeks(1)[0], "OTC", 0)
    (folder / f"{made.name}.part").write_bytes(made.content)
    (folder / f"{made.name}.part").rename(folder / made.name)

    monkeypatch.setenv("RELEASE_WRONG", ",".join(f"{domain}.{wrong}" for domain, wrong in WRONG.items()))
    live = start(settings, "live")
    try:
        cursors = "SELECT 1 FROM rederive.cursors"
        until(lambda: connection.execute(cursors).fetchone(), SECONDS, "live does not begin")
        with Ingesters(migrated, snapshots, 2, seed=1):
            until(lambda: stored(connection), SECONDS, "not all domains' data arrive")
        until(lambda: not lacking(connection), SECONDS, "not all snapshots are derived")
        stop(live)
        weights, shares = values_of(connection, WEIGHT), values_of(connection, HHI)

        monkeypatch.delenv("RELEASE_WRONG")
        monkeypatch.setenv("RELEASE_NEWER", "1")
        live = start(settings, "live")
        with Ingesters(migrated, snapshots, 2, seed=2):
            more(connection, 20)
            for domain, wrong in WRONG.items():
                repair(settings, domain, wrong)
                more(connection, 20)
        until(lambda: not lacking(connection), SECONDS, "not all snapshots are derived")
        check_values(connection)
        repaired = values_of(connection, WEIGHT)
        assert {key: repaired[key] // 2 for key in weights} == weights
        assert {key: share / 2 for key, share in values_of(connection, HHI).items()} == shares
        stop(live)
        for domain in WRONG:
            command(settings, "captures", "verify", f"latest:{domain}")
    finally:
        end(live)


def repair(settings: Settings, domain: str, wrong: str) -> None:
    """From the domain's log: in shadow, compared, promoted."""
    column = wrong.partition(".")[2]
    words = ["replay-topic", domain, "--mode", "shadow", "--reason", f"{column} was half of what it is", "--json"]
    shadow = str(last_object(command(settings, *words))["capture_id"])
    compared = orjson.loads(command(settings, "captures", "compare", shadow, "--json", code=1))
    differing = {f"{name}.{one}" for name, found in compared["tables"].items() for one in found["columns"]}
    assert differing - {NAMES_ITS_CAPTURE} == {wrong}
    only = ",".join(name.partition(".")[2] for name in differing)
    command(settings, "captures", "promote", shadow, "--only-columns", only, "--yes")
    assert command(settings, "captures", "compare", shadow).splitlines()[-1] == "equal"
