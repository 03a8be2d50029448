"""Explanations of what whole runs have stored: every derived column of every domain, from what is listed alone."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from rederive import domains
from rederive.database import connect
from rederive.explanation import Again, explain
from rederive.raw_records import RawRecords
from rederive.replayer import Replayer
from rederive.settings import Settings
from schemas.domain import Domain
from schemas.provenance import Wanted
from schemas.table import Column, Table
from tests.betfair.replay.log import HEADERS, fill, line
from tests.betfair.replay.stored import replay
from tests.betfair.reports.made import START, derived, market, snapshot
from tests.finra.runs import weeks, write
from tests.program import last_object, rederive
from tests.racing.conftest import api, database  # noqa: F401 - fixtures
from tests.tracing import again

pytestmark = pytest.mark.services

Listed = dict[str, Any]


@contextmanager
def opened(settings: Settings, domain: str) -> Iterator[RawRecords]:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    with connect(url, application="tests") as connection:
        services = Replayer(settings, url).services(connection, dry=True)
        with closing(RawRecords(domains.find(domain), services)) as records:
            yield records


def _rows(connection: psycopg.Connection, table: Table, most: int) -> list[str]:
    """Keys of some rows, as a person writes them: the whole of it."""
    key = ", ".join(f"{column.name}::text" for column in table.key)
    found = connection.execute(f"SELECT {key} FROM {table.name} ORDER BY md5(concat({key})) LIMIT {most}")
    return ["/".join(row) for row in found]


def _again(connection: psycopg.Connection, domain: Domain, said: Listed, column: Column) -> object:
    """The value of the listed inputs alone, by the domain's formulas, as the column holds it."""
    value = again(domain, said["inputs"], Wanted(**said["record"]["of"]))
    if value is None:
        return None
    text = orjson.dumps(value).decode() if column.type == "jsonb" or not isinstance(value, str) else value
    row = connection.execute(f"SELECT to_jsonb(%s::text::{column.type})", [text]).fetchone()
    assert row is not None
    return row[0]


def _check(settings: Settings, name: str, most: int = 1, beside: Sequence[str] = ()) -> set[str]:
    """All columns of some rows of all tables; which columns had a value. Tables `beside` are written otherwise."""
    seen = set()
    with opened(settings, name) as records:
        connection = records.services.connection
        for table in records.domain.tables:
            for word in _rows(connection, table, most):
                for column in table.columns:
                    found = explain(records, table, word, column.name)
                    said = orjson.loads(orjson.dumps(found.describe(), default=str))
                    if table.name in beside and said["record"] is None:
                        continue
                    assert said["record"], (table.name, word, column.name, said)
                    assert said["computed"]["equal"], (table.name, word, column.name, said)
                    assert said["computed"]["value"] == said["stored"]["value"], said
                    assert _again(connection, records.domain, said, column) == said["stored"]["value"], said
                    if said["stored"]["value"] is not None:
                        seen.add(f"{table.name}.{column.name}")
    return seen


def test_every_column_of_betfair(settings: Settings, connection: psycopg.Connection) -> None:
    market(connection, "1.1")
    for identifier in (1, 2, 3):
        snapshot(connection, identifier, "1.1", START + timedelta(minutes=identifier))
    replay(settings, "replay", "betfair")
    assert len(_check(settings, "betfair", 2)) > 40


@pytest.mark.usefixtures("database", "api")
def test_every_column_of_racing(settings: Settings) -> None:
    rederive(settings, "replay", "racing", "--from", "2024-05-18", "--to", "2024-05-18")
    seen = _check(settings, "racing")
    assert {name.partition(".")[0] for name in seen} == {table.name for table in domains.find("racing").tables}


@pytest.mark.usefixtures("connection")
def test_every_column_of_finra(settings: Settings, tmp_path: Path) -> None:
    write(tmp_path / "weekly", weeks(6), ("OTC", "ATS"))
    with next((tmp_path / "weekly").iterdir()).open("a") as file:
        file.write("OTC||No symbol|NITE Venue|NITE|5|1|2025-02-10\n")
    rederive(settings, "replay", "finra", "--source", str(tmp_path / "weekly"))
    # The run's own checks, which look at what is stored, write rows of core_quality, too.
    seen = _check(settings, "finra", beside=("core_quality",))
    assert {name.partition(".")[0] for name in seen} >= {
        table.name for table in domains.find("finra").tables if table.name != "core_quality"
    }


@pytest.fixture
def worked(settings: Settings, connection: psycopg.Connection) -> dict[str, Any]:
    """The worked example of docs/merging.md: a fill, another one, a write from outside, a supersede."""
    market(connection, "1.1")
    snapshot(connection, 1, "1.1", START)
    snapshot(connection, 2, "1.1", START + timedelta(minutes=1), {"runners": []})
    derived(connection, 1, {"total_volume": 0.0, "home_best_back_size_l1": 5.0})
    columns = "total_volume,home_risk,home_best_back_size_l1"
    first = replay(settings, "replay", "betfair", "--columns", columns)
    second = replay(settings, "replay", "betfair", "--columns", columns, "--all-rows")
    connection.execute("UPDATE market_derived_metrics SET home_book_risk_l3 = 1.5")
    columns = "total_volume,home_best_back_size_l1,home_book_risk_l3"
    words = ("--columns", columns, "--all-rows", "--mode", "supersede", "--reason", "totals were 0")
    third = replay(settings, "replay", "betfair", *words)
    return {"fill": first["capture_id"], "again": second["capture_id"], "supersede": third["capture_id"]}


