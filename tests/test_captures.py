"""A capture as text, and what is said where there is none, without services."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rederive import __main__ as program
from rederive.cli.capture_text import asked, facts
from rederive.local import has_database
from rederive.settings import Settings

SHOWN: dict[str, Any] = {
    "capture_id": "betfair-20261121-2",
    "state": "running",
    "mode": "fill",
    "dry_run": True,
    "created_at": datetime(2026, 11, 21, 2, 9, 57, 300_000, tzinfo=UTC),
    "finished_at": None,
    "who": "ann",
    "reason": "",
    "units": 1_200,
    "units_done": 3,
    "units_dead": 0,
    "rows": 153_600,
    "updated": 380,
    "unchanged": 4,
    "skipped": 0,
    "errors": 0,
    "number": 2,
    "domain": "betfair",
    "source": "table",
    "derivation_version": 1,
    "columns": ("home_risk", "away_risk"),
    "request": {"start": None, "end": "2026-02-07T00:00:00+00:00", "keys": ["1.2"], "all_rows": False, "limit": None},
    "digest": "9f2c",
    "problems": [],
    "dead": [],
}


def test_a_capture_reads_as_words_not_as_values_of_a_language() -> None:
    assert facts(SHOWN) == [
        ("capture", "betfair-20261121-2"),
        ("state", "running"),
        ("domain", "betfair"),
        ("source", "table"),
        ("mode", "fill (dry run)"),
        ("asked for", "from the beginning to 2026-02-07T00:00:00+00:00 (end excluded), keys 1.2"),
        ("columns", "2: home_risk, away_risk"),
        ("derivation version", "1"),
        ("made", "2026-11-21 02:09:57 UTC by ann, number 2"),
        ("units", "3 of 1,200 done, 0 dead"),
        ("rows", "153,600 planned"),
        ("", "380 updated, 4 unchanged, 0 skipped, 0 errors"),
        ("digest", "9f2c"),
    ]


def test_what_was_asked_for_is_named() -> None:
    days = {"start": "2024-05-17T00:00:00+00:00", "end": None, "keys": ["gb", "ire"]}
    assert asked({**days, "kinds": ["results"], "refetch": True, "only_missing": False}) == (
        "from 2024-05-17T00:00:00+00:00 to the end, keys gb ire, kinds results, refetch"
    )
    assert asked({**days, "keys": [], "all_rows": True, "limit": 200}) == (
        "from 2024-05-17T00:00:00+00:00 to the end, all rows, limit 200"
    )


@pytest.mark.parametrize("words", ["captures list", "captures show x", "captures resume x", "report spot-check"])
def test_nothing_is_started_to_look_into_a_database_that_never_was(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP"):
        monkeypatch.delenv(f"REDERIVE_{name}", raising=False)
    monkeypatch.setenv("REDERIVE_HOME", str(tmp_path / "home"))
    assert program.run(words.split()) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'home'} never had an embedded one" in said
    assert "do:  `rederive migrate`" in said
    assert not has_database(Settings())
    assert not (tmp_path / "home").exists()
