"""A domain from a distribution of its own gets everything from its own files alone (docs/domain.md)."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, build_opener

import orjson
import psycopg
import pytest

from rederive.database import connect
from rederive.settings import Settings
from tests.http.asking import dashboard
from tests.program import ROOT, environment, last_object, rederive, shadow

pytestmark = pytest.mark.services

DISTRIBUTION = Path(__file__).parent
FEBRUARY = ("--from", "2026-02-01", "--to", "2026-02-28")
_TABLES = {
    "meter_readings_derived": "meter, at",
    "rederive.meter_readings_derived_history": "meter, at, source, capture_id",
    "meter_totals": "span, start, meter, capture_id",
}


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the distribution is installed into."""
    built, site = tmp_path_factory.mktemp("meters"), tmp_path_factory.mktemp("site")
    for name in ("pyproject.toml", "meters"):
        subprocess.run(["cp", "-r", str(DISTRIBUTION / name), str(built)], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "--target", str(site), str(built)],
        check=True,
    )  # fmt: skip
    return site


@pytest.fixture
def database(
    installed: Path, settings: Settings, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[psycopg.Connection]:
    """The test's database, migrated with the domain installed, and 250 readings of one meter in it."""
    monkeypatch.setenv("TEST_PYTHONPATH", str(installed))
    rederive(settings, "migrate")
    with connect(migrated, application="tests") as connection:
        connection.execute(
            """CREATE TABLE meter_readings (reading_id int8 PRIMARY KEY, at timestamptz, payload jsonb,
                   stored_at timestamptz)"""
        )
        with connection.cursor().copy("COPY meter_readings FROM STDIN") as copy:
            for number in range(250):
                at = f"2026-02-01T{number // 60:02d}:{number % 60:02d}:00+00:00"
                payload = {"meter": "m1", "at": at, "kwh": number / 10, "site": "home"}
                copy.write_row((number, at, orjson.dumps(payload).decode(), "2026-02-02T00:00:00+00:00"))
        yield connection


def everything(connection: psycopg.Connection) -> dict[str, list[Any]]:
    return {
        name: connection.execute(f"SELECT * FROM {name} ORDER BY {key}").fetchall() for name, key in _TABLES.items()
    }


def counts(done: dict[str, object]) -> tuple[object, ...]:
    return tuple(done[name] for name in ("processed", "updated", "unchanged", "skipped", "errors"))


def test_a_table_is_planned_replayed_and_rolled_back(database: psycopg.Connection, settings: Settings) -> None:
    # Neither the program nor its workers look into the current folder, and find the domain all the same.
    shadow(settings.home.parent)
    before = everything(database)
    dry = last_object(rederive(settings, "replay", "meters", *FEBRUARY, "--dry-run", "--json").stdout)
    assert counts(dry) == (250, 250, 0, 0, 0)
    assert everything(database) == before

    plan = settings.home.parent / "plan.json"
    plan.write_text(rederive(settings, "plan", "meters", *FEBRUARY, "--limit", "120").stdout)
    done = last_object(rederive(settings, "apply", str(plan), "--json").stdout)
    assert (counts(done), done["units"]) == ((120, 120, 0, 0, 0), 2)
    rest = last_object(rederive(settings, "replay", "meters", *FEBRUARY, "--json").stdout)
    assert counts(rest) == (250, 130, 120, 0, 0)
    row = database.execute(
        "SELECT site, kwh, cost, volts, capture_id FROM meter_readings_derived WHERE at = '2026-02-01T01:00:00+00'"
    ).fetchone()
    assert row == ("home", 6.0, 1.68, None, done["capture_id"])

    rederive(settings, "captures", "rollback", str(done["capture_id"]), "--yes")
    rederive(settings, "captures", "rollback", str(rest["capture_id"]), "--yes")
    assert everything(database) == before
    assert "meters" in rederive(settings, "captures", "list", "--domain", "meters").stdout


MONTHS = [{"month": "2026-02", "meter": "m1", "kwh": 5.0, "cost": 1.4},
          {"month": "2026-02", "meter": "m2", "kwh": 5.0, "cost": 1.4}]  # fmt: skip


def of_files(place: Path) -> tuple[str, ...]:
    """The words of a replay of files of two days."""
    folder = place / "readings"
    folder.mkdir()
    (folder / "2026-02-01.jsonl").write_text(
        '{"meter":"m1","at":"2026-02-01T01:00:00+00:00","kwh":2,"volts":230,"amps":4}\n'
        '{"meter":"m1","at":"2026-02-01T11:00:00+00:00","kwh":-1}\njunk\n'
        '{"meter":"m2","at":"2026-02-01T10:00:00+00:00","kwh":5}\n'
    )
    (folder / "2026-02-02.jsonl").write_text('{"meter":"m1","at":"2026-02-02T10:00:00+00:00","kwh":3}\n')
    return ("replay", "meters", "--source", "files", "--option", f"folder={folder}", "--json")


def test_a_shadow_of_both_policies_is_seen_when_it_is_promoted(
    database: psycopg.Connection, settings: Settings, tmp_path: Path
) -> None:
    before = everything(database)
    done = last_object(rederive(settings, *of_files(tmp_path), "--mode", "shadow", code=1).stdout)
    assert (done["units"], done["dead_units"]) == (3, 0)
    seen = everything(database)
    assert seen.pop("rederive.meter_readings_derived_history")
    assert seen.items() <= before.items()
    rederive(settings, "captures", "promote", str(done["capture_id"]), "--yes")
    assert orjson.loads(rederive(settings, "report", "meter-months", "--json").stdout) == MONTHS
    rederive(settings, "captures", "verify")
    rederive(settings, "captures", "rollback", str(done["capture_id"]), "--yes")
    assert everything(database) == before


def test_files_make_totals_of_days_and_what_follows_from_them(
    database: psycopg.Connection, settings: Settings, tmp_path: Path
) -> None:
    rederive(settings, "replay", "meters", *FEBRUARY)
    words = of_files(tmp_path)
    done = last_object(rederive(settings, *words, code=1).stdout)
    # Two files and the month that they belong to: one of its units follows from the others.
    assert (done["units"], done["dead_units"], done["skipped"], done["errors"]) == (3, 0, 1, 1)
    # The file's values stand above the table's, read earlier, but for what it doesn't say.
    row = database.execute(
        "SELECT site, kwh, volts, amps FROM meter_readings_derived WHERE at = '2026-02-01T01:00:00+00'"
    ).fetchone()
    assert row == ("home", 2.0, 230.0, 4.0)
    assert orjson.loads(rederive(settings, "report", "meter-months", "--json").stdout) == MONTHS
    shown = everything(database)
    _seen_on_pages(settings, str(done["capture_id"]))

    # The log keeps what arrived: derived again from it, nothing changes.
    again = last_object(rederive(settings, "replay-topic", "meters", "--reason", "test", "--json", code=1).stdout)
    assert (again["updated"], again["errors"]) == (0, 1)
    rederive(settings, "captures", "rollback", str(again["capture_id"]), "--yes")
    assert everything(database) == shown
    # Of the readings' own times as the domain says them: one of the first file's, the other file whole.
    part = ("--mode", "fill", "--from", "2026-02-01T09:00", "--to", "2026-02-02")
    cut = last_object(rederive(settings, "replay-topic", "meters", *part, "--json").stdout)
    assert (cut["processed"], cut["errors"]) == (1 + 1 + 1, 0)
    rederive(settings, "captures", "rollback", str(cut["capture_id"]), "--yes")

    # One day's totals go, and the month that was added up from them; the readings are the run's, and stay.
    (day,) = {row[3] for row in shown["meter_totals"] if row[0] == "day" and str(row[1]) == "2026-02-01"}
    preview = rederive(settings, "captures", "rollback", day, "--dry-run", "--json")
    assert last_object(preview.stdout)["tables"]["meter_totals"]["deleted"] == 4  # type: ignore[index]
    rederive(settings, "captures", "rollback", day, "--yes")
    left = everything(database)
    assert [(row[0], str(row[1])) for row in left["meter_totals"]] == [("day", "2026-02-02")]
    assert left["meter_readings_derived"] == shown["meter_readings_derived"]


def _seen_on_pages(settings: Settings, capture: str) -> None:
    """Its pages are there without a word about it: captures, what one changed, coverage, explanations, replays."""
    with dashboard(settings) as address:
        login = urlsplit(address)
        browser = build_opener(HTTPCookieProcessor())
        browser.addheaders = [("Accept", "text/html")]
        browser.open(address).close()
        key = "table=meter_readings_derived&key=m1/2026-02-01T01:00:00%2B00:00"
        for path, text in {
            "/captures": capture,
            f"/captures/{capture}/changes": "meter_totals",
            "/coverage/meters": "kwh",
            "/coverage/meters?table=meter_totals": "kwh",
            f"/explain/meters?{key}&column=kwh": "What was said of it",
            "/replay/meters": "--option",
            "/dead-letters/meters": "Dead letters of meters",
            f"/compare?one={capture}&go=yes": "meter_readings_derived",
        }.items():
            with browser.open(f"{login.scheme}://{login.netloc}{path}") as answer:
                assert text in answer.read().decode(), path


def test_lines_are_computed_without_services(database: psycopg.Connection, settings: Settings) -> None:  # noqa: ARG001
    done = subprocess.run(
        [sys.executable, "-m", "rederive", "compute", "meters"],
        input=b'{"kind":"table","capture":"c","observed":"2026-03-01T00:00:00+00:00"}\nnothing\n',
        capture_output=True,
        env=environment(settings),
        check=False,
    )
    assert done.returncode == 1
    assert b"line 2 is no reading" in done.stderr


def test_replays_have_a_python_api(database: psycopg.Connection, settings: Settings) -> None:
    code = (
        "import datetime, rederive\n"
        "day = datetime.date(2026, 2, 1)\n"
        "found = rederive.replay('meters', start=day, end=day, limit=3, reason='from Python')\n"
        "print(type(found).__name__, found.progress.updated, found.exit_code, found.capture_id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(settings), check=True
    )
    assert re.fullmatch(r"Report 3 0 meters-\d+-\d+\n", done.stdout)
    assert database.execute("SELECT count(*) FROM meter_readings_derived").fetchone() == (3,)


def test_nothing_generic_knows_it() -> None:
    packages = ("schemas", "store", "producers", "processors", "sinks", "rederive", "samples")
    code = [path for name in packages for path in (ROOT / name).rglob("*.py")]
    assert len(code) > 100
    assert [str(path) for path in code if re.search(r"\bmeters?\b", path.read_text(), re.IGNORECASE)] == []


def test_of_gaps_the_engine_knows_rows_of_older_versions(database: psycopg.Connection, settings: Settings) -> None:
    rederive(settings, "replay", "meters", *FEBRUARY)
    for table in ("captures", "meter_readings_derived_history"):
        database.execute(f"UPDATE rederive.{table} SET derivation_version = 0")
    assert rederive(settings, "gaps", "meters").stdout == "No gaps of meters\n"
    (gap,) = orjson.loads(rederive(settings, "gaps", "meters", "--outdated", "--json", code=1).stdout)
    assert (gap["kind"], gap["day"], gap["part"], gap["count"]) == (
        "outdated", "2026-02-02", "meter_readings_derived", 250,
    )  # fmt: skip
    plan = settings.home.parent / "plan.json"
    plan.write_text(rederive(settings, "gaps", "meters", "--outdated", "--fill").stdout)
    rederive(settings, "apply", str(plan))
    assert orjson.loads(rederive(settings, "gaps", "meters", "--outdated", "--json").stdout) == []
