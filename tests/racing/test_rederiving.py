"""Amended results, earlier fetches and mended mappings: what stands in the end."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest

from rederive.settings import Settings
from samples.racing.api import StandIn
from tests import another
from tests.another import Version
from tests.program import last_object, rederive
from tests.racing.rows import TODAY, everything, served, stored
from tests.wait import until

DAY = date(2024, 5, 18)
ONE_DAY = ("--from", str(DAY), "--to", str(DAY))

pytestmark = pytest.mark.services

_RUNNER = """SELECT position, position_str, prize_won, jockey_name FROM ra_runners
             WHERE (race_id, horse_id) = (%s, %s)"""


NEWER = """
import dataclasses
import schemas.racing.tables as tables
tables.RACING = dataclasses.replace(tables.RACING, derivation_version=tables.RACING.derivation_version + 1)
"""

SILENT = """
import processors.racing.rules as rules
rules.rider = lambda text: None
"""

SWAPPED = """
import processors.racing.rules as rules
right = rules.rider
rules.rider = lambda text: None if right(text) is None else right(text)[::-1]
"""


def test_an_amended_result_stands_against_earlier_fetches_and_newer_versions(
    settings: Settings,
    database: psycopg.Connection,
    api: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    rederive(settings, "replay", "racing", *ONE_DAY)
    race, horse = next(
        database.execute(
            """SELECT race_id, horse_id FROM ra_runners r WHERE position = 1 AND prize_won IS NOT NULL
               AND (SELECT count(*) FROM ra_runners o WHERE o.race_id = r.race_id AND o.position = 1) = 1
               ORDER BY 1 LIMIT 1"""
        )
    )
    first_fetch_ended = datetime.now(UTC)
    until(lambda: datetime.now(UTC).timestamp() > first_fetch_ended.timestamp() + 1.1, 5, "time stands still")
    api.put(api.day(DAY).poorer().disqualified(race))
    rederive(settings, "replay", "racing", *ONE_DAY, "--refetch", "--no-racecards", "--skip-masters")
    amended = everything(database)
    assert database.execute(_RUNNER, [race, horse]).fetchone()[:3] == (None, "DSQ", None)  # type: ignore[index]

    rederive(settings, "replay", "racing", *ONE_DAY, "--refetch", "--no-results", "--skip-masters")
    assert everything(database) == amended, "a poorer card changes something"

    Version(monkeypatch, tmp_path / "newer")(NEWER)
    until_first = first_fetch_ended.isoformat()
    done = last_object(another.rederive(settings, "replay-topic", "racing", "--until", until_first, "--json").stdout)
    assert done["errors"] == 0
    assert everything(database) == amended, "an earlier fetch under a newer version takes something back"


def test_a_mended_mapping_is_repaired_without_the_api(
    settings: Settings, database: psycopg.Connection, api: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Version(monkeypatch, tmp_path / "swapped")(SWAPPED)
    rederive(settings, "replay", "racing", *ONE_DAY)
    names = {name for (name,) in database.execute("SELECT name FROM ra_mst_jockeys WHERE name IS NOT NULL")}
    served_names = {
        runner["jockey"].split("(")[0]
        for race in (*api.day(DAY).cards(TODAY), *api.day(DAY).results(TODAY))
        for runner in race["runners"]
    }
    assert names
    assert not names & served_names, "the bug isn't there"

    Version(monkeypatch, tmp_path / "mended")(NEWER)
    asked = len(api.requests)
    monkeypatch.setenv("RACING_API_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("RACING_API_PASSWORD")
    done = last_object(another.rederive(settings, "replay-topic", "racing", "--reason", "names", "--json").stdout)
    assert done["errors"] == 0
    assert len(api.requests) == asked
    names = {name for (name,) in database.execute("SELECT name FROM ra_mst_jockeys WHERE name IS NOT NULL")}
    assert names <= served_names
    wrong = database.execute(
        """SELECT count(*) FROM ra_runners r JOIN ra_mst_jockeys j ON j.id = r.jockey_id
           WHERE r.jockey_name <> ALL(%s)""",
        [list(served_names)],
    ).fetchone()
    assert wrong == (0,)
    assert stored(database) == served(api, [DAY])

    before = everything(database)
    Version(monkeypatch, tmp_path / "silent")(NEWER + SILENT)
    words = ("replay", "racing", *ONE_DAY, "--skip-masters", "--clear")
    refused = rederive(settings, *words, code=2).stderr
    assert re.search(r"at most [\d,]+ stored values of \d+ columns \(.* of ra_runners", refused)
    assert "say --yes" in refused
    cleared = last_object(another.rederive(settings, *words, "--yes", "--json").stdout)
    assert database.execute("SELECT count(*) FROM ra_runners WHERE jockey_name IS NOT NULL").fetchone() == (0,)
    rederive(settings, "captures", "verify")
    rederive(settings, "captures", "rollback", str(cleared["capture_id"]), "--yes")
    assert everything(database) == before


def test_horses_are_enriched_and_complete(settings: Settings, database: psycopg.Connection, api: StandIn) -> None:
    """--enrich: the replay is complete when every horse that ran has been asked for; kept details are read again."""
    rederive(settings, "replay", "racing", "--only-masters")
    database.execute("UPDATE ra_mst_courses SET latitude = 51.5 WHERE id = (SELECT min(id) FROM ra_mst_courses)")
    quiet = date(2024, 1, 8)
    made = api.day(quiet)
    api.put(replace(made, races=tuple(race for race in made.races if not race.abandoned)[:1]))
    words = ("--from", str(quiet), "--to", str(quiet), "--skip-masters", "--no-racecards", "--enrich")
    horses = {runner["horse_id"] for race in api.day(quiet).results(TODAY) for runner in race["runners"]}
    rederive(settings, "replay", "racing", *words)
    asked = {path.split("/")[-2] for path in api.counts if path.endswith("/pro") and "/horses/" in path}
    assert asked == horses
    colours = database.execute("SELECT count(*) FROM ra_mst_horses WHERE colour_code IS NOT NULL").fetchone()
    assert colours is not None
    assert colours[0] > 0.8 * len(horses)
    before, count = everything(database), len(api.requests)
    rederive(settings, "replay", "racing", *words)
    assert len(api.requests) == count
    assert everything(database) == before
    assert database.execute("SELECT count(latitude) FROM ra_mst_courses").fetchone() == (1,)
