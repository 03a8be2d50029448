"""Gaps of racing: each kind made, listed, closed by what `--fill` prints, and none left."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from rederive.settings import Settings
from samples.racing.api import StandIn
from schemas.racing.tables import RACING
from tests import another
from tests.another import Version, newer
from tests.program import last_object, rederive
from tests.racing.rows import everything

FIRST = date(2024, 5, 17)
LAST = FIRST + timedelta(days=2)
RANGE = ("--from", str(FIRST), "--to", str(LAST))
KINDS = ("racecards", "results")

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("api")]


def gaps(settings: Settings, *words: str, code: int = 1) -> list[tuple[str, str | None, str]]:
    found: list[dict[str, Any]] = orjson.loads(rederive(settings, "gaps", "racing", *words, "--json", code=code).stdout)
    return [(gap["kind"], gap["day"], gap["part"]) for gap in found]


def fill(settings: Settings, *words: str) -> list[dict[str, object]]:
    plans = settings.home.parent / "plans.jsonl"
    plans.write_text(rederive(settings, "gaps", "racing", *words, "--fill").stdout)
    done = rederive(settings, "apply", str(plans), "--json")
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def test_days_that_are_missing_and_days_that_were_not_over(
    settings: Settings, database: psycopg.Connection, api: StandIn
) -> None:
    rederive(settings, "replay", "racing", "--from", str(FIRST), "--to", str(FIRST), "--skip-masters")
    assert gaps(settings, *RANGE, "--kind", "results") == [
        ("missing", str(FIRST + timedelta(days=n)), "results") for n in (1, 2)
    ]
    database.execute("UPDATE rederive.racing_records SET fetched_at = '2024-05-17T12:00:00Z' WHERE kind = 'results'")
    assert gaps(settings, *RANGE) == [
        ("early", str(FIRST), "results"),
        *(("missing", str(FIRST + timedelta(days=n)), kind) for n in (1, 2) for kind in KINDS),
    ]
    # Without a range it begins where what is kept begins.
    shown = rederive(settings, "gaps", "racing", "--to", str(LAST), code=1).stdout
    assert "2024-05" + " " * 18 + "emm" in shown
    asked = len(api.requests)
    (done,) = fill(settings, *RANGE)
    assert (done["units"], done["errors"]) == (5, 0)
    assert len(api.requests) > asked
    assert gaps(settings, *RANGE, code=0) == []


def test_a_day_that_is_not_over_is_a_gap_only_while_nothing_is_kept_of_it(settings: Settings, migrated: str) -> None:  # noqa: ARG001
    today = str(datetime.now(UTC).date())
    day = ("--from", today, "--to", today)
    assert [kind for kind, _, _ in gaps(settings, *day)] == ["missing"] * 2
    rederive(settings, "replay", "racing", *day, "--skip-masters")
    assert gaps(settings, *day, code=0) == []


def test_rows_of_an_older_version_are_derived_again_from_what_is_kept(
    settings: Settings, database: psycopg.Connection, api: StandIn
) -> None:
    rederive(settings, "replay", "racing", *RANGE)
    before = everything(database)
    assert gaps(settings, *RANGE, "--outdated", code=0) == []
    database.execute("UPDATE rederive.captures SET derivation_version = 0")
    for table in RACING.tables:
        database.execute(f"UPDATE rederive.{table.name}_history SET derivation_version = 0")
    found = gaps(settings, *RANGE, "--outdated")
    days = [str(FIRST + timedelta(days=n)) for n in range(3)]
    assert found == [
        *(("outdated", day, kind) for day in days for kind in KINDS),
        ("outdated", None, "masters and horse details"),
    ]
    asked = len(api.requests)
    fill(settings, *RANGE, "--outdated")
    assert len(api.requests) == asked
    assert gaps(settings, *RANGE, "--outdated", code=0) == []
    assert everything(database) == before


def test_a_version_that_changes_columns_of_results_concerns_no_card(
    settings: Settings,
    database: psycopg.Connection,
    api: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    day = ("--from", str(FIRST), "--to", str(FIRST))
    rederive(settings, "replay", "racing", *day)
    before, asked = everything(database), len(api.requests)
    newest = RACING.derivation_version + 1
    changes = {**RACING.changes, newest: ("ra_runners.position", "jockey_name")}
    Version(monkeypatch, tmp_path / "newer")(newer("schemas.racing.tables", "RACING", changes))
    (gap,) = orjson.loads(another.rederive(settings, "gaps", "racing", *day, "--outdated", "--json", code=1).stdout)
    assert (gap["kind"], gap["day"], gap["part"]) == ("outdated", str(FIRST), "results")
    plan = orjson.loads(another.rederive(settings, "plan", "racing", *day, "--outdated").stdout)
    # A group is taken whole.
    columns = {"jockey_name", "position", "position_str", "prize_won"}
    assert (set(plan["columns"]), [unit["key_range"] for unit in plan["units"]]) == (columns, [f"{FIRST}/results"])
    file = tmp_path / "plan.json"
    file.write_text(orjson.dumps(plan).decode())
    done = last_object(another.rederive(settings, "apply", str(file), "--json").stdout)
    assert (done["updated"], done["errors"], len(api.requests)) == (0, 0, asked)
    computed = "SELECT count(*) FROM rederive.{}_history WHERE capture_id = %s"
    for table, some in (("ra_runners", True), ("ra_races", False), ("ra_mst_jockeys", False)):
        (count,) = database.execute(computed.format(table), [done["capture_id"]]).fetchone() or (0,)
        assert bool(count) is some, table
    another.rederive(settings, "gaps", "racing", *day, "--outdated")
    assert everything(database) == before

    # By race days the log is read without what has none.
    again = rederive(settings, "replay-topic", "racing", *day, "--json")
    assert (last_object(again.stdout)["units"], last_object(again.stdout)["updated"]) == (2, 0)
    assert "1 record says no time of a payload" in again.stderr


def test_a_record_that_nobody_has_noted_is_a_hole(settings: Settings, database: psycopg.Connection) -> None:
    rederive(settings, "replay", "racing", *RANGE, "--skip-masters")
    database.execute("UPDATE rederive.origins SET applied = applied - int8multirange(int8range(1, 3))")
    holes = gaps(settings, *RANGE, "--only", "hole", code=0)
    assert holes == [], "the records were sent today, which isn't in the range"
    holes = gaps(settings, "--only", "hole")
    assert {kind for kind, _, _ in holes} == {"hole"}
    assert any(part.endswith("@1..2") for _, _, part in holes), holes
    (done,) = fill(settings, "--only", "hole")
    assert (done["updated"], done["errors"]) == (0, 0)
    assert gaps(settings, "--only", "hole", code=0) == []


def test_an_unknown_kind_is_wrong_usage(settings: Settings, migrated: str) -> None:  # noqa: ARG001
    done = rederive(settings, "gaps", "racing", "--kind", "cards", code=2)
    assert "--kind 'cards' is unknown\n  do:  say racecards or results" in done.stderr


def test_days_that_there_can_not_be_are_wrong_usage(settings: Settings, migrated: str) -> None:  # noqa: ARG001
    early = rederive(settings, "gaps", "racing", "--from", "0001-01-01", code=2)
    assert "--from 0001-01-01 is before the first race day" in early.stderr
