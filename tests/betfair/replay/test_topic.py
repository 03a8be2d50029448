"""`replay-topic`: what of a topic is planned, how it is packed, and which plans a topic no longer fits."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from producers.topics import topic_id, watermarks
from rederive.pace import Pace
from rederive.settings import Settings
from schemas.lane import LaneName
from schemas.wire import RawHeaders, encode_raw
from tests.betfair.replay.log import fill, lane, line
from tests.betfair.replay.stored import counts, replay, rows
from tests.betfair.reports.made import START, derived, market, snapshot
from tests.program import rederive
from tests.wait import until

pytestmark = pytest.mark.services

_TOPIC = ("replay-topic", "betfair")
_RIGHT, _WRONG = 1.91333333, 9.9


def stored(connection: psycopg.Connection, count: int) -> None:
    """Snapshots of a minute each, with derived rows that a bug has left."""
    market(connection, "1.1")
    for number in range(count):
        snapshot(connection, number, "1.1", START + timedelta(minutes=number))
        derived(connection, number, {"home_lay_odds": _WRONG})


def snapshot_line(number: int) -> bytes:
    return line(number, snapshot_at=(START + timedelta(minutes=number)).isoformat())


def mended(connection: psycopg.Connection) -> list[int]:
    """The snapshots whose value is right, which start anew."""
    found = [number for number, row in sorted(rows(connection).items()) if row["home_lay_odds"] == _RIGHT]
    connection.execute("UPDATE market_derived_metrics SET home_lay_odds = %s", [_WRONG])
    return found


def planned(settings: Settings, *words: str) -> dict[str, Any]:
    made: dict[str, Any] = orjson.loads(rederive(settings, *_TOPIC, *words, "--plan").stdout)
    return made


def in_transactions(settings: Settings, sent: Mapping[str, bytes], partition: int) -> Producer:
    """Send a committed record and an aborted one to the log; the third's transaction stays open until it is ended."""
    raw = lane(settings).raw
    producer = Producer({**settings.kafka_config(), "transactional.id": raw})
    producer.init_transactions()
    for end, value in sent.items():
        producer.begin_transaction()
        producer.produce(raw, value, partition=partition)
        producer.flush(10)
        if end == "committed":
            producer.commit_transaction()
        elif end == "aborted":
            producer.abort_transaction()
    return producer


def test_a_plan_holds_just_the_records_there_are_small_ones_packed(
    settings: Settings, connection: psycopg.Connection, tmp_path: Path
) -> None:
    stored(connection, 12)
    fill(settings, [(snapshot_line(number), (), None) for number in range(6)])
    fill(
        settings,
        [
            (snapshot_line(6) + b"\n" + snapshot_line(7), encode_raw(RawHeaders("betfair.snapshots", rows=2)), None),
            (b"\xff\xfe", (), None),
            (b"", (), None),
        ],
    )
    open_one = in_transactions(
        settings, {"committed": snapshot_line(8), "aborted": snapshot_line(9), "open": snapshot_line(10)}, 0
    )
    made = planned(settings)
    # Of another kind, and what only makes its own unit dead, are units of their own; nothing stands at markers.
    at = [(unit["locator"]["partition"], unit["locator"].get("records", 1)) for unit in made["units"]]
    assert (made["found"], sorted(at)) == (10, [(0, 1), (0, 2), (0, 3), (1, 1), (1, 3)])
    open_one.commit_transaction()
    fill(settings, [(snapshot_line(11), (), None)])

    (tmp_path / "plan.json").write_text(orjson.dumps(made).decode())
    done = replay(settings, "apply", str(tmp_path / "plan.json"), code=1)
    assert (done["units"], done["dead_units"], counts(done)) == (5, 1, (9, 0, 1))
    assert mended(connection) == list(range(9)), "the end is the one that was planned"
    # Where each record has been read again there is no hole, packed or not.
    raw = lane(settings).raw
    connection.execute(
        "INSERT INTO rederive.origins (capture_id, topic, partition, applied) VALUES (%s, %s, 0, '{[0,1)}')",
        [done["capture_id"], raw],
    )
    holes = orjson.loads(rederive(settings, "gaps", "betfair", "--only", "hole", "--json", code=1).stdout)
    assert sum(gap["count"] for gap in holes if f"{raw}[0]" in gap["part"]) <= 5
    again = replay(settings, *_TOPIC, code=1)
    assert mended(connection) == [*range(9), 10, 11]
    assert again["dead_units"] == 1


