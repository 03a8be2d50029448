import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rederive.cli.app import app
from rederive.cli.root import load_commands
from schemas.errors import Failed, UsageError
from tests.betfair.reports import made

KICKOFF = datetime(2026, 2, 14, 17, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def _commands() -> None:
    load_commands()


def run(*words: str) -> None:
    app(["report", *words], exit_on_error=False, print_error=False, result_action="return_value")


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    run(*words, "--json")
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line)


@pytest.fixture
def filled(connection: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch) -> psycopg.Connection:
    monkeypatch.setenv("REDERIVE_DATABASE_URL", database_url)
    made.market(connection, "1.253489253", name="Lazio v Atalanta", kickoff=KICKOFF)
    for snapshot_id in range(1, 8):
        made.snapshot(connection, snapshot_id, "1.253489253", KICKOFF + timedelta(minutes=snapshot_id))
        if snapshot_id < 7:
            made.derived(connection, snapshot_id, {"home_risk": float(snapshot_id)})
    return connection


@pytest.mark.services
def test_null_audit(filled: psycopg.Connection, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    as_of = ("--as-of", "2026-02-15T00:00:00")
    first = run_json(capsys, "null-audit", "--columns", "risk", "--fillable", "--save", str(before), *as_of)
    assert [(c["column"], c["nulls"], c["percent"], c["recent_nulls"], c["fillable"]) for c in first["columns"]] == [
        ("home_risk", 0, "0%", 0, 0),
        ("away_risk", 6, "100.0%", 6, 6),
        ("draw_risk", 6, "100.0%", 6, 6),
    ]
    assert first["inventory"]["without_row"] == first["fillable"]["new_rows"] == 1
    assert [row["snapshot_id"] for row in first["sample"]] == [6, 5, 4, 3, 2, 1]
    assert json.loads(before.read_bytes()) == first

    filled.execute("UPDATE market_derived_metrics SET away_risk = 1")
    second = run_json(capsys, "null-audit", "--columns", "risk", "--against", str(before))
    assert [(c["column"], c["before"], c["after"], c["change"]) for c in second["comparison"]["columns"]] == [
        ("home_risk", 0, 0, "—"),
        ("away_risk", 6, 0, "-100%"),
        ("draw_risk", 6, 6, "—"),
    ]
    run("null-audit", "--columns", "risk", "--against", str(before), "--fillable")
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "away_risk 6 0 -100% 100.0% 0%" in lines
    assert "draw_risk 6 6 100.0% 0 6" in lines
    assert "snapshots without a derived row 1" in lines
    assert "rows that payloads would fill 6 (100.0%)" in lines
    assert "can't be derived 0 skipped, 0 errors" in lines


@pytest.mark.services
@pytest.mark.usefixtures("filled")
def test_each_report_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    ladders = run_json(capsys, "ladder-availability", "--limit", "2")
    assert (ladders["incomplete"], ladders["examined"]) == (7, 2)
    points = run_json(capsys, "checkpoints", "1.253489253", "--columns", "risk")
    assert points["points"][2]["values"] == {"home_risk": 1.0, "away_risk": None, "draw_risk": None}
    assert points["points"][2]["distance_seconds"] == 60.0
    spots = run_json(capsys, "spot-check", "--columns", "home_risk", "--limit", "2")
    assert [(row["snapshot_id"], row["values"]) for row in spots["rows"]] == [
        (6, {"home_risk": 6.0}),
        (5, {"home_risk": 5.0}),
    ]
    whole = run_json(capsys, "continuity", "1.253489253")
    assert whole["intervals"]["mean"] == 60.0
    assert whole["completeness"]["without_row"] == 1


@pytest.mark.services
@pytest.mark.usefixtures("filled")
def test_spot_check_shows_the_newest_rows(capsys: pytest.CaptureFixture[str]) -> None:
    run("spot-check")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == [
        "snapshot_at",
        "snapshot_id",
        "market_id",
        *(f"{role}_best_back_size_l1" for role in ("home", "away", "draw")),
        *(f"{role}_back_stake" for role in ("home", "away", "draw")),
    ]
    assert [line[2] for line in lines[2:]] == ["6", "5", "4", "3", "2"]


@pytest.mark.services
@pytest.mark.usefixtures("filled")
def test_an_unknown_market_fails_with_near_ones() -> None:
    for command in ("checkpoints", "continuity"):
        with pytest.raises(Failed, match="unknown") as caught:
            run(command, "1.25348925")
        assert caught.value.exit_code == 1
        assert "Lazio v Atalanta (1.253489253)" in caught.value.mend


@pytest.mark.services
def test_missing_tables_and_columns_name_the_migration(
    filled: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.execute("ALTER TABLE market_derived_metrics DROP COLUMN draw_spread")
    with pytest.raises(Failed, match="draw_spread") as caught:
        run("null-audit")
    assert "run `rederive migrate`" in caught.value.mend
    filled.execute("DROP TABLE market_derived_metrics CASCADE")
    monkeypatch.setenv("REDERIVE_DATABASE_URL", database_url)
    for words in (
        ("null-audit",),
        ("ladder-availability",),
        ("checkpoints", "1.253489253"),
        ("spot-check",),
        ("continuity", "1.253489253"),
    ):
        with pytest.raises(Failed, match=r"market_derived_metrics") as caught:
            run(*words)
        assert "run `rederive migrate`" in caught.value.mend


@pytest.mark.parametrize("words", [("null-audit",), ("ladder-availability",), ("checkpoints", "1.1"), ("spot-check",)])
def test_an_unknown_column_is_wrong_usage_before_any_database(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDERIVE_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/nowhere")
    with pytest.raises(UsageError, match="nonsense") as caught:
        run(*words, "--columns", "nonsense")
    assert caught.value.exit_code == 2
    assert "tier-a" in str(caught.value)


def test_no_database_is_said_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDERIVE_DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/nowhere")
    with pytest.raises(Failed, match=r"nobody@127\.0\.0\.1:1/nowhere") as caught:
        run("spot-check")
    assert "nothing answers there" in str(caught.value)
    assert "secret" not in str(caught.value)
