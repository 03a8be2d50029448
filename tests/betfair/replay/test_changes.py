"""A version says which columns it changed: just these are outdated, planned and computed anew."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from rederive.settings import Settings
from tests.another import Version, newer, rederive
from tests.betfair.replay.stored import fingerprint, rows
from tests.betfair.reports.made import START, market, snapshot

pytestmark = pytest.mark.services

DAY = str(START.date())
RISKS = ("home_risk", "away_risk")

# Two columns are computed wrongly.
_WRONG = """
import dataclasses
import pyarrow
import processors.betfair.process as formulas
right = formulas.process
def process(value, columns):
    outcome = right(value, columns)
    (rows,) = outcome.tables
    batch = rows.batch
    for name in ("home_risk", "home_impedance"):
        if name in rows.columns:
            at = rows.columns.index(name)
            ones = pyarrow.array([1.0] * len(rows), batch.schema.types[at])
            batch = batch.set_column(at, batch.schema.field(at), ones)
    outcome.tables[:] = [dataclasses.replace(rows, batch=batch)]
    return outcome
formulas.process = process
"""


def outdated(settings: Settings, code: int = 1) -> list[tuple[str, int, str]]:
    found = orjson.loads(rederive(settings, "gaps", "betfair", "--outdated", "--json", code=code).stdout)
    return [(gap["day"], gap["count"], gap["why"]) for gap in found]


def plans(settings: Settings, *words: str) -> list[dict[str, Any]]:
    shown = rederive(settings, "plan", "betfair", "--outdated", *words).stdout
    return [orjson.loads(line) for line in shown.splitlines()]


def test_a_version_that_changes_two_columns_has_these_computed_anew(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    market(connection, "1.1")
    for number in range(4):
        snapshot(connection, number, "1.1", START + timedelta(hours=number))
    Version(monkeypatch, tmp_path / "wrong")(_WRONG)
    rederive(settings, "replay", "betfair", "--to", f"{DAY}T14:30:00")
    changes = {2: RISKS}
    Version(monkeypatch, tmp_path / "second")(newer("schemas.betfair.tables", "BETFAIR", changes))
    # What newer formulas have computed first is not outdated, though it only fills.
    rederive(settings, "replay", "betfair")
    assert outdated(settings) == [(DAY, 3, "2 of 52 columns: home_risk, away_risk")]

    (plan,) = plans(settings)
    assert (plan["columns"], plan["mode"], plan["found"]) == (list(RISKS), "supersede", 4)
    (elsewhere,) = plans(settings, "--columns", "l1")
    assert elsewhere["units"] == []
    (shadow,) = plans(settings, "--columns", "home_risk,total_volume", "--mode", "shadow")
    assert (shadow["columns"], shadow["mode"]) == (["home_risk"], "shadow")
    file = tmp_path / "plan.json"
    file.write_text(orjson.dumps(plan).decode())
    rederive(settings, "apply", str(file))
    found = rows(connection)
    assert {row["home_risk"] for row in found.values()} == {-477.6000000000001}
    assert [row["home_impedance"] == 1 for _, row in sorted(found.items())] == [True, True, True, False]
    assert outdated(settings, code=0) == []

    # The next version concerns another column, and all rows; what the one before has done stays done.
    third = newer("schemas.betfair.tables", "BETFAIR", {**changes, 3: ("ladder", "total_volume")})
    Version(monkeypatch, tmp_path / "third")(third)
    (plan,) = plans(settings)
    assert (len(plan["columns"]), set(plan["columns"]) & {*RISKS, "total_volume"}) == (13, {"total_volume"})
    file.write_text(orjson.dumps(plan).decode())
    before = fingerprint(connection)
    rederive(settings, "apply", str(file))
    assert outdated(settings, code=0) == []
    assert fingerprint(connection) == before, "the same values, found again"
    # A version that doesn't say what it changed is taken to have changed everything.
    Version(monkeypatch, tmp_path / "fourth")(third.replace("derivation_version=3", "derivation_version=4"))
    (plan,) = plans(settings)
    assert len(plan["columns"]) == 52