def test_a_topic_is_replayed_by_payload_dates_partitions_and_offsets(
    settings: Settings, connection: psycopg.Connection, tmp_path: Path
) -> None:
    stored(connection, 12)
    headers = encode_raw(RawHeaders("betfair.snapshots", rows=3))
    records = [b"\n".join(map(snapshot_line, range(at, at + 3))) for at in (0, 3, 6)]
    fill(settings, [*((value, headers, None) for value in records), (b"junk", (), None)])

    first, end = ((START + timedelta(minutes=number)).isoformat() for number in (2, 5))
    made = replay(settings, *_TOPIC, "--from", first, "--to", end, "--rate", "1000")
    assert (made["processed"], counts(made)) == (3, (3, 0, 0)), "what is cut off isn't gone"
    assert mended(connection) == [2, 3, 4]
    assert "1 record says no time of a payload, and is left out" in made["log"]

    replay(settings, *_TOPIC, "--partitions", "1", "--limit", "1")
    assert mended(connection) == [3, 4, 5]
    offsets = {"group": "g", "topic": lane(settings).raw, "offsets": {"0": 1, "1": None}}
    file = tmp_path / "offsets.json"
    file.write_text(orjson.dumps({"at": datetime.now(UTC), "groups": [offsets]}).decode())
    words = ("--from-offsets", str(file), "--partitions", "0")
    assert replay(settings, *_TOPIC, *words)["processed"] == 3
    assert mended(connection) == [6, 7, 8]

    # The queue keeps for a while what has passed it: runs that read the log, and that one itself.
    queue = planned(settings, "--topic", "replay")
    assert (queue["found"], queue["request"]["topic"]) == (4, lane(settings, LaneName.REPLAY).raw)
    assert replay(settings, *_TOPIC, "--topic", "replay")["processed"] == 9
    assert mended(connection) == list(range(2, 9))

    file.write_text(orjson.dumps({"at": datetime.now(UTC), "groups": [{**offsets, "offsets": {"0": 99}}]}).decode())
    for wrong, said in (
        (("--partitions", "0,7"), "has no partition 7\n  why: it has 2 partitions, 0 to 1"),
        (("--partitions", "5-2"), "--partitions '5-2' is no partition"),
        (("--topic", "betfair.dlq"), "betfair has no topic betfair.dlq of raw records"),
        (("--from-offsets", str(file)), "offset 99 is none of"),
        (("--from", "2026-02-09", "--to", "2026-02-08"), "--from 2026-02-09 is after the end"),
    ):
        assert said in rederive(settings, *_TOPIC, *wrong, code=2).stderr


def test_a_plan_whose_topic_was_trimmed_or_grown_or_made_anew_is_refused(
    settings: Settings, connection: psycopg.Connection, tmp_path: Path
) -> None:
    stored(connection, 4)
    sent = [datetime.now(UTC) - timedelta(days=3), datetime.now(UTC) - timedelta(days=2)]
    fill(settings, [(snapshot_line(number), (), sent[number // 2]) for number in range(4)])
    raw, kafka = lane(settings).raw, settings.kafka_config()
    admin = AdminClient(dict(kafka))

    def refused(words: Sequence[str]) -> str:
        return rederive(settings, "apply", *words, code=1).stderr

    def kept(*words: str) -> str:
        file = tmp_path / f"{len(list(tmp_path.glob('*.json')))}.json"
        file.write_text(orjson.dumps(planned(settings, *words)).decode())
        return str(file)

    whole, one = kept(), kept("--partitions", "0", "--mode", "fill")
    for future in admin.delete_records([TopicPartition(raw, 1, 1)]).values():
        future.result()
    assert "the plan is stale, nothing was sent\n  why: 1 of its 4 records is no longer in the log" in refused([whole])
    again = rederive(settings, *_TOPIC, "--plan").stderr
    assert f"{raw}[1]: retention has dropped what stood before offset 1, sent before {sent[1]:%Y-%m-%d}" in again
    command = f"rederive replay betfair --all-rows --mode supersede --to {sent[1]:%Y-%m-%d}"
    assert f"what was dropped is read from its source by: {command}" in again

    left = kept()
    for future in admin.create_partitions([NewPartitions(raw, 3)]).values():
        future.result()
    until(lambda: len(watermarks(kafka, raw)) == 3, 30, "the topic doesn't grow")
    assert f"why: {raw} has 1 partition more than it had" in refused([left])
    done = replay(settings, "apply", one)
    assert (done["mode"], done["processed"]) == ("fill", 2), "the partition that it names is as it was"

    # What retention drops behind a plan is dead by itself: the records that it was packed with are derived.
    for future in admin.delete_records([TopicPartition(raw, 0, 1)]).values():
        future.result()
    assert went_on(connection, settings, str(done["capture_id"])) == ["dead", "applied"]

    grown = kept()
    before = topic_id(kafka, raw)
    for future in admin.delete_topics([raw]).values():
        future.result()
    until(lambda: topic_id(kafka, raw) is None, 30, "the topic isn't deleted")
    assert f"why: there is no topic {raw} any more" in refused([grown])
    fill(settings, [(snapshot_line(number), (), None) for number in range(4)])
    until(lambda: topic_id(kafka, raw) not in (None, before), 30, "the topic isn't made")
    assert f"why: {raw} was deleted and made anew since: other records stand at these offsets" in refused([grown])
    # A capture that was made before says so, too, when it is gone on with.
    assert went_on(connection, settings, str(done["capture_id"])) == ["dead", "dead"]
    dead = connection.execute("SELECT failure FROM rederive.units WHERE capture_id = %s", [done["capture_id"]])
    assert all("was deleted and made anew since" in why for (why,) in dead)


def went_on(connection: psycopg.Connection, settings: Settings, capture_id: str) -> list[str]:
    """What becomes of a capture's units that are all gone on with."""
    connection.execute("UPDATE rederive.captures SET state = 'cancelled'")
    connection.execute("UPDATE rederive.units SET state = 'cancelled', failure = NULL")
    rederive(settings, "captures", "resume", capture_id, code=1)
    states = connection.execute("SELECT state FROM rederive.units WHERE capture_id = %s ORDER BY unit", [capture_id])
    return [state for (state,) in states]


def test_a_pace_waits_for_what_was_sent() -> None:
    assert not Pace(None).waits()
    pace = Pace(1000)
    began = time.monotonic()
    assert not pace.waits(), "the first goes at once"
    pace.take(100)
    assert pace.waits()
    until(lambda: not pace.waits(), 5, "it waits for ever")
    assert time.monotonic() - began >= 0.1
