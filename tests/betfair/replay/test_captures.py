"""What people do with captures that have run, or are being run."""

import psycopg
import pytest
from psycopg.types.json import Jsonb

from rederive import __main__ as program
from rederive import captures
from rederive.captures import rollback
from rederive.database import connect
from rederive.settings import Settings
from tests.betfair.replay.stored import fingerprint, lines, replay, scalar
from tests.betfair.reports.made import START, derived, market, payload, snapshot
from tests.program import last_object, rederive

pytestmark = pytest.mark.services

_NOTHING = {"market_derived_metrics": {"entries": 0, "changed": 0, "deleted": 0}}


@pytest.fixture
def book(connection: psycopg.Connection) -> psycopg.Connection:
    """One snapshot with an empty derived row, and one that can't be computed."""
    market(connection, "1.1")
    for number, raw in ((1, payload()), (2, {})):
        snapshot(connection, number, "1.1", START.replace(minute=number), raw)
        derived(connection, number)
    return connection


def test_a_rollback_says_what_it_did(settings: Settings, book: psycopg.Connection) -> None:
    dry = replay(settings, "replay", "betfair", "--columns", "l1", "--dry-run")["capture_id"]
    run = replay(settings, "replay", "betfair", "--columns", "l1")["capture_id"]
    idle = replay(settings, "replay", "betfair", "--columns", "l1")["capture_id"]
    stored = fingerprint(book)
    memory = scalar(book, "SELECT memory FROM rederive.captures WHERE capture_id = %s", run)
    assert memory.keys() == {"producer", "agent", "sink"}
    assert all(one["peak"] >= one["half"] > 10_000_000 for one in memory.values())

    for more in ([], ["--dry-run"], ["--yes"]):
        said = rederive(settings, "captures", "rollback", dry, *more).stdout
        assert said == f"{dry} is a dry run: it has written no row, there is nothing to take back\n"
    told = last_object(rederive(settings, "captures", "rollback", dry, "--json").stdout)
    assert told == {"capture_id": dry, "state": "complete", "tables": _NOTHING}
    assert fingerprint(book) == stored

    would = rederive(settings, "captures", "rollback", run, "--dry-run").stdout
    assert would.startswith("A rollback would do")
    done = rederive(settings, "captures", "rollback", run, "--yes")
    did = done.stdout
    assert did.startswith(f"Rolled back: {run}")
    assert ["market_derived_metrics", "1", "1", "0"] in lines(did)
    assert "market_derived_metrics: 1 entry taken out\n" in done.stderr

    for more in ([], ["--dry-run"], ["--yes"]):
        again = rederive(settings, "captures", "rollback", run, *more).stdout
        assert again == f"{run} is rolled back already, there is nothing more to take back\n"
    told = last_object(rederive(settings, "captures", "rollback", run, "--json").stdout)
    assert told == {"capture_id": run, "state": "rolled-back", "tables": _NOTHING}

    empty = rederive(settings, "captures", "rollback", idle, "--yes").stdout
    assert empty == f"{idle}: no row to take back; it counts as rolled back now\n"
    assert [line[:2] for line in lines(rederive(settings, "captures", "list").stdout)[2:]] == [
        [idle, "rolled-back"],
        [run, "rolled-back"],
        [dry, "complete"],
    ]

    text = rederive(settings, "captures", "show", run).stdout
    assert "None" not in text
    assert "{" not in text
    assert "1 updated, 0 unchanged, 1 skipped, 0 errors" in text
    assert ["no_payload", "1", "2"] in [line[:3] for line in lines(text)]


def test_after_a_rollback_the_domains_steps_run_again(connection: psycopg.Connection) -> None:
    connection.execute("INSERT INTO ra_mst_horses (id, name) VALUES ('hrs_1', 'Kingman')")
    connection.execute("INSERT INTO ra_mst_sires (id, name) VALUES ('sir_1', 'Kingman')")
    connection.execute(
        """INSERT INTO rederive.captures (capture_id, number, domain, source, mode, derivation_version, columns,
               request, digest, who, state)
           VALUES ('racing-1', 1, 'racing', 'api', 'supersede', 1, '{}', %s, '', 'tests', 'complete')""",
        [Jsonb({})],
    )
    assert list(rollback(connection, "racing-1")) == []
    assert scalar(connection, "SELECT horse_id FROM ra_mst_sires") == "hrs_1"


@pytest.mark.usefixtures("book")
def test_a_capture_that_is_being_run_is_left_to_its_run(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = replay(settings, "replay", "betfair", "--columns", "l1")["capture_id"]
    monkeypatch.setattr(captures, "_FREE_SECONDS", 0.2)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    with connect(database_url, application=f"rederive replay {capture}"):
        for command in ("resume", "retry"):
            assert program.run(["captures", command, capture]) == 1
            said = capsys.readouterr()
            assert said.err.startswith(f"{capture} is being run by another process\n")
            assert f"do:  watch it with `rederive captures show {capture}`" in said.err
            assert said.out == ""
    assert replay(settings, "captures", "resume", capture)["processed"] == 2


def test_hints_name_markets_before_anything_was_replayed(settings: Settings, connection: psycopg.Connection) -> None:
    asked = ("replay", "betfair", "--market", "1.9")
    assert "do:  store markets first" in rederive(settings, *asked, code=1).stderr
    market(connection, "1.2")
    market(connection, "1.1", name="Lazio v Atalanta")
    assert "do:  those seen last are 1.1 (Lazio v Atalanta), 1.2" in rederive(settings, *asked, code=1).stderr
    unlike = rederive(settings, "report", "continuity", "nonsense", code=1).stderr
    assert "do:  those seen last: Lazio v Atalanta (1.1), 1.2" in unlike
    empty = rederive(settings, "report", "continuity", "1.1", code=1).stderr
    assert "do:  store snapshots first" in empty
    snapshot(connection, 1, "1.2", START)
    empty = rederive(settings, "report", "continuity", "1.1", code=1).stderr
    assert "do:  the newest snapshot is of 1.2" in empty
