"""The doctor looks at everything and waits for nothing; settings are shown with where they come from."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import psycopg
import pytest
from confluent_kafka import Producer

from rederive.doctor.findings import Check, Finding, Verdict, looked
from rederive.settings import Settings
from schemas.errors import Failed
from tests.program import rederive


def test_a_check_that_hangs_or_fails_holds_no_other_back() -> None:
    hangs = threading.Event()

    def hanging() -> Iterator[Finding]:
        hangs.wait()
        yield Finding("hanging", "never")

    def failing() -> Iterator[Finding]:
        yield Finding("failing", "half")
        raise Failed("it is away", why="nobody is there", mend="start it")

    def odd() -> Iterator[Finding]:
        yield Finding("odd", str(1 // 0))

    checks = [Check("hanging", hanging), Check("failing", failing), Check("odd", odd)]
    never = Check("never", hanging, unless="it isn't reached")
    began = time.monotonic()
    found = list(looked([*checks, never, Check("well", lambda: [Finding("well", "17")])], 0.5))
    assert time.monotonic() - began < 5
    hangs.set()
    assert [(one.check, one.verdict) for one in found] == [
        ("hanging", Verdict.UNKNOWN),
        ("failing", Verdict.OK),
        ("failing", Verdict.WRONG),
        ("odd", Verdict.WRONG),
        ("never", Verdict.UNKNOWN),
        ("well", Verdict.OK),
    ]
    assert (found[2].why, found[2].mend) == ("nobody is there", "start it")
    assert found[4].why == "it isn't reached"


def _found(settings: Settings, *words: str, code: int) -> dict[str, list[dict[str, str]]]:
    document = orjson.loads(rederive(settings, "doctor", *words, "--json", code=code).stdout)
    assert document["well"] == (code == 0)
    found: dict[str, list[dict[str, str]]] = {}
    for one in document["checks"]:
        found.setdefault(one["check"], []).append(one)
    return found


@pytest.mark.services
def test_what_is_wrong_is_named_with_what_mends_it(settings: Settings, connection: psycopg.Connection) -> None:
    well = _found(settings, code=0)
    assert "features of 4." in well["kafka"][0]["value"]
    assert "Postgres 1" in well["postgres"][0]["value"]
    assert well["topics betfair"][0]["verdict"] == "note"
    looked_at = {"migrations", "tables", "columns", "indexes", "permissions", "clock", "disk", "libraries", "domains"}
    assert {well[name][0]["verdict"] for name in looked_at} == {"ok"}

    rederive(settings, "topics", "make", "betfair", "--partitions", "1")
    log = f"{settings.topic_prefix}betfair.log"
    producer = Producer(settings.kafka_config())
    producer.produce(log, b"{}", timestamp=int((datetime.now(UTC) - timedelta(days=2)).timestamp() * 1000))
    assert producer.flush(30) == 0
    connection.execute("ALTER TABLE market_derived_metrics DROP CONSTRAINT market_derived_metrics_pkey CASCADE")
    connection.execute("ALTER TABLE market_derived_metrics DROP COLUMN home_risk")
    connection.execute("UPDATE rederive.migrations SET version_num = '0013'")
    ill = _found(settings, "betfair", "--from", "2026-01-01", code=1)
    assert f"{log} × 1" in ill["topics betfair"][0]["value"]
    assert "nothing has been dropped" in ill[f"range {log}"][0]["value"]
    assert ill["migrations"][0]["mend"] == "`rederive migrate`"
    assert "market_derived_metrics" in ill["indexes"][0]["why"]
    assert ill["columns"][0]["why"] == "market_derived_metrics.home_risk"
    assert "topics finra" not in ill

    away = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    half = _found(away, "betfair", code=1)
    assert "127.0.0.1:1 does not answer" in half["kafka"][0]["value"]
    assert half["topics betfair"][0]["why"] == "kafka isn't reached"
    assert half["clock"][0]["verdict"] == "ok"


def test_settings_are_shown_with_where_they_come_from_and_no_secret(tmp_path: Path) -> None:
    home = tmp_path / "home"
    secret = "h/u:sh"
    settings = Settings(
        home=home,
        kafka_bootstrap="127.0.0.1:1",
        database_url="postgresql://ann:hush%40%2F@db:5432/bets",
        maven_repository=f"https://ann:{secret.replace('/', '%2F')}@repository/maven",
    )
    (tmp_path / "rederive.toml").write_text('batch_rows = 17\nkafka_sasl_password = "hush"\n')
    shown = rederive(settings.model_copy(update={"batch_rows": None}), "config", "show", "--sources", "--json").stdout
    found = {one["setting"]: (one["value"], one["from"]) for one in orjson.loads(shown)["settings"]}
    assert found["REDERIVE_HOME"] == (str(home), "REDERIVE_HOME")
    assert found["REDERIVE_BATCH_ROWS"] == ("17", "rederive.toml")
    assert found["REDERIVE_DATABASE_URL"] == ("postgresql://ann:***@db:5432/bets", "REDERIVE_DATABASE_URL")
    assert found["REDERIVE_KAFKA_SASL_PASSWORD"] == ("***", "rederive.toml")
    assert found["REDERIVE_MAVEN_REPOSITORY"][0] == "https://***@repository/maven"
    assert found["RACING_API_USERNAME"] == ("", "not set")
    assert "hush" not in shown
    assert "h%2Fu" not in shown
    assert "from" not in rederive(settings, "config", "show").stdout.splitlines()[1]
