"""Commands that can't be carried out: what is said, why, what to do, and the exit code. No broker is needed for any."""

import re
from datetime import timedelta

import psycopg
import pytest
from pydantic import SecretStr

from rederive.migrate import migrate
from rederive.settings import Settings
from tests.betfair.replay.stored import replay, rows, scalar
from tests.betfair.reports.made import START, derived, market, snapshot
from tests.program import rederive

pytestmark = pytest.mark.services


@pytest.fixture
def nowhere(settings: Settings) -> Settings:
    """Settings by which nothing answers."""
    url = SecretStr("postgresql://nobody:secret@127.0.0.1:1/nowhere")
    return settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1", "database_url": url})


def _refused(settings: Settings, *words: str, code: int, said: tuple[str, ...]) -> None:
    done = rederive(settings, *words, code=code)
    for text in said:
        assert text in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--from 2026-02-13 --to 2026-02-06", ("--from 2026-02-13 is after the end", "--to is 2026-02-06", "do:")),
        ("--from 2026-02-30", ("--from '2026-02-30' is no date", "do:")),
        ("--to yesterday", ("--to 'yesterday' is no date", "do:")),
        ("--columns l1,best_bakc", ("unknown column or scope 'best_bakc'", "did you mean best_back", "do:")),
        ("--columns ,", ("no column is named", "do:")),
        ("--limit 0", ("--limit",)),
        ("--batch-size many", ("--batch-size",)),
        ("--mode insert", ("--mode", "fill", "supersede", "shadow")),
        ("--market", ("--market",)),
        ("--colums l1", ("--colums", "--columns")),
    ],
)
def test_words_that_mean_nothing(nowhere: Settings, words: str, said: tuple[str, ...]) -> None:
    done = rederive(nowhere, "replay", "betfair", *words.split(), code=2)
    text = re.sub(r"[\s│]+", " ", done.stderr + done.stdout)
    assert all(part in text for part in said), text
    assert "Traceback" not in text


def test_a_database_that_cannot_be_used(nowhere: Settings, settings: Settings, database_url: str) -> None:
    words = ("replay", "betfair", "--columns", "l1")
    elsewhere = nowhere.model_copy(update={"kafka_bootstrap": settings.kafka_bootstrap})
    _refused(elsewhere, *words, code=1, said=("nobody@127.0.0.1:1/nowhere", "why: nothing answers", "do:"))

    url = psycopg.conninfo.conninfo_to_dict(database_url)
    stranger = f"postgresql://{url['user']}:secret@{url['host']}:{url['port']}/{url['dbname']}"
    wrong = settings.model_copy(update={"database_url": SecretStr(stranger)})
    _refused(wrong, *words, code=1, said=("no connection to the database", "the user or the password is wrong", "do:"))

    absent = settings.model_copy(update={"database_url": SecretStr(database_url.replace("/test_", "/no_test_"))})
    _refused(absent, *words, code=1, said=("does not exist", "do:"))

    migrated = "do:  run `rederive migrate`"
    _refused(settings, *words, code=1, said=('relation "', "does not exist", migrated))
    _refused(settings, "captures", "list", code=1, said=('relation "rederive.captures"', migrated))

    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE market_derived_metrics DROP COLUMN draw_best_back_size_l1")
    _refused(settings, *words, code=1, said=("draw_best_back_size_l1 does not exist", migrated))


def test_what_is_not_there(nowhere: Settings, settings: Settings, connection: psycopg.Connection) -> None:
    empty = replay(settings, "replay", "betfair")
    assert empty["processed"] == 0
    assert "market_book_snapshots is empty" in empty["log"]

    market(connection, "1.1")
    for number in (1, 2):
        snapshot(connection, number, "1.1", START + timedelta(days=number))
        derived(connection, number)
    before = rows(connection)
    _refused(
        settings, "replay", "betfair", "--market", "1.1", "--market", "1.9",
        code=1, said=("unknown market 1.9", "why:", "do:"),
    )  # fmt: skip
    outside = replay(settings, "replay", "betfair", "--to", "2026-02-08", "--columns", "l1")
    assert outside["processed"] == 0
    assert "no snapshot in the range; the 2 stored are of 2026-02-09T12:00:00+00:00 to 2026-02-10" in outside["log"]

    for command in ("show", "resume", "retry", "cancel", "rollback"):
        more = ("--yes",) if command == "rollback" else ()
        said = ("there is no capture betfair-1", f"the newest are {outside['capture_id']}", "do:")
        _refused(settings, "captures", command, "betfair-1", *more, code=1, said=said)

    # A broker that doesn't answer: nothing is begun.
    offline = settings.model_copy(update={"kafka_bootstrap": nowhere.kafka_bootstrap})
    away = ("Kafka at 127.0.0.1:1 does not answer", "do:")
    _refused(offline, "replay", "betfair", "--columns", "l1", code=1, said=away)
    assert rows(connection) == before
    assert scalar(connection, "SELECT max(number) FROM rederive.captures") == int(outside["capture_id"].split("-")[-1])
