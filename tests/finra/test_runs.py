"""FINRA's runs through real Kafka and Postgres: restated and rolled back, killed and resumed."""

import os
import signal
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rederive.settings import Settings
from samples.finra.files import FinraFiles
from schemas.finra.partition import fridays
from schemas.finra.tables import FINRA
from schemas.table import Mode
from tests.finra.runs import OWN
from tests.program import last_object, rederive, start, workers
from tests.sizes import usual
from tests.wait import until

WEEKS = fridays(date(2025, 1, 1), date(2025, 3, 21))
TIERS = ("OTC", "ATS")
WORLD = FinraFiles(symbols=60, rows=240, faults=0.02)
RANGE = ("--from", "2025-01-01", "--to", "2025-03-21")

pytestmark = pytest.mark.services

_KEPT = [table for table in FINRA.tables if not table.audit]


def everything(connection: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables that a rollback touches, every column but when the manifest was last written."""
    found = {}
    for table in _KEPT:
        names = [row[0] for row in connection.execute(
            "SELECT column_name::text FROM information_schema.columns WHERE table_name = %s ORDER BY 1", [table.name]
        ) if row[0] not in ("updated_at", "merge_xid")]  # fmt: skip
        found[table.name] = connection.execute(
            f"SELECT {', '.join(names)} FROM {table.name} ORDER BY 1, 2, 3"
        ).fetchall()
        found[table.name].sort(key=repr)
    return found


def by_run(connection: psycopg.Connection, run: str) -> Iterator[tuple[str, list[str]]]:
    """Per table the rows of a run without what is a capture's own, sorted."""
    for table in _KEPT:
        if table.policy is Mode.INSERT:
            own = ", ".join(f"'{name}'" for name in sorted(OWN))
            rows = connection.execute(
                f"SELECT (to_jsonb(t) - ARRAY[{own}])::text FROM {table.name} t WHERE execution_id = %s ORDER BY 1",
                [run],
            )  # fmt: skip
            yield table.name, [row[0] for row in rows]


def written(folder: Path, weeks: list[date], tiers: tuple[str, ...], edition: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    for week in weeks:
        for tier in tiers:
            file = WORLD.file(week, tier, edition)
            (folder / file.name).write_bytes(file.content)
    return folder


def test_a_restated_week_renews_what_follows_and_is_rolled_back(
    settings: Settings, connection: psycopg.Connection, tmp_path: Path
) -> None:
    source = written(tmp_path / "weekly", WEEKS, TIERS)
    rederive(settings, "replay", "finra", "--source", str(source), *RANGE)
    shares = connection.execute(
        """SELECT count(*) FROM (SELECT sum(market_share_pct) FROM finra_otc_transparency_venue_share
           GROUP BY week_ending, tier, capture_id, calc_version HAVING abs(sum(market_share_pct) - 1) > 1e-9) bad"""
    ).fetchone()
    assert shares == (0,)
    again = last_object(rederive(settings, "replay", "finra", "--source", str(source), *RANGE, "--json").stdout)
    assert again["units"] == 0, "the same files are passed over"
    before = everything(connection)

    middle = WEEKS[5]
    other = written(tmp_path / "restated", [middle], ("OTC",), edition=1)
    done = last_object(rederive(settings, "replay", "finra", "--source", str(other), *RANGE, "--json").stdout)
    run = str(done["capture_id"])
    renewed = connection.execute(
        """SELECT DISTINCT week_ending, tier FROM finra_otc_transparency_symbol_rolling_6w
           WHERE execution_id = %s ORDER BY 1""",
        [run],
    ).fetchall()
    assert renewed == [(middle + timedelta(weeks=n), "OTC") for n in range(6)]
    assert everything(connection) != before

    rederive(settings, "captures", "rollback", run, "--yes")
    assert everything(connection) == before
    restated = last_object(rederive(settings, "replay", "finra", "--source", str(other), *RANGE, "--json").stdout)
    assert restated["processed"] == done["processed"], "what was rolled back is not passed over"
    row = connection.execute(
        "SELECT DISTINCT capture_id FROM finra_otc_transparency_raw WHERE execution_id = %s", [restated["capture_id"]]
    ).fetchone()
    assert row is not None
    rederive(settings, "captures", "rollback", row[0], "--yes")
    assert everything(connection) == before, "one partition's capture, with what was derived from it"
    twice = rederive(settings, "captures", "rollback", row[0], "--yes").stdout
    assert twice == f"{row[0]} is rolled back already, there is nothing more to take back\n"
    told = last_object(rederive(settings, "captures", "rollback", row[0], "--json").stdout)
    assert (told["capture_id"], told["state"]) == (row[0], "rolled-back")
    assert {count for counts in told["tables"].values() for count in counts.values()} <= {0}  # type: ignore[attr-defined]
    missing = rederive(settings, "captures", "rollback", f"{row[0]}0", "--yes", code=1).stderr
    assert "there is no capture" in missing


def test_killed_in_a_long_backfill(settings: Settings, connection: psycopg.Connection, tmp_path: Path) -> None:
    # four months, or a year
    last = usual(date(2024, 4, 30), long=date(2024, 12, 31))
    source = written(tmp_path / "weekly", fridays(date(2024, 1, 1), last), TIERS)
    months = ("--from", "2024-01-01", "--to", str(last))

    def applied() -> int:
        row = connection.execute("SELECT count(*) FROM rederive.units WHERE state = 'applied'").fetchone()
        assert row is not None
        return int(row[0])

    run = start(settings, "replay", "finra", "--source", str(source), *months)
    try:
        until(lambda: applied() > 5, 60, "the backfill does not begin")
        agents, sinks = workers(run, "agent"), workers(run, "sink")
        agents[0].kill()
        sinks[0].kill()
        reached = applied()
        until(lambda: applied() > reached, 60, "the deaths of an agent and the sink stop the backfill")
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
    ((capture, state),) = connection.execute("SELECT capture_id, state FROM rederive.captures").fetchall()
    assert state == "running", "the producer was killed in the middle"
    rederive(settings, "captures", "resume", capture)
    undisturbed = last_object(
        rederive(settings, "replay", "finra", "--source", str(source), *months, "--force", "--json").stdout
    )
    first, second = dict(by_run(connection, capture)), dict(by_run(connection, str(undisturbed["capture_id"])))
    assert {name: len(rows) for name, rows in first.items()} == {name: len(rows) for name, rows in second.items()}
    assert first == second
