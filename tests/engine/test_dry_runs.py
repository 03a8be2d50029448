"""A dry run of any domain, by any command: no row of a table, no record on a log, no call of an API."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from producers.source import DraftOfPlan
from producers.topics import partitions_of, watermarks
from rederive import domains
from rederive.plans import read_plan
from rederive.settings import Settings
from samples.racing.api import StandIn
from schemas.lane import Lane
from store import captures
from tests.betfair.reports.made import START, derived, market, snapshot
from tests.finra.runs import weeks, write
from tests.program import rederive
from tests.racing.rows import TODAY

pytestmark = pytest.mark.services

_OF_RUNS = ("captures", "units", "problems", "origins")
"""The engine's own tables, which say of a dry run that it was."""

_DAY = date(2024, 1, 8)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with StandIn(today=TODAY) as running:
        monkeypatch.setenv("RACING_API_BASE_URL", running.base_url)
        monkeypatch.setenv("RACING_API_USERNAME", "standin")
        monkeypatch.setenv("RACING_API_PASSWORD", "standin")
        yield running


def _everything(settings: Settings, connection: psycopg.Connection) -> dict[str, object]:
    """Rows and a checksum of each table, the ends of each log."""
    found: dict[str, object] = {}
    tables = connection.execute(
        """SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'rederive')
           AND NOT (schemaname = 'rederive' AND tablename = ANY(%s)) ORDER BY 1, 2""",
        [list(_OF_RUNS)],
    ).fetchall()
    for schema, table in tables:
        query = sql.SQL("SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t")
        found[f"{schema}.{table}"] = connection.execute(query.format(sql.Identifier(schema, table))).fetchone()
    kafka = settings.kafka_config()
    for domain in domains.shipped():
        for name in domain.kept:
            topic = Lane(domain.name, name, settings.topic_prefix).raw
            found[topic] = watermarks(kafka, topic) if partitions_of(kafka, topic) else None
    return found


@pytest.mark.parametrize("domain", ["betfair", "racing", "finra"])
def test_a_dry_run_leaves_no_trace(
    settings: Settings, connection: psycopg.Connection, api: StandIn, tmp_path: Path, domain: str
) -> None:
    day = ("--from", str(_DAY), "--to", str(_DAY), "--no-results", "--skip-masters")
    folder = tmp_path / "weekly"
    words: tuple[str, ...] = ()
    if domain == "betfair":
        market(connection, "1.1")
        for number in (1, 2):
            snapshot(connection, number, "1.1", START.replace(minute=number))
            derived(connection, number)
        words = ("--columns", "l1")
    elif domain == "racing":
        rederive(settings, "replay", "racing", *day)
        words = (*day, "--refetch")
    else:
        write(folder, weeks(1))
        rederive(settings, "replay", "finra", "--source", str(folder))
        write(folder, weeks(2), edition=1)
        words = ("--source", str(folder))
    plan = tmp_path / "plan.json"
    plan.write_text(rederive(settings, "plan", domain, *words).stdout)
    made = read_plan(plan.read_text(), "plan.json")
    assert made.units
    # As in a new database beside an old Kafka: what is kept there is found out anew.
    connection.execute("DELETE FROM rederive.racing_records")
    before, asked = _everything(settings, connection), len(api.requests)

    commands = [("replay", domain, *words, "--dry-run"), ("apply", str(plan), "--dry-run"), ("plan", domain, *words)]
    if domain != "betfair":
        commands.append(("replay-topic", domain, "--dry-run"))
    if domain == "racing":
        commands.append(("replay", domain, *day, "--check-status"))
    commands += [("gaps", domain, "--outdated"), ("gaps", domain, "--fill")]
    for command in commands:
        json = () if command[0] == "plan" or command[-1] == "--fill" else ("--json",)
        gaps = command[0] == "gaps" and command[-1] != "--fill"
        rederive(settings, *command, *json, code=int(gaps))
        assert _everything(settings, connection) == before, command
    # Dry captures that others have made: their units wait for a lane that keeps them.
    capture, _ = captures.mint(connection, DraftOfPlan(made), who="tests", reason="", dry_run=True)
    for again in ("resume", "retry"):
        done = rederive(settings, "captures", again, capture.capture_id, code=0 if domain == "betfair" else 1)
        assert _everything(settings, connection) == before, again
        if domain != "betfair":
            assert "a dry run asks for nothing new and keeps nothing on a log" in done.stderr
            assert f"captures retry {capture.capture_id}" in done.stderr
    assert len(api.requests) == asked

    # What could not be applied can't be applied dry.
    if domain == "racing":
        return
    if domain == "finra":
        for file in folder.iterdir():
            file.write_bytes(file.read_bytes() + b"\n")
    else:
        connection.execute("DELETE FROM market_book_snapshots")
    for dry in (("--dry-run",), ("--dry-run", "--json"), ()):
        refused = rederive(settings, "apply", str(plan), *dry, code=1)
        assert "the plan is stale, nothing was sent\n  why: " in refused.stderr, dry
        assert refused.stdout == ""
