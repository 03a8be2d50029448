"""A plan made now and applied later."""

from pathlib import Path

import orjson
import psycopg
import pytest

from rederive.settings import Settings
from schemas.betfair.tables import SCOPES
from tests.betfair.replay.stored import counts, fingerprint, nulls, replay, scalar
from tests.betfair.reports.made import many
from tests.program import rederive

pytestmark = pytest.mark.services


def _captures(connection: psycopg.Connection) -> int:
    return int(scalar(connection, "SELECT count(*) FROM rederive.captures"))


def test_a_plan_is_applied_or_refused_whole(settings: Settings, connection: psycopg.Connection, tmp_path: Path) -> None:
    many(connection, 300, 300, SCOPES["l1"])
    file = tmp_path / "plan.json"
    made = rederive(settings, "plan", "betfair", "--columns", "l1")
    file.write_text(made.stdout)
    assert "Found 300 rows needing backfill" in made.stderr
    plan = orjson.loads(made.stdout)
    assert (plan["found"], len(plan["units"]), plan["nulls"]["home_best_back_size_l1"]) == (300, 1, 300)

    altered = tmp_path / "altered.json"
    plan["units"][0]["locator"]["ids"].pop()
    altered.write_bytes(orjson.dumps(plan))
    refused = rederive(settings, "apply", str(altered), code=1)
    assert "it was altered" in refused.stderr
    assert "do:" in refused.stderr
    assert _captures(connection) == 0

    # Half of it is filled by another run in between.
    other = replay(settings, "replay", "betfair", "--columns", "l1", "--limit", "150")
    assert counts(other) == (150, 0, 0)
    stored = fingerprint(connection)
    refused = rederive(settings, "apply", str(file), code=1)
    assert "150 of its 300 rows have been filled since" in refused.stderr
    assert "nothing was sent" in refused.stderr

    rest = rederive(settings, "plan", "betfair", "--columns", "l1")
    file.write_text(rest.stdout)
    connection.execute("DELETE FROM market_book_snapshots WHERE snapshot_id IN (280, 281)")
    refused = rederive(settings, "apply", str(file), code=1)
    assert "2 of its 150 snapshots are gone" in refused.stderr
    assert (_captures(connection), fingerprint(connection)) != (1, stored)
    assert nulls(connection, SCOPES["l1"]) == (148, 148, 148)
    assert _captures(connection) == 1

    file.write_text(rederive(settings, "plan", "betfair", "--columns", "l1").stdout)
    done = replay(settings, "apply", str(file), "--reason", "from a plan")
    assert (done["processed"], *counts(done)) == (148, 148, 0, 0)
    assert nulls(connection, SCOPES["l1"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file"),
        ("", "it is empty"),
        ("# a page\n", "it is no JSON"),
        ('{"found": 3}', "it lacks domain, source"),
        ("\N{GREEK SMALL LETTER ALPHA}", "no plan"),
    ],
)
def test_a_file_that_is_no_plan(settings: Settings, tmp_path: Path, text: str | None, why: str) -> None:
    file = tmp_path / "plan.json"
    if text is not None:
        file.write_text(text)
    refused = rederive(settings, "apply", str(file), code=2)
    assert str(file) in refused.stderr
    assert why in refused.stderr
    assert "Traceback" not in refused.stderr
