"""A capture as text, and what is said where there is none, without services."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rederive import __main__ as program
from rederive.cli.capture_text import asked, facts
from rederive.local import has_database
from rederive.migrate import migrate
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
    "units_removed": 0,
    "rows": 153_600,
    "updated": 380,
    "unchanged": 4,
    "skipped": 0,
    "errors": 0,
    "number": 2,
    "domain": "betfair",
    "source": "table",
    "derivation_version": 1,
    "promoted_at": None,
    "clear": [],
    "columns": ("home_risk", "away_risk"),
    "request": {"start": None, "end": "2026-02-07T00:00:00+00:00", "keys": ["1.2"], "all_rows": False, "limit": None},
    "digest": "9f2c",
    "to_take_out": {},
    "way_on": ["betfair-20261121-2 is unfinished; `rederive captures resume betfair-20261121-2` goes on with it"],
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
        ("now", SHOWN["way_on"][0]),
    ]


def test_a_capture_that_is_half_rolled_back_says_what_is_left() -> None:
    half = {**SHOWN, "state": "rolling-back", "units_removed": 3, "to_take_out": {"made": 1_380, "made_too": 1}}
    said = dict(facts(half))
    assert said["units"] == "1,200, being taken back"
    assert said[""] == "380 updated, 4 unchanged, 0 skipped, 0 errors, before"
    assert said["still there"] == "1,380 entries of made, 1 entry of made_too"
    assert dict(facts(half | {"to_take_out": {}}))["still there"] == "no entry"


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


@pytest.fixture
def three(database_url: str, monkeypatch: pytest.MonkeyPatch) -> psycopg.Connection:
    """Three captures, a day apart."""
    migrate(database_url)
    monkeypatch.setenv("REDERIVE_DATABASE_URL", database_url)
    connection = psycopg.connect(database_url, autocommit=True)
    for number, domain, state in ((1, "betfair", "complete"), (2, "racing", "running"), (3, "betfair", "cancelled")):
        connection.execute(
            """INSERT INTO rederive.captures (capture_id, number, domain, source, mode, derivation_version, columns,
                   request, digest, who, state, created_at)
               VALUES (%s, %s, %s, 'table', 'fill', 1, '{}', '{"start": null, "end": null}', '', 'tests', %s,
                       %s::timestamptz)""",
            [f"{domain}-2026020{number}-{number}", number, domain, state, f"2026-02-0{number} 12:00+00"],
        )
    return connection


@pytest.mark.services
def test_captures_are_asked_for_by_domain_state_and_day_and_the_latest_by_name(
    three: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed(*words: str) -> list[int]:
        assert program.run(["captures", "list", "--json", *words]) == 0
        return [int(one["capture_id"].rpartition("-")[2]) for one in json.loads(capsys.readouterr().out)]

    with three:
        assert listed() == [3, 2, 1]
        assert listed("--domain", "betfair") == [3, 1]
        assert listed("--state", "running") == [2]
        assert listed("--since", "2026-02-02") == [3, 2]
        assert listed("--since", "2026-02-02T12:00:01+00:00") == [3]
        assert listed("--domain", "betfair", "--limit", "1") == [3]
        assert listed("--domain", "finra") == []
        for word, meant in (
            ("latest", "betfair-20260203-3"), ("latest:racing", "racing-20260202-2"),
            ("betfair-20260201-1", "betfair-20260201-1"),
        ):  # fmt: skip
            assert program.run(["captures", "show", word, "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["capture_id"] == meant
        assert program.run(["captures", "cancel", "latest:racing"]) == 0
        assert "racing-20260202-2 is cancelled" in capsys.readouterr().out
        assert program.run(["captures", "rollback", "latest", "--yes"]) == 0
        assert "betfair-20260203-3" in capsys.readouterr().out
        assert listed("--state", "rolled-back") == [3]

        assert program.run(["captures", "show", "betfair-20260203-4"]) == 1
        assert "near it are betfair-20260203-3" in capsys.readouterr().err
        assert program.run(["captures", "show", "latest:finra"]) == 1
        assert "no capture of finra has been made" in capsys.readouterr().err
        assert program.run(["captures", "show", "latest:"]) == 2
        assert "latest: names no domain" in capsys.readouterr().err
        assert program.run(["captures", "show", "latest:football"]) == 2
        assert "known are betfair, finra, racing" in capsys.readouterr().err
        assert program.run(["captures", "list", "--domain", "finra"]) == 0
        assert capsys.readouterr().out == "no capture is of what is asked for\n"


@pytest.mark.services
def test_the_status_says_what_a_role_lacks(
    three: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("REDERIVE_HOME", str(tmp_path))
    url = os.environ["REDERIVE_DATABASE_URL"]
    with three:
        three.execute("CREATE ROLE without_rights")
        three.execute("GRANT USAGE ON SCHEMA rederive TO without_rights")
        try:
            asked = f"{url}{'&' if '?' in url else '?'}options=-c%20role%3Dwithout_rights"
            monkeypatch.setenv("REDERIVE_DATABASE_URL", asked)
            assert program.run(["status"]) == 1
        finally:
            three.execute("DROP OWNED BY without_rights")
            three.execute("DROP ROLE without_rights")
    assert "the status failed in the database\n  why: permission denied for" in capsys.readouterr().err


@pytest.mark.services
@pytest.mark.parametrize("words", ["rollback {} --dry-run", "rollback {} --yes", "resume {}", "retry {}"])
def test_of_a_domain_that_is_not_installed_now_a_capture_waits_for_it(
    three: psycopg.Connection, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    with three:
        three.execute("UPDATE rederive.captures SET domain = 'left' WHERE number = 3")
        assert program.run(["captures", *words.format("latest").split()]) == 1
        said = capsys.readouterr().err
        assert "the domain left of the capture is not installed" in said
        assert "do:  install the distribution that offers left again" in said
        assert program.run(["captures", "show", "latest"]) == 0
