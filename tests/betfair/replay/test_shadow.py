"""A fix looked at before it is served, through whole runs: shadow, gates, promotion, rollback."""

from datetime import timedelta

import psycopg
import pytest

from rederive import compare
from rederive.settings import Settings
from tests.betfair.replay.stored import fingerprint, replay, rows, scalar
from tests.betfair.reports.made import START, derived, market, snapshot
from tests.program import last_object, rederive

pytestmark = pytest.mark.services


@pytest.fixture
def wrong(connection: psycopg.Connection) -> psycopg.Connection:
    """Three snapshots, of which one has a row that formulas were wrong for, and one none."""
    market(connection, "1.1")
    for identifier in (1, 2, 3):
        snapshot(connection, identifier, "1.1", START + timedelta(minutes=identifier))
    derived(connection, 1, {"total_volume": 0.0, "home_best_back_size_l1": 5.0})
    derived(connection, 2, {"total_volume": 10432.7, "home_best_back_size_l1": 200.0})
    return connection


ASKED = ("replay", "betfair", "--all-rows", "--columns", "total_volume,home_best_back_size_l1", "--mode")


def test_a_fix_is_served_when_it_is_promoted(settings: Settings, wrong: psycopg.Connection) -> None:
    at_first = fingerprint(wrong)
    before = rows(wrong)
    shadow = replay(settings, *ASKED, "shadow", "--reason", "totals were 0")
    assert (shadow["mode"], shadow["updated"]) == ("shadow", 3)
    capture = shadow["capture_id"]
    assert fingerprint(wrong) == at_first

    looked = last_object(rederive(settings, "captures", "promote", capture, "--dry-run", "--json").stdout)
    assert looked["tables"] == {
        "market_derived_metrics": {
            "entries": 3, "rows": 3, "changed": 2, "cleared": 0,
            "columns": {"total_volume": 2, "home_best_back_size_l1": 2},
        }
    }  # fmt: skip
    page = settings.home / "compared.html"
    compared = last_object(
        rederive(settings, "captures", "compare", capture, "--json", "--html", str(page), code=1).stdout
    )
    of_table = compared["tables"]["market_derived_metrics"]  # type: ignore[index]
    assert (of_table["both"], of_table["differing"], of_table["only_one"]) == (2, 1, 1)
    assert of_table["columns"]["total_volume"]["absolute"] == {"difference": 10432.7, "key": ["1"]}
    assert "home_risk" in compared["left_out"]  # type: ignore[operator]
    assert of_table["columns"]["total_volume"]["absolute_quantiles"]["p50"] == pytest.approx(10432.7, rel=0.01)
    within = ("--columns", "total_volume", "--tolerance", "100%")
    few = last_object(rederive(settings, "captures", "compare", capture, *within, "--json", code=1).stdout)
    of_few = few["tables"]["market_derived_metrics"]  # type: ignore[index]
    assert (few["left_out"], of_few["differing"], of_few["only_one"]) == ([], 0, 1)
    (called,) = compare(capture, columns=["total_volume"], settings=settings)
    assert called.columns["total_volume"].absolute == (10432.7, ("1",))
    strange = rederive(settings, "captures", "compare", capture, "--columns", "total_volumes", code=2).stderr
    assert "say total_volume" in strange
    assert (
        "not both have computed it"
        in rederive(settings, "captures", "compare", capture, "--columns", "home_risk", code=2).stderr
    )
    assert "<svg" in page.read_text()
    assert "script" not in page.read_text()
    assert "not equal" in rederive(settings, "captures", "compare", capture, code=1).stdout
    refused = rederive(settings, "captures", "promote", capture, "--yes", "--max-changed", "2%", code=1)
    assert "not promoted, a gate refuses: --max-changed 2%: 2 of 3 rows would change, 66.67%" in refused.stderr
    words = ("--only-columns", "total_volume", "--json")
    found = last_object(rederive(settings, "captures", "promote", capture, "--yes", *words, code=1).stdout)
    assert "home_best_back_size_l1 in 2 rows" in str(found["refused"])
    assert "say --yes" in rederive(settings, "captures", "promote", capture, code=2).stderr
    assert fingerprint(wrong) == at_first

    done = rederive(settings, "captures", "promote", capture, "--yes", "--max-changed", "70%").stdout
    assert done.splitlines()[-1].split() == ["market_derived_metrics", "3", "3", "0"]
    now = rows(wrong)
    assert [now[key]["total_volume"] for key in (1, 2, 3)] == [10432.7] * 3
    assert scalar(wrong, "SELECT number > 1 AND promoted_at IS NOT NULL FROM rederive.captures") is True
    shown = last_object(rederive(settings, "captures", "show", capture, "--json").stdout)
    assert (bool(shown["promoted_at"]), shown["clear"]) == (True, [])
    assert "promoted already" in rederive(settings, "captures", "promote", capture, "--yes").stdout
    rederive(settings, "captures", "verify")

    assert rederive(settings, "captures", "compare", capture).stdout.endswith("equal\n")

    superseded = replay(settings, *ASKED, "supersede")
    assert "equal" in rederive(settings, "captures", "compare", capture, superseded["capture_id"]).stdout
    assert (superseded["updated"], superseded["unchanged"]) == (0, 3)
    for one in (superseded["capture_id"], capture):
        rederive(settings, "captures", "rollback", one, "--yes")
    assert rows(wrong) == before


