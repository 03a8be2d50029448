"""Dead letters: what died is kept with all that is needed, the rest goes on, and after the fix it is sent again."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from producers.topics import watermarks
from rederive import domains
from rederive.dlq import OPEN, Asked, Dlq, origin_of
from rederive.settings import Settings
from schemas.errors import UsageError
from schemas.lane import LaneName
from schemas.unit import Origin
from schemas.wire import RawHeaders, decode_raw, encode_raw
from store import dead_letters as stored
from store.origins import holes
from tests.another import Version
from tests.betfair.replay.log import fill, lane, line, read
from tests.betfair.replay.stored import counts, replay, rows, scalar
from tests.betfair.reports.made import START, derived, market, snapshot
from tests.program import last_object, rederive, start
from tests.wait import until

KILLED = """
import os, signal
import producers.dead_letters as letters
right = letters.send_again
def send_again(kafka, records):
    right(kafka, records[:{number}])
    os.kill(os.getpid(), signal.SIGKILL)
letters.send_again = send_again
"""


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Version:
    return Version(monkeypatch, tmp_path / "other")


def snapshots(connection: psycopg.Connection, number: int) -> None:
    market(connection, "1.1")
    for key in range(1, number + 1):
        snapshot(connection, key, "1.1", START + timedelta(minutes=key))


def dlq(settings: Settings, *words: str, code: int = 0) -> dict[str, Any]:
    return last_object(rederive(settings, "dlq", *words, "--json", code=code).stdout)


def letters(settings: Settings, *words: str) -> list[dict[str, Any]]:
    found = dlq(settings, "list", "betfair", *words)["letters"]
    assert isinstance(found, list)
    return found


def sent_again(settings: Settings, name: LaneName = LaneName.REPLAY) -> list[RawHeaders]:
    """What the records of a lane that were sent again say."""
    said = [decode_raw(one.headers(), "") for one in read(settings, lane(settings, name).raw)]  # type: ignore[arg-type]
    return [one for one in said if one.attempt > 1]


def test_a_place_is_read() -> None:
    assert origin_of("p.betfair.log[1]@17") == Origin("p.betfair.log", 1, 17)
    with pytest.raises(UsageError, match="is no place"):
        origin_of("betfair.log@17")


@pytest.mark.services
def test_a_pack_that_formulas_die_of_is_dead_as_a_whole_and_done_again_after_the_fix(
    settings: Settings, connection: psycopg.Connection, version: Version
) -> None:
    snapshots(connection, 6)
    fill(settings, [(line(key), [], None) for key in range(1, 7)])
    version.poisoned("betfair", b'"snapshot_id":2,')
    found = replay(settings, "replay-topic", "betfair", code=1)
    assert (found["units"], found["dead_units"], *counts(found)) == (2, 1, 3, 0, 1)
    assert len(rows(connection)) == 3, "the other partition's pack goes on"
    (letter,) = letters(settings)
    assert (letter["state"], letter["error"]) == ("dead", "ArithmeticError")

    version()
    done = last_object(rederive(settings, "captures", "retry", str(found["capture_id"]), "--json").stdout)
    assert (done["dead_units"], *counts(done)) == (0, 6, 0, 0)
    assert sorted(rows(connection)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.services
def test_a_poison_record_is_kept_whole_quarantined_and_applied_after_the_fix(
    settings: Settings, connection: psycopg.Connection, version: Version
) -> None:
    settings = settings.model_copy(update={"dlq_attempts": 2})
    snapshots(connection, 4)
    theirs = [*encode_raw(RawHeaders("betfair.snapshots")), ("trace", b"\xfe")]
    fill(settings, [(line(key), theirs, None) for key in (1, 2, 3, 4)])

    version.poisoned("betfair", b'"snapshot_id":2,')
    found = replay(settings, "replay-topic", "betfair", "--apart", code=1)
    assert (found["dead_units"], *counts(found)) == (1, 3, 0, 1)
    assert sorted(rows(connection)) == [1, 3, 4], "the rest goes on"
    capture = str(found["capture_id"])

    (letter,) = letters(settings)
    expected = {
        "state": "dead", "stage": "agent", "attempt": 1, "capture": capture, "unit": letter["unit"],
        "error": "ArithmeticError", "reason": "ArithmeticError: a poison \x1b[31m", "version": 1, "sha256": None,
        "bytes": len(line(2)), "first": letter["origin"],
    }  # fmt: skip
    assert expected.items() <= letter.items()
    assert letters(settings, "--reason", "POISON", "--stage", "agent", "--capture", capture, "--since", "2020-01-01")
    assert not letters(settings, "--reason", "another")
    assert not letters(settings, "--until", "2020-01-01")
    shown = rederive(settings, "dlq", "show", "betfair", "--origin", letter["origin"]).stdout
    assert line(2).decode() in shown
    assert r"\x1b[31m" in shown
    assert "\x1b" not in shown
    assert rederive(settings, "dlq", "show", "betfair", "--raw").stdout == line(2).decode()

    tried = dlq(settings, "requeue", "betfair", "--dry-run")
    assert [one["origin"] for one in tried["sent"]] == [letter["origin"]]
    assert not sent_again(settings)

    again = dlq(settings, "requeue", "betfair", code=1)
    assert [(one["attempt"], one["to"] is not None) for one in again["sent"]] == [(2, True)]
    (second,) = letters(settings)
    assert (second["state"], second["attempt"], second["first"]) == ("quarantined", 2, letter["origin"])
    assert second["origin"] == again["sent"][0]["to"] != letter["origin"]

    version()
    refused = dlq(settings, "requeue", "betfair", code=1)
    assert "quarantined after 2 attempts" in refused["refused"][0]["why"]
    mended = rederive(settings, "dlq", "requeue", "betfair", "--force").stdout
    assert "1 record is sent again, 0 refused" in mended

    assert rows(connection).keys() == {1, 2, 3, 4}
    state, updated, errors, dead = (
        connection.execute(
            """SELECT c.state, sum(updated), sum(errors), count(*) FILTER (WHERE u.state <> 'applied')
           FROM rederive.captures c JOIN rederive.units u USING (capture_id) WHERE capture_id = %s GROUP BY 1""",
            [capture],
        ).fetchone()
        or ()
    )
    assert (state, updated, errors, dead) == ("complete", 4, 0, 0)
    assert scalar(connection, "SELECT count(*) FROM rederive.origins WHERE NOT isempty(dead)") == 0
    assert [(one.capture, one.unit, one.attempt) for one in sent_again(settings)] == [
        (capture, letter["unit"], attempt) for attempt in (2, 3)
    ]
    assert {str(one.first) for one in sent_again(settings)} == {letter["origin"]}
    assert letters(settings) == []
    assert [one["state"] for one in letters(settings, "--state", "applied")] == ["applied", "applied"]
    assert dlq(settings, "requeue", "betfair")["sent"] == []


@pytest.mark.services
def test_a_killed_requeue_goes_on_and_sends_nothing_twice(
    settings: Settings, connection: psycopg.Connection, version: Version
) -> None:
    snapshots(connection, 4)
    fill(settings, [(line(key), [], None) for key in (1, 2, 3, 4)])
    version.poisoned("betfair", b'"snapshot_id":1,', b'"snapshot_id":2,', b'"snapshot_id":3,')
    found = replay(settings, "replay-topic", "betfair", "--apart", code=1)
    capture = str(found["capture_id"])

    for number in (0, 2, 1):
        version(KILLED.format(number=number))
        with _ended(settings, "dlq", "requeue", "betfair") as ended:
            assert ended == -signal.SIGKILL
        assert len(sent_again(settings)) == (number if number != 1 else 3)
        assert {one["state"] for one in letters(settings)} == {"sending"}
    version()
    done = dlq(settings, "requeue", "betfair")

    assert len(done["sent"]) == len(sent_again(settings)) == 3
    assert {one["to"] for one in done["sent"]} == {
        f"{lane(settings, LaneName.REPLAY).raw}[{place.partition()}]@{place.offset()}"
        for place in read(settings, lane(settings, LaneName.REPLAY).raw)
        if decode_raw(place.headers(), "").attempt > 1  # type: ignore[arg-type]
    }
    (report,) = done["captures"]
    assert (report["capture_id"], report["updated"], report["errors"]) == (capture, 4, 0)
    assert sorted(rows(connection)) == [1, 2, 3, 4]
    assert letters(settings) == []


@contextmanager
def _ended(settings: Settings, *words: str) -> Iterator[int]:
    process = start(settings, *words)
    process.communicate(timeout=60)
    yield process.returncode


@pytest.mark.services
def test_two_at_once_send_nothing_twice(
    settings: Settings, connection: psycopg.Connection, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots(connection, 2)
    fill(settings, [(line(key), [], None) for key in (1, 2)])
    version.poisoned("betfair", b'"snapshot_id":1,', b'"snapshot_id":2,')
    replay(settings, "replay-topic", "betfair", "--apart", code=1)
    version()

    right = stored.lock
    assert right(connection, "betfair")
    for words in (("requeue",), ("drop", "--why", "tests", "--stage", "agent")):
        said = rederive(settings, "dlq", words[0], "betfair", *words[1:], code=1).stderr
        assert "by another process" in said
    assert len(letters(settings)) == 2
    connection.execute("SELECT pg_advisory_unlock_all()")

    def faster(ours: psycopg.Connection, domain: str) -> bool:
        """The lock, which another process has had just before: it has sent one letter and dropped the other."""
        monkeypatch.setattr(stored, "lock", right)
        origin = letters(settings)[0]["origin"]
        assert len(dlq(settings, "requeue", "betfair", "--send-only", "--origin", origin)["sent"]) == 1
        assert len(dlq(settings, "drop", "betfair", "--stage", "agent", "--why", "tests")["dropped"]) == 1
        return right(ours, domain)

    with Dlq.opened(settings, domains.find("betfair"), connection) as ours:
        monkeypatch.setattr(stored, "lock", faster)
        assert ours.requeue(Asked(states=OPEN)).sent == []
        assert ours.drop(Asked(states=OPEN), "tests") == []
    assert len(sent_again(settings)) == 1


@pytest.mark.services
def test_what_postgres_refused_comes_again_by_its_raw_record(
    settings: Settings, connection: psycopg.Connection
) -> None:
    snapshots(connection, 2)
    for key in (1, 2):
        derived(connection, key)
    fill(settings, [(line(key), [], None) for key in (1, 2)])
    connection.execute("ALTER TABLE market_derived_metrics ADD CONSTRAINT odd CHECK (home_risk IS NULL)")
    capture = str(replay(settings, "replay-topic", "betfair", "--apart", code=1)["capture_id"])

    first, second = letters(settings)
    assert (first["stage"], first["error"], first["version"]) == ("sink", "CheckViolation", 1)
    assert "and " in rederive(settings, "dlq", "show", "betfair", "--origin", first["origin"]).stdout
    connection.execute("ALTER TABLE market_derived_metrics DROP CONSTRAINT odd")
    report = dlq(settings, "requeue", "betfair", "--origin", first["origin"], code=1)["captures"]
    assert (report[0]["updated"], report[0]["dead_units"]) == (1, 1)

    # Retention has dropped the other one.
    raw = lane(settings, LaneName.REPLAY).raw
    cut = [TopicPartition(raw, at, high) for at, (_, high) in watermarks(settings.kafka_config(), raw).items()]
    admin = AdminClient({**settings.kafka_config()})
    for done in admin.delete_records(cut).values():
        done.result()
    (refused,) = dlq(settings, "requeue", "betfair", code=1)["refused"]
    assert refused["origin"] == second["origin"]
    assert f"`rederive captures retry {capture}`" in refused["why"]
    assert counts(replay(settings, "captures", "retry", capture)) == (2, 0, 0)
    assert letters(settings) == []


@pytest.mark.services
def test_what_is_dropped_is_no_longer_open(
    settings: Settings, connection: psycopg.Connection, version: Version
) -> None:
    snapshots(connection, 2)
    fill(settings, [(line(key), [], None) for key in (1, 2)])
    version.poisoned("betfair", b'"snapshot_id":1,', b'"snapshot_id":2,')
    replay(settings, "replay-topic", "betfair", "--apart", code=1)
    version()
    first, second = letters(settings)
    rederive(settings, "dlq", "drop", "betfair", "--why", "tests", code=2)
    assert (
        "--why is empty"
        in rederive(settings, "dlq", "drop", "betfair", "--stage", "agent", "--why", " ", code=2).stderr
    )
    for word in ("list", "requeue"):
        said = rederive(settings, "dlq", word, "betfair", "--capture", "betfair-20260206-9", code=1).stderr
        assert "there is no capture betfair-20260206-9" in said
    origin = ("--origin", first["origin"])
    assert dlq(settings, "drop", "betfair", *origin, "--why", "a test", "--dry-run")["dropped"] == [first["origin"]]
    assert len(letters(settings)) == 2
    dlq(settings, "drop", "betfair", *origin, "--why", "a test")
    assert [one["origin"] for one in letters(settings)] == [second["origin"]]
    (dropped,) = letters(settings, "--state", "dropped")
    assert (dropped["origin"], dropped["why"]) == (first["origin"], "a test")
    assert [one["origin"] for one in dlq(settings, "requeue", "betfair", code=1)["sent"]] == [second["origin"]]
    assert len(read(settings, lane(settings).dlq)) == 2


@pytest.mark.services
def test_what_came_live_is_counted_by_its_day(
    settings: Settings, connection: psycopg.Connection, version: Version
) -> None:
    snapshots(connection, 3)
    fill(settings, [(line(key), [], None) for key in (1, 2, 3)])
    version.poisoned("betfair", b'"snapshot_id":2,')

    @contextmanager
    def working(role: str) -> Iterator[None]:
        process = start(settings, "worker", role, "--domain", "betfair", "--lane", "log", "--member", role)
        try:
            yield
        finally:
            process.terminate()
            process.communicate(timeout=60)

    def counted() -> Any:
        query = """SELECT c.capture_id, sum(rows)::int, sum(updated)::int, sum(errors)::int
                   FROM rederive.captures c LEFT JOIN rederive.units USING (capture_id) GROUP BY 1 ORDER BY 1"""
        return connection.execute(query).fetchall()

    with working("sink"):
        with working("agent"):
            until(lambda: counted() and counted()[0][1:] == (3, 2, 1), 60, "the day doesn't count them")
        day = counted()[0][0]
        (letter,) = letters(settings)
        assert (letter["capture"], letter["unit"]) == (day, None)
        # The day is over, and more has come late.
        connection.execute("UPDATE rederive.captures SET state = 'complete'")
        with working("agent"):
            dlq(settings, "requeue", "betfair")
            until(lambda: len(letters(settings)) == 1 and letters(settings)[0]["attempt"] == 2, 60, "it doesn't die")
        assert counted() == [(day, 3, 2, 1)], "it is dead once"
        version()
        with working("agent"):
            done = dlq(settings, "requeue", "betfair")
            until(lambda: counted() == [(day, 3, 3, 0)], 60, "it isn't applied")
        assert done["live"] is True
        assert done["captures"] == []
    assert sorted(rows(connection)) == [1, 2, 3]
    assert scalar(connection, "SELECT count(*) FROM rederive.problems") == 0
    assert scalar(connection, "SELECT count(*) FROM rederive.origins WHERE NOT isempty(dead)") == 0
    log = lane(settings).raw
    for partition, (low, high) in watermarks(settings.kafka_config(), log).items():
        assert holes(connection, log, partition, low, high) == []
    assert letters(settings) == []
    assert [orjson.loads(one.value() or b"")["snapshot_id"] for one in read(settings, log)].count(2) == 3
