"""`rederive wait`: what is visible ends it with 0, what is not says where it hangs."""

import time
from typing import Any

import orjson
import psycopg
import pytest
from confluent_kafka import Producer

from rederive.settings import Settings
from schemas.lane import Lane, LaneName
from tests.live.work import Ingester, begin, is_derived, live
from tests.program import last_object, rederive, start
from tests.wait import until

pytestmark = pytest.mark.services


def waited(settings: Settings, *words: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(rederive(settings, "wait", "betfair", *words, "--json", code=code).stdout)
    return found


def _waits(connection: psycopg.Connection) -> bool:
    query = """SELECT 1 FROM pg_stat_activity
               WHERE application_name = 'rederive wait' AND datname = current_database()"""
    return connection.execute(query).fetchone() is not None


def test_waiting_while_live_is_at_work(settings: Settings, connection: psycopg.Connection) -> None:
    ingester = Ingester(connection)
    with live(settings) as process:
        last = begin(connection, ingester, process)
        # One that isn't there yet is waited for.
        with start(settings, "wait", "betfair", "--snapshot", str(last + 1), "--json") as wait:
            until(lambda: _waits(connection), 60, "nobody waits")
            key = ingester.commit()
            out, said = wait.communicate(timeout=60)
        assert (key, wait.returncode) == (last + 1, 0), said
        assert orjson.loads(out)["visible"]
        assert is_derived(connection, key)
        assert f"{key} is in market_derived_metrics" in rederive(settings, "wait", "betfair", "--key", f"0{key}").stdout

        # Everything that was committed before it began.
        keys = [ingester.commit() for _ in range(200)]
        assert waited(settings, "--until", "now")["stage"] == "merged"
        assert all(is_derived(connection, key) for key in keys)

        # A row that gives nothing says why at once.
        empty = ingester.commit(raw_payload={})
        refused = waited(settings, "--key", str(empty), "--timeout", "30", code=1)
        assert f"{empty} was skipped in betfair-live-" in refused["what"] or "is an error in" in refused["what"]
        assert refused["why"]
        assert refused["mend"].startswith("`rederive captures show betfair-live-")

        late = rederive(settings, "wait", "betfair", "--key", "999999", "--timeout", "8", code=1).stderr
        assert "999999 is not in market_derived_metrics after 8 s" in late
        assert "all that had arrived" in late or "what had arrived when the wait began is merged" in late

    # With live gone the cursor stands.
    lost = ingester.commit()
    hangs = waited(settings, "--key", str(lost), "--timeout", "2", code=1)
    assert hangs["stage"] == "not found"
    assert "nobody has found what arrives of betfair since" in hangs["why"]
    assert hangs["mend"] == "`rederive live betfair`"
    hangs = waited(settings, "--until", "now", "--timeout", "1", code=1)
    assert hangs["stage"] == "not found"

    # What stands on the log hangs there.
    lane = Lane("betfair", LaneName.LOG, settings.topic_prefix)
    producer = Producer({**settings.kafka_config()})
    producer.produce(lane.raw, b"{}", partition=1)
    assert producer.flush(10) == 0
    connection.execute("UPDATE rederive.cursors SET reached = now() + interval '1 hour'")
    hangs = waited(settings, "--until", "now", "--timeout", "5", code=1)
    assert (hangs["stage"], hangs["missing"]) == ("on the log", {"records": 1})
    assert "nobody holds partition 1" in hangs["why"] or "nobody has found" in hangs["why"]


def test_waiting_for_a_capture(settings: Settings, connection: psycopg.Connection) -> None:
    ingester = Ingester(connection)
    for _ in range(3):
        ingester.commit()
    done = last_object(rederive(settings, "replay", "betfair", "--json").stdout)
    capture = str(done["capture_id"])
    assert waited(settings, "--capture", capture)["what"] == f"{capture} is complete"
    assert waited(settings, "--capture", "latest:betfair")["visible"]
    rederive(settings, "wait", "racing", "--capture", capture, code=2)

    connection.execute("UPDATE rederive.captures SET state = 'running', finished_at = NULL")
    connection.execute("UPDATE rederive.units SET state = 'planned'")
    late = rederive(settings, "wait", "betfair", "--capture", capture, "--timeout", "0.5", code=1).stderr
    assert f"{capture} is not complete after 0.5 s\n  why: 0 of 1 unit are done; the others: not all is sent" in late
    assert f"`rederive captures resume {capture}`" in late

    rederive(settings, "captures", "cancel", capture)
    ended = waited(settings, "--capture", capture, code=1)
    assert (ended["what"], ended["missing"]) == (f"{capture} is cancelled", {"units": 1})

    connection.execute("UPDATE rederive.captures SET state = 'complete'")
    connection.execute("UPDATE rederive.units SET state = 'dead', errors = 3, failure = 'x'")
    assert waited(settings, "--capture", capture, code=1)["why"] == "3 errors, 1 dead units"
    assert (
        "there is no capture nonsense" in rederive(settings, "wait", "betfair", "--capture", "nonsense", code=1).stderr
    )


def test_a_skip_of_any_capture_ends_the_wait(settings: Settings, connection: psycopg.Connection) -> None:
    ingester = Ingester(connection)
    connection.execute("UPDATE market_event_metadata SET home_selection_id = NULL")
    key = ingester.commit()
    rederive(settings, "replay", "betfair")
    skipped = waited(settings, "--key", str(key), code=1)
    assert skipped["what"].startswith(f"{key} was skipped in betfair-")
    assert skipped["why"].startswith("no_metadata: ")
    assert skipped["seconds"] < 5


def test_words_that_mean_nothing(settings: Settings, migrated: str) -> None:
    assert migrated
    for words in (
        [],
        ["--key", "1", "--until", "now"],
        ["--key", "one"],
        ["--until", "soon"],
        ["--key", "1", "--timeout", "-1"],
    ):
        rederive(settings, "wait", "betfair", *words, code=2)
    said = rederive(settings, "wait", "racing", "--key", "a/b/c/d/e", "--timeout", "0", code=1).stderr
    assert "a/b/c/d/e is not in " in said


def test_a_database_that_is_away_is_waited_for(settings: Settings, connection: psycopg.Connection) -> None:
    away = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    assert waited(away, "--until", "now", "--timeout", "1", code=1)["why"].count("does not answer") == 1
    key = str(Ingester(connection).commit())
    connection.execute(
        """INSERT INTO market_derived_metrics (snapshot_id, snapshot_at, market_id)
           SELECT snapshot_id, snapshot_at, market_id FROM market_book_snapshots"""
    )
    assert waited(away, "--key", key)["visible"]
    gone = Settings(
        home=settings.home,
        kafka_bootstrap=settings.kafka_bootstrap,
        database_url="postgresql://nobody@127.0.0.1:1/nowhere",
        topic_prefix=settings.topic_prefix,
    )
    began = time.monotonic()
    found = waited(gone, "--key", "7", "--timeout", "1.5", code=1)
    assert time.monotonic() - began > 1.5
    assert "no connection to the database nobody@127.0.0.1:1/nowhere" in found["why"]
