"""Gaps of FINRA: each kind made, listed, closed by what `--fill` prints, and none left."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from rederive.settings import Settings
from tests.finra.runs import weeks, write
from tests.program import rederive

pytestmark = pytest.mark.services

WEEKS = weeks(4)
RANGE = ("--from", str(WEEKS[0] - timedelta(days=4)), "--to", str(WEEKS[-1]))


def gaps(settings: Settings, *words: str, code: int = 1) -> list[tuple[str, str, str]]:
    found: list[dict[str, Any]] = orjson.loads(
        rederive(settings, "gaps", "finra", *RANGE, *words, "--json", code=code).stdout
    )
    return [(gap["kind"], gap["day"], gap["part"]) for gap in found]


def fill(settings: Settings, *words: str) -> list[dict[str, object]]:
    plans = settings.home.parent / "plans.jsonl"
    plans.write_text(rederive(settings, "gaps", "finra", *RANGE, *words, "--fill").stdout)
    done = rederive(settings, "apply", str(plans), "--json")
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def test_weeks_and_tiers_stages_and_versions(
    settings: Settings, connection: psycopg.Connection, tmp_path: Path
) -> None:
    folder, other = tmp_path / "weekly", tmp_path / "other"
    assert rederive(settings, "gaps", "finra", *RANGE).stdout == "No gaps of finra\n", "nothing is stored"
    write(folder, [WEEKS[0], WEEKS[3]], ("OTC", "ATS"))
    write(folder, [WEEKS[1]], ("OTC",))
    rederive(settings, "replay", "finra", "--source", str(folder))
    missing = [
        ("missing", str(WEEKS[1]), "ATS"),
        ("missing", str(WEEKS[2]), "ATS"),
        ("missing", str(WEEKS[2]), "OTC"),
    ]
    assert gaps(settings) == missing
    assert gaps(settings, "--key", "otc") == missing[2:]
    earlier = rederive(settings, "gaps", "finra", "--key", "otc", "--to", str(WEEKS[1]))
    assert earlier.stdout == "No gaps of finra\n"
    shown = rederive(settings, "gaps", "finra", *RANGE, code=1).stdout
    assert "2025     .mm." in shown
    assert f"rederive replay finra --source FOLDER --from {WEEKS[1]} --to {WEEKS[2]}" in shown
    refused = rederive(settings, "gaps", "finra", *RANGE, "--fill")
    assert "no plan closes 3 gaps: rederive replay finra --source FOLDER" in refused.stderr

    # A stage whose rows somebody has taken back is due again.
    (capture,) = connection.execute(
        "SELECT writes[1] FROM rederive.units WHERE stage = 'rolling' AND key_range LIKE %s", [f"{WEEKS[3]}/OTC%"]
    ).fetchall()
    rederive(settings, "captures", "rollback", capture[0], "--yes")
    due = [found for found in gaps(settings) if found[0] == "due"]
    assert due
    assert {day for _, day, _ in due} == {str(WEEKS[3])}

    write(other, WEEKS, ("OTC", "ATS"))
    done = fill(settings, "--option", f"source={other}")
    assert len(done) == 2, "what is stored, then files"
    assert gaps(settings, code=0) == []

    connection.execute("UPDATE rederive.captures SET derivation_version = 0")
    old = gaps(settings, "--outdated")
    assert {kind for kind, _, _ in old} == {"outdated"}
    assert {(day, part) for _, day, part in old} == {(str(week), tier) for week in WEEKS for tier in ("OTC", "ATS")}
    fill(settings, "--outdated")
    assert gaps(settings, "--outdated", code=0) == []


def test_a_file_on_the_log_that_nobody_has_derived(
    settings: Settings, connection: psycopg.Connection, tmp_path: Path
) -> None:
    write(tmp_path / "weekly", WEEKS)
    rederive(settings, "replay", "finra", "--source", str(tmp_path / "weekly"))
    connection.execute(
        """UPDATE rederive.origins SET applied = applied - int8multirange(int8range(lower(applied), lower(applied) + 1))
           WHERE (capture_id, topic, partition) IN (
               SELECT capture_id, topic, partition FROM rederive.origins WHERE topic LIKE '%finra.log'
               ORDER BY partition LIMIT 1)"""
    )
    rows = rederive(settings, "gaps", "finra", "--only", "hole", "--json", code=1).stdout
    assert [gap["count"] for gap in orjson.loads(rows)] == [1]
    plan = settings.home.parent / "plan.json"
    plan.write_text(rederive(settings, "gaps", "finra", "--only", "hole", "--fill").stdout)
    rederive(settings, "apply", str(plan))
    assert orjson.loads(rederive(settings, "gaps", "finra", "--only", "hole", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kind", "x"), "--kind means nothing to finra"),
        (("--key", "x"), "--key: 'x' is no tier"),
        (("--option", "source=/nowhere"), "--option source=/nowhere does not exist"),
        (("--option", "source"), "--option 'source' has no value"),
    ],
)
def test_words_that_mean_nothing(settings: Settings, migrated: str, words: tuple[str, ...], said: str) -> None:  # noqa: ARG001
    assert said in rederive(settings, "gaps", "finra", *words, code=2).stderr