def test_what_is_no_complete_shadow_is_not_promoted(settings: Settings, wrong: psycopg.Connection) -> None:
    served = replay(settings, *ASKED, "supersede")["capture_id"]
    refused = rederive(settings, "captures", "promote", served, "--yes", code=1).stderr
    assert "its mode is supersede" in refused
    dry = replay(settings, *ASKED, "shadow", "--dry-run")["capture_id"]
    assert "it is a dry run" in rederive(settings, "captures", "promote", dry, "--yes", code=1).stderr
    shadow = replay(settings, *ASKED, "shadow")["capture_id"]
    odd = rederive(settings, "captures", "promote", shadow, "--max-changed", "much", code=2).stderr
    assert "write it as per cent" in odd
    strange = rederive(settings, "captures", "promote", shadow, "--only-columns", "nonsense", code=2).stderr
    assert "--only-columns 'nonsense' is unknown" in strange
    for gate, said in (("--only-columns=,", "names no column"), ("--max-changed=200%", "refuses nothing")):
        assert said in rederive(settings, "captures", "promote", shadow, gate, "--yes", code=2).stderr
    stored = fingerprint(wrong)
    rederive(settings, "captures", "rollback", shadow, "--yes")
    assert "rolled-back" in rederive(settings, "captures", "promote", shadow, "--yes", code=1).stderr
    assert fingerprint(wrong) == stored


def test_what_a_fix_no_longer_computes_is_cleared(settings: Settings, wrong: psycopg.Connection) -> None:
    wrong.execute("UPDATE market_book_snapshots SET raw_payload = jsonb_set(raw_payload, '{runners,0,ex}', '{}')")
    before = rows(wrong)
    asked = ("replay", "betfair", "--all-rows", "--columns", "home_best_back_size_l1", "--mode", "supersede")
    assert replay(settings, *asked)["updated"] == 0
    refused = rederive(settings, *asked, "--clear", code=2).stderr
    assert "at most 2 stored values of 1 column" in refused
    assert "say --yes" in refused
    planned = last_object(rederive(settings, "plan", *asked[1:], "--clear").stdout)
    assert "at most 2 stored values of 1 column" in str(planned["notes"])
    assert "leave it out here" in rederive(settings, *asked[:-1], "shadow", "--clear", code=2).stderr
    assert replay(settings, *asked, "--clear", "--dry-run")["updated"] == 3
    cleared = replay(settings, *asked, "--clear", "--yes")["capture_id"]
    assert [row["home_best_back_size_l1"] for row in rows(wrong).values()] == [None, None, None]
    assert [rows(wrong)[key]["total_volume"] for key in (1, 2)] == [0.0, 10432.7]
    rederive(settings, "captures", "verify")
    rederive(settings, "captures", "rollback", cleared, "--yes")
    assert rows(wrong) == before

    shadow = replay(settings, *asked[:-1], "shadow")["capture_id"]
    words = ("captures", "promote", shadow, "--clear", "--json")
    looked = last_object(rederive(settings, *words, "--dry-run").stdout)
    assert "'cleared': 2" in str(looked["tables"])
    assert "clears 2 values" in rederive(settings, *words, "--yes").stderr
    shown = rederive(settings, "captures", "show", shadow).stdout
    assert "what it has computed as NULL, in home_best_back_size_l1" in shown
    assert "promoted " in shown
    assert [row["home_best_back_size_l1"] for row in rows(wrong).values()] == [None, None, None]
    rederive(settings, "captures", "rollback", shadow, "--yes")
    assert rows(wrong) == before


@pytest.mark.usefixtures("wrong")
def test_explain_tells_what_is_in_shadow_from_what_counts(settings: Settings) -> None:
    shadow = replay(settings, *ASKED, "shadow")["capture_id"]
    words = ("explain", "betfair", "market_derived_metrics")
    new = rederive(settings, *words, "3", "total_volume").stdout
    assert "there is no row: what would make it is in shadow, and is served once it is promoted" in new
    # A row that only somebody else has written has no list; a capture's first touch makes its baseline.
    replay(settings, "replay", "betfair", "--columns", "home_risk")
    found = last_object(rederive(settings, *words, "1", "total_volume", "--json").stdout)
    assert isinstance(found["ranked"], list)
    said = {one["kind"]: one for one in found["ranked"]}
    assert (said["shadow"]["capture_id"], said["shadow"]["value"]) == (shadow, 10432.7)
    assert said["baseline"]["value"] == 0.0
