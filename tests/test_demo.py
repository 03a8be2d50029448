"""The demo's commands, without services, and its live part, with them."""

import re
from pathlib import Path

import psycopg
import pytest

from rederive.__main__ import BROKEN_PIPE, INTERRUPTED
from rederive.betfair import live_demo
from rederive.demo import Demo, Show
from rederive.settings import Settings
from samples.betfair import sample
from samples.betfair.load import derive_bare_rows, load
from schemas.errors import Failed
from store.latencies import STAGES
from tests import forks
from tests.program import environment


def test_a_path_with_a_space_stays_one_word(tmp_path: Path) -> None:
    typed: list[list[str]] = []

    def run_command(words: list[str]) -> int:
        typed.append(words)
        return 0

    demo = Demo(tmp_path / "with space", run_command)
    demo._type("apply", str(demo.home / "plan.json"), "--reason", "demo")
    assert typed == [["apply", str(demo.home / "plan.json"), "--reason", "demo"]]


@pytest.mark.parametrize("code", [INTERRUPTED, BROKEN_PIPE])
def test_it_ends_as_a_command_that_was_ended_from_outside(tmp_path: Path, code: int) -> None:
    demo = Demo(tmp_path, lambda _words: code)
    with pytest.raises(SystemExit) as ended:
        demo._type("captures list")
    assert ended.value.code == code


def test_a_command_that_fails_fails_the_demo(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="`rederive captures list` ended with 1"):
        Demo(tmp_path, lambda _words: 1)._type("captures list")


@pytest.fixture
def show(settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> Show:
    """What the demo has after its replay; of live it shows little."""
    load(connection, sample.metadata(), sample.snapshots())
    derive_bare_rows(connection)
    # Of many markets.
    connection.execute("UPDATE market_derived_metrics SET home_best_back_size_l1 = 1 WHERE snapshot_id % 70 = 0")
    monkeypatch.setattr(live_demo, "_SNAPSHOTS", 30)
    monkeypatch.setattr(live_demo, "_BY_A_WRONG_FORMULA", 10)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert settings.database_url is not None
    folder, named = settings.home.parent, environment(settings)
    demo = Demo(settings.home, lambda words: forks.run(words, folder, named, 120).returncode)
    return Show(settings.home, settings.database_url.get_secret_value(), demo._say, demo._type)


@pytest.mark.services
def test_live_is_shown_with_how_long_it_takes(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    live_demo.live(show)
    said = capsys.readouterr().out
    assert "$ REDERIVE_WORKERS=1 rederive live betfair" in said
    assert "30 of 30 snapshots are derived" in said
    assert "10 rows are right again, proven and explained" in said
    assert "live is stopped, in order" in said
    found = {
        name: [int(figure) for figure in rest.split()]
        for name, rest in re.findall(r"^(.+?:.*?)  +([\d ]+)$", said, re.MULTILINE)
    }
    assert list(found) == ["the client: commit to visible", *(f"live: {stage}" for stage in STAGES)]
    for rows, p50, p95, p99 in found.values():
        assert rows >= 30
        assert p50 <= p95 <= p99


@pytest.mark.services
def test_a_snapshot_that_does_not_arrive_fails_the_demo(
    show: Show, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_demo, "_LAST_SECONDS", 3.0)
    connection.execute(
        """UPDATE market_event_metadata SET draw_selection_id = NULL WHERE market_id = (
               SELECT market_id FROM market_book_snapshots WHERE snapshot_id = 1400)"""
    )
    with pytest.raises(Failed, match="not every snapshot is derived"):
        live_demo.live(show)
    assert connection.execute("SELECT count(*) FROM rederive.producers").fetchone() == (0,), "live is stopped"