def _explained(settings: Settings, *words: str, code: int = 0) -> Listed:
    return last_object(rederive(settings, "explain", *words, "--json", code=code).stdout)


@pytest.mark.usefixtures("worked")
def test_a_domain_that_names_no_inputs_has_the_record_as_a_whole(settings: Settings) -> None:
    with opened(settings, "betfair") as own:
        domain = replace(own.domain, provenance="")
        with closing(RawRecords(domain, own.services)) as records:
            found = explain(records, domain.tables[0], "1", "home_risk")
    assert found.record is not None
    assert [one.path for one in found.record.traced.inputs] == [""]
    assert found.again == Again(-477.6000000000001, equal=True)


@pytest.mark.usefixtures("worked")
def test_a_record_that_its_topic_no_longer_keeps_is_read_from_the_source(settings: Settings) -> None:
    with (
        opened(settings, "betfair") as own,
        closing(RawRecords(own.domain, replace(own.services, kafka={}))) as records,
    ):
        found = explain(records, own.domain.tables[0], "1", "home_risk")
    assert found.record is not None
    assert found.record.read_from == "the source table"
    assert found.again == Again(-477.6000000000001, equal=True)


def test_rivals_stand_in_the_order_of_their_rank(settings: Settings, worked: dict[str, Any]) -> None:
    said = _explained(settings, "betfair", "1", "total_volume")
    assert said["stored"]["value"] == 10432.7
    assert said["capture"]["reason"] == "totals were 0"
    assert said["record"]["topic"].endswith("betfair.replay")
    assert [(one["rank"], one["kind"], one["capture_id"], one["value"], one["counts"]) for one in said["ranked"]] == [
        (1, "supersede", worked["supersede"], 10432.7, True),
        (2, "outside", None, None, False),
        (3, "baseline", None, 0.0, False),
        (4, "fill", worked["fill"], 10432.7, False),
        (5, "fill", worked["again"], 10432.7, False),
    ]
    assert [one["note"] for one in said["ranked"]][1:3] == ["it says nothing", "what stands above it has a value"]
    risk = _explained(settings, "betfair", "market_derived_metrics", "1", "home_risk")
    assert (risk["capture"]["capture_id"], risk["computed"]) == (
        worked["fill"],
        {"value": -477.6000000000001, "equal": True},
    )
    assert risk["ranked"][0]["note"] == "the column was not in scope"


@pytest.mark.usefixtures("worked")
def test_nulls_and_what_was_skipped_are_explained(settings: Settings, connection: psycopg.Connection) -> None:
    never = _explained(settings, "betfair", "1", "away_impedance")
    assert never["why"] == "away_impedance was not in scope of any capture of the row"
    skipped = _explained(settings, "betfair", "2", "home_risk")
    assert (skipped["stored"]["there"], skipped["problem"]["reason"]) == (False, "insufficient_runners")
    assert "insufficient_runners" in skipped["why"]
    replay(settings, "replay", "betfair", "--columns", "away_back_size_l3,away_back_size_l2")
    proven = _explained(settings, "betfair", "1", "away_back_size_l3")
    assert proven["why"].endswith("and it is NULL: the payload has no such level")
    assert proven["computed"] == {"value": None, "equal": True}
    connection.execute("UPDATE market_derived_metrics SET away_spread = 9")
    assert "from outside" in _explained(settings, "betfair", "1", "away_spread")["why"]
    text = rederive(settings, "explain", "betfair", "1", "home_risk").stdout
    assert "raw_payload.runners[0].ex.availableToBack[0]" in text
    assert "computed again from just these: -477.6000000000001, the same" in text


@pytest.mark.usefixtures("worked")
def test_words_that_mean_nothing_name_what_is_near(settings: Settings) -> None:
    for words, said in {
        ("betfair", "1", "home_rsk"): "home_risk",
        ("betfair", "metrics_derived", "1", "home_risk"): "market_derived_metrics",
        ("betfair", "one", "home_risk"): "write snapshot_id",
        ("betfair", "1"): "rederive explain betfair [TABLE] KEY COLUMN",
        ("racing", "1", "name"): "ra_mst_jockeys",
        ("racing", "sires", "1", "horse_id"): "of whole tables",
        ("racing", "runners", "1", "number"): "write race_id/horse_id",
    }.items():
        assert said in rederive(settings, "explain", *words, code=2).stderr
    unknown = rederive(settings, "explain", "betfair", "77", "home_risk", code=1).stderr
    assert "next to it are 1" in unknown


def test_a_record_of_the_log_is_named_live_and_read_again(settings: Settings, connection: psycopg.Connection) -> None:
    market(connection, "1.1")
    snapshot(connection, 7, "1.1", START)
    fill(settings, [(line(7), HEADERS, None)])
    found = replay(settings, "replay-topic", "betfair", "--reason", "again")
    said = _explained(settings, "betfair", "7", "home_risk")
    assert said["capture"]["capture_id"] == found["capture_id"]
    assert said["record"]["locator"]["offset"] == 0
    assert said["computed"]["equal"]
    # A live capture has no units: what stands on the log is looked through.
    connection.execute(
        """UPDATE rederive.captures SET source = 'live';
           UPDATE rederive.origins SET topic = replace(topic, '.replay', '.log')"""
    )
    said = _explained(settings, "betfair", "7", "home_risk")
    assert (said["record"]["topic"].endswith("betfair.log"), said["record"]["offset"]) == (True, 0)
    assert said["computed"]["equal"]
