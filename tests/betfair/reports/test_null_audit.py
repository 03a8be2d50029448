from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from rederive.betfair.comparison import NullComparison, compare, load, save
from rederive.betfair.fillable import fillable
from rederive.betfair.nulls import ColumnNulls, Inventory, NullAudit, null_audit
from rederive.betfair.report_tables import show_null_audit, show_null_comparison
from schemas.betfair.tables import METRICS, SCOPES
from schemas.errors import Failed, UsageError
from tests.betfair.reports import made

NOW = datetime(2026, 2, 15, 12, tzinfo=UTC)
L1 = SCOPES["l1"]


def audit_of(rows: int, nulls: dict[str, int]) -> NullAudit:
    return NullAudit(
        taken_at=NOW,
        rows=rows,
        rows_with_null=max(nulls.values()),
        recent_since=NOW - timedelta(days=7),
        recent_rows=0,
        columns=tuple(ColumnNulls(name, number, None, 0) for name, number in nulls.items()),
        inventory=Inventory(rows, NOW, NOW, rows, rows, rows, rows, 0, 0, 0),
        sample=(),
    )


@pytest.mark.services
def test_l1_figures_before_and_after(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made.many(connection, 12_401, 980, L1)
    # One payload has no home ladder: that NULL stays.
    bare = made.payload()
    bare["runners"][0]["ex"]["availableToBack"] = []
    connection.execute("DELETE FROM market_book_snapshots WHERE snapshot_id = 12000")
    made.snapshot(connection, 12_000, "1.1", made.START + timedelta(minutes=12_000), bare)
    made.derived(connection, 12_000)

    before = null_audit(connection, L1, now=NOW + timedelta(days=30))
    assert [(column.nulls, column.percent, column.recent_nulls) for column in before.columns] == [(980, "7.9%", 0)] * 3
    assert (before.rows, before.recent_rows, before.rows_with_null) == (12_401, 0, 980)
    assert [row.snapshot_id for row in before.sample] == list(range(12_401, 12_381, -1))
    would = fillable(connection, L1)
    assert list(would.columns.values()) == [979, 980, 980]
    assert (would.examined, would.rows, would.errors, would.skipped) == (980, 980, 0, {})
    saved = tmp_path / "before.json"
    save(before, saved)

    connection.execute(
        "UPDATE market_derived_metrics SET away_best_back_size_l1 = 50, draw_best_back_size_l1 = 60,"
        " home_best_back_size_l1 = CASE WHEN snapshot_id <> 12000 THEN 200 END WHERE home_best_back_size_l1 IS NULL"
    )
    after = null_audit(connection, L1, now=NOW + timedelta(days=30))
    assert [(column.nulls, column.percent) for column in after.columns] == [(1, "0.01%"), (0, "0%"), (0, "0%")]
    assert [row.snapshot_id for row in after.sample] == [12_000]

    show_null_audit(before)
    show_null_comparison(compare(load(saved), after))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["home_best_back_size_l1", "980", "12,401", "7.9%", "0"] in lines
    assert ["home_best_back_size_l1", "980", "1", "-99.9%", "7.9%", "0.01%"] in lines
    assert ["away_best_back_size_l1", "980", "0", "-100%", "7.9%", "0%"] in lines
    assert ["Total", "rows", "12,401", "12,401", "—"] in lines
    sample = next(" ".join(line) for line in lines if line[:2] == ["sample", "snapshot_ids"])
    assert sample == "sample snapshot_ids (5) 12401, 12400, 12399, 12398, 12397"


@pytest.mark.services
def test_l3_figures_before_and_after(connection: psycopg.Connection) -> None:
    made.many(connection, 12_331, 1_720, SCOPES["l3"])
    before = null_audit(connection, SCOPES["l3"])
    assert [(column.nulls, column.percent) for column in before.columns] == [(1_720, "13.9%")] * 3
    connection.execute(
        "UPDATE market_derived_metrics SET home_book_risk_l3 = 1, away_book_risk_l3 = 1, draw_book_risk_l3 = 1"
    )
    after = null_audit(connection, SCOPES["l3"])
    assert [(column.nulls, column.percent) for column in after.columns] == [(0, "0%")] * 3
    assert [column.change for column in compare(before, after).columns] == ["-100%"] * 3
    assert after.sample == ()


@pytest.mark.services
def test_every_column_is_audited_and_recent_days_are_counted_apart(connection: psycopg.Connection) -> None:
    made.market(connection, "1.1")
    ages = {1: timedelta(days=8), 2: timedelta(days=7), 3: timedelta(days=1), 4: timedelta(0), 5: timedelta(days=-1)}
    for snapshot_id, age in ages.items():
        made.snapshot(connection, snapshot_id, "1.1", NOW - age)
        made.derived(connection, snapshot_id, {"total_volume": 0.0, "home_risk": None if snapshot_id < 4 else 1.0})
    audit = null_audit(connection, now=NOW)
    found = {column.column: (column.nulls, column.recent_nulls) for column in audit.columns}
    assert tuple(found) == METRICS
    # Neither the row after the time asked for nor the one older than seven days is recent; a stored 0.0 is a value.
    assert found["home_risk"] == (3, 2)
    assert found["total_volume"] == (0, 0)
    assert found["away_risk"] == (5, 3)
    assert (audit.rows, audit.recent_rows, audit.rows_with_null) == (5, 3, 5)


@pytest.mark.services
def test_inventory_and_eligibility(connection: psycopg.Connection) -> None:
    made.market(connection, "1.1")
    empty = made.payload()
    for runner in empty["runners"]:
        runner["ex"] = {"availableToBack": [], "availableToLay": None}
    lay_only = made.payload()
    for runner in lay_only["runners"]:
        del runner["ex"]["availableToBack"]
    payloads = [made.payload(), lay_only, empty, {"runners": None}, {}, None]
    for index, raw in enumerate(payloads):
        made.snapshot(connection, index, "1.1", NOW + timedelta(minutes=index), raw)
        if index != 1:
            made.derived(connection, index)
    audit = null_audit(connection)
    assert audit.inventory == Inventory(
        snapshots=6,
        oldest=NOW,
        newest=NOW + timedelta(minutes=5),
        with_payload=4,
        with_runners=3,
        first_runner_with_back=2,
        tier_a=2,
        tier_b=2,
        tier_c=2,
        without_row=1,
    )
    flags = [(row.snapshot_id, row.has_runners, row.first_runner_has_back) for row in audit.sample]
    assert flags == [(5, False, False), (4, False, False), (3, False, False), (2, True, True), (0, True, True)]


@pytest.mark.services
@pytest.mark.parametrize("now", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_recent_days_may_be_at_an_end_of_the_calendar(connection: psycopg.Connection, now: datetime) -> None:
    assert null_audit(connection, L1, now=now).recent_rows == 0


def test_an_empty_database_has_no_percents(connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    audit = null_audit(connection)
    assert audit.rows == 0
    assert {column.percent for column in audit.columns} == {None}
    assert audit.inventory.oldest is None
    show_null_audit(replace(audit, fillable=fillable(connection)))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["home_risk", "0", "0", "—", "0"] in [line[:5] for line in lines]


def test_a_saved_audit_comes_back_the_same(tmp_path: Path) -> None:
    audit = audit_of(12_401, {"home_risk": 980})
    save(audit, tmp_path / "audit.json")
    assert load(tmp_path / "audit.json") == audit
    assert [path.name for path in tmp_path.iterdir()] == ["audit.json"]


def test_columns_that_only_one_audit_has_are_shown_without_a_change() -> None:
    compared: NullComparison = compare(audit_of(3, {"home_risk": 1, "draw_risk": 2}), audit_of(4, {"away_risk": 3}))
    assert [(c.column, c.before, c.after, c.change) for c in compared.columns] == [
        ("away_risk", None, 3, ""),
        ("home_risk", 1, None, ""),
        ("draw_risk", 2, None, ""),
    ]
    assert compared.rows_change == "+33.3%"


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"report": "null-audit", "format": 2}', '{"report": "null-audit", "format": 1}']
)
def test_a_file_that_is_no_audit_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "audit.json").write_text(content)
    with pytest.raises(UsageError, match="holds no saved audit"):
        load(tmp_path / "audit.json")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no saved audit can be read"):
        load(tmp_path / "audit.json")


def test_a_place_that_takes_no_file_fails(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="can't be saved"):
        save(audit_of(1, {"home_risk": 1}), tmp_path / "missing" / "audit.json")
