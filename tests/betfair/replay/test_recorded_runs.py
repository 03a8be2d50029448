"""The runs that the public summaries report, on made data with the same numbers of rows and the same faults."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rederive.settings import Settings
from schemas.betfair.tables import SCOPES
from tests.betfair.replay.stored import counts, fingerprint, lines, nulls, replay, scalar
from tests.betfair.reports.made import DRAW, HOME, START, derived, many, market, payload, snapshot
from tests.program import rederive

pytestmark = pytest.mark.services


def test_tier_a_7881_rows(settings: Settings, connection: psycopg.Connection) -> None:
    many(connection, 7_881, 7_881, SCOPES["tier-a"])
    market(connection, "1.2", ids=(HOME, None, DRAW))
    for identifier in (5, 4_000):
        connection.execute("UPDATE market_book_snapshots SET market_id = '1.2' WHERE snapshot_id = %s", [identifier])
    connection.execute(
        "UPDATE market_book_snapshots SET raw_payload = raw_payload #- '{runners,2}' WHERE snapshot_id IN (77, 7000)"
    )
    connection.execute(
        """UPDATE market_book_snapshots SET raw_payload = jsonb_set(raw_payload, '{runners,1,selectionId}', '99')
           WHERE snapshot_id = 500"""
    )
    connection.execute("UPDATE market_book_snapshots SET raw_payload = '{}' WHERE snapshot_id = 7881")

    first = replay(settings, "replay", "betfair", "--columns", "tier-a", "--from", "2026-02-01")

    assert "[INFO] Found 7881 rows needing backfill" in first["log"]
    assert "Backfill complete: 7881/7881 processed, 7875 updated, 6 skipped, 0 errors" in first["log"]
    assert (first["processed"], *counts(first)) == (7_881, 7_875, 6, 0)
    assert {problem["reason"]: (problem["count"], problem["keys"]) for problem in first["problems"]} == {
        "insufficient_runners": (2, [[77], [7000]]),
        "missing_role": (1, [[500]]),
        "no_metadata": (2, [[5], [4000]]),
        "no_payload": (1, [[7881]]),
    }
    assert set(nulls(connection, SCOPES["tier-a"])) == {6}
    assert "1 × missing_role, first 500" in first["log"]

    # Columns out of scope are not touched, those of the public worked example are right.
    assert scalar(connection, "SELECT count(home_book_risk_l3) + count(home_spread) FROM market_derived_metrics") == 0
    row = connection.execute(
        """SELECT home_risk, away_impedance_norm, draw_back_odds, home_best_lay_size_l1, total_volume,
                  capture_id FROM market_derived_metrics WHERE snapshot_id = 1"""
    ).fetchone()
    assert row == (-477.6000000000001, -0.4173913, 3.47867647, 120.0, 10432.7, first["capture_id"])

    before = fingerprint(connection)
    second = replay(settings, "replay", "betfair", "--columns", "tier-a", "--from", "2026-02-01")
    assert (second["processed"], *counts(second)) == (6, 0, 6, 0)
    third = replay(settings, "replay", "betfair", "--columns", "tier-a", "--all-rows")
    assert (third["processed"], third["unchanged"], *counts(third)) == (7_881, 7_875, 0, 6, 0)
    assert fingerprint(connection) == before


def test_l1_back_sizes_980_of_12401(settings: Settings, connection: psycopg.Connection, tmp_path: Path) -> None:
    columns = SCOPES["l1"]
    many(connection, 12_401, 980, columns)
    # The raw ladder of one home runner has no first level.
    connection.execute(
        """UPDATE market_book_snapshots SET raw_payload = jsonb_set(raw_payload, '{runners,0,ex,availableToBack}', '[]')
           WHERE snapshot_id = 12000"""
    )
    before = str(tmp_path / "before.json")
    # The rows are of February: the last 7 days are counted back from the newest.
    newest = START + timedelta(minutes=12_401)
    audit = rederive(
        settings, "report", "null-audit", "--columns", "l1", "--save", before, "--as-of", f"{newest:%Y-%m-%dT%H:%M:%S}"
    ).stdout
    for name in columns:
        assert [name, "980", "12,401", "7.9%", "980"] in lines(audit)

    stored = fingerprint(connection)
    dry = replay(settings, "replay", "betfair", "--columns", "l1", "--limit", "200", "--dry-run")
    assert (dry["dry_run"], *counts(dry)) == (True, 200, 0, 0)
    assert fingerprint(connection) == stored
    assert scalar(connection, "SELECT count(*) FROM rederive.market_derived_metrics_history") == 0

    full = replay(settings, "replay", "betfair", "--columns", "l1", "--batch-size", "500")
    assert (full["processed"], *counts(full)) == (980, 980, 0, 0)
    assert nulls(connection, columns) == (1, 0, 0)
    assert (
        scalar(connection, "SELECT snapshot_id FROM market_derived_metrics WHERE home_best_back_size_l1 IS NULL")
        == 12_000
    )

    after = rederive(settings, "report", "null-audit", "--columns", "l1", "--against", before).stdout
    assert ["home_best_back_size_l1", "1", "12,401", "0.01%", "0"] in lines(after)
    assert ["away_best_back_size_l1", "0", "12,401", "0%", "0"] in lines(after)
    assert ["draw_best_back_size_l1", "0", "12,401", "0%", "0"] in lines(after)
    assert any(line[:3] == ["home_best_back_size_l1", "980", "1"] for line in lines(after))


_MARKET = "1.253489253"
# Name, snapshot_at, home, away, draw: the five time points as they were reported.
_CHECKPOINTS = (
    ("T-6h", "2026-02-14 11:01:50", "-8,256.37", "-17,504.71", "+30,587.82"),
    ("T-1h", "2026-02-14 16:01:58", "-15,245.80", "-15,911.20", "+35,594.08"),
    ("Kickoff", "2026-02-14 17:02:00", "-14,638.94", "-8,010.85", "+23,467.06"),
    ("Mid-match", "2026-02-14 17:47:01", "-5,570.85", "-118.04", "+1,997.28"),
    ("Final 15 min", "2026-02-14 17:51:58", "-2,000.97", "-1,201.19", "+3,069.65"),
)
_PENCE_BACKED = 30_000_00


def _book(risks: tuple[str, ...]) -> dict[str, Any]:
    """A payload whose Book Risk L3 is these figures.

    Every runner is backed with the same sum at 11.0, 3.0 and 2.0, split so that the winnings are what the figure wants:
    the first size that leaves the other two positive.
    """
    book = payload()
    for runner, risk in zip(book["runners"], risks, strict=True):
        winnings = round(float(risk.replace(",", "")) * 100) + 2 * _PENCE_BACKED
        for high in range(0, _PENCE_BACKED, 100_00):
            middle = winnings - _PENCE_BACKED - 9 * high
            low = _PENCE_BACKED - middle - high
            if middle > 0 and low > 0:
                break
        else:
            raise AssertionError(f"no ladder has a book risk of {risk}")
        sizes = ((11.0, high), (3.0, middle), (2.0, low))
        runner["ex"]["availableToBack"] = [[price, pence / 100] for price, pence in sizes]
    return book


def test_book_risk_1720_of_12331(settings: Settings, connection: psycopg.Connection) -> None:
    columns = SCOPES["l3"]
    many(connection, 12_326, 1_715, columns)
    market(connection, _MARKET, name="Lazio v Atalanta", kickoff=datetime(2026, 2, 14, 17, tzinfo=UTC))
    for number, (_, at, *risks) in enumerate(_CHECKPOINTS, start=12_327):
        moment = datetime.fromisoformat(at).replace(tzinfo=UTC, microsecond=466_790)
        snapshot(connection, number, _MARKET, moment, _book(tuple(risks)))
        derived(connection, number)
    audit = rederive(settings, "report", "null-audit", "--columns", "l3").stdout
    assert ["home_book_risk_l3", "1,720", "12,331", "13.9%", "0"] in lines(audit)

    words = ("replay", "betfair", "--columns", "l3", "--to", "2026-02-20")
    stored = fingerprint(connection)
    assert counts(replay(settings, *words, "--limit", "200", "--dry-run")) == (200, 0, 0)
    assert fingerprint(connection) == stored
    assert counts(replay(settings, *words, "--limit", "200")) == (200, 0, 0)
    assert counts(replay(settings, *words, "--limit", "50000", "--batch-size", "500")) == (1_520, 0, 0)
    assert nulls(connection, columns) == (0, 0, 0)
    audit = rederive(settings, "report", "null-audit", "--columns", "l3").stdout
    for name in columns:
        assert [name, "0", "12,331", "0%", "0"] in lines(audit)

    shown = rederive(settings, "report", "checkpoints", _MARKET).stdout
    for name, at, *risks in _CHECKPOINTS:
        assert any(f"{name} {at} {' '.join(risks)} " in " ".join(line) for line in lines(shown)), shown
    nothing = replay(settings, *words)
    assert (nothing["processed"], *counts(nothing)) == (0, 0, 0, 0)
    assert "nothing to do" in nothing["log"]
