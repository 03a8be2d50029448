"""Payloads and records that can't be computed, sent or written: each is named, everything else is done."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from confluent_kafka import Message, Producer

from rederive.settings import Settings
from schemas.betfair.tables import SCOPES
from schemas.derived import decode_outcome
from schemas.lane import LaneName
from schemas.wire import MAX_RECORD_BYTES, decode_derived, decode_failure, decode_raw
from tests.betfair.replay.log import HEADERS, fill, lane, line, read
from tests.betfair.replay.stored import counts, nulls, replay, rows, scalar
from tests.betfair.reports.made import HOME, PAYLOAD, START, derived, many, market, payload, snapshot
from tests.program import rederive

pytestmark = pytest.mark.services

_RISK = -477.6000000000001


def _shown(settings: Settings, capture: object) -> dict[str, Any]:
    found = orjson.loads(rederive(settings, "captures", "show", str(capture), "--json").stdout)
    assert isinstance(found, dict)
    return found


def _reasons(found: dict[str, Any]) -> dict[str, list[Any]]:
    return {problem["reason"]: problem["keys"] for problem in found["problems"]}


def test_large_payloads(settings: Settings, connection: psycopg.Connection, tmp_path: Path) -> None:
    market(connection, "1.1")
    # They were planned as one unit and have grown since: the first 128 to 19 MB.
    pads = [150_000] * 128 + [5_000_000, 17_000_000, 10]
    for number, _ in enumerate(pads, start=1):
        snapshot(connection, number, "1.1", START + timedelta(minutes=number))
        derived(connection, number)
    plan = tmp_path / "plan.json"
    plan.write_text(rederive(settings, "plan", "betfair").stdout)
    for number, pad in enumerate(pads, start=1):
        connection.execute(
            """UPDATE market_book_snapshots SET raw_payload = raw_payload || jsonb_build_object('pad', repeat('x', %s))
               WHERE snapshot_id = %s""",
            [pad, number],
        )
    found = replay(settings, "apply", str(plan), code=1)
    assert (found["processed"], found["dead_units"], *counts(found)) == (131, 1, 130, 0, 1)
    shown = _shown(settings, found["capture_id"])
    (dead,) = shown["dead"]
    assert dead["failure"].startswith("snapshot 130: its 17,00")
    assert "over the limit of 16,760,832 bytes" in dead["failure"]
    assert dead["failure"] in found["log"]
    assert "too large for one record" in found["log"]
    values = rows(connection)
    assert [number for number, row in values.items() if row["home_risk"] is None] == [130]
    assert scalar(connection, "SELECT sum(rows) FROM rederive.units") == 131

    connection.execute("UPDATE market_book_snapshots SET raw_payload = raw_payload - 'pad' WHERE snapshot_id = 130")
    mended = replay(settings, "captures", "retry", found["capture_id"])
    assert (mended["processed"], *counts(mended)) == (131, 131, 0, 0)
    assert rows(connection)[130]["home_risk"] == _RISK


def test_a_unit_that_postgres_refuses(settings: Settings, connection: psycopg.Connection) -> None:
    many(connection, 1_200, 1_200, SCOPES["l1"])
    connection.execute(
        "ALTER TABLE market_derived_metrics ADD CONSTRAINT odd CHECK (snapshot_id <> 600 OR home_risk IS NULL)"
    )
    for number, raw in ((3, "selectionId as text"), (4, "sizes as text")):
        book = payload()
        for runner in book["runners"]:
            if number == 3:
                runner["selectionId"] = str(runner["selectionId"])
            else:
                runner["ex"] = {
                    side: [[str(price), f" {size} "] for price, size in ladder] for side, ladder in runner["ex"].items()
                }
        connection.execute(
            "UPDATE market_book_snapshots SET raw_payload = %s, source = %s WHERE snapshot_id = %s",
            [orjson.dumps(book).decode(), raw, number],
        )
    found = replay(settings, "replay", "betfair", "--columns", "l1,risk", code=1)
    assert (found["processed"], found["dead_units"], *counts(found)) == (1_200, 1, 687, 1, 512)
    assert _reasons(found) == {"missing_role": [[3]]}
    (dead,) = _shown(settings, found["capture_id"])["dead"]
    assert (dead["unit"], "odd" in dead["failure"]) == (1, True)
    assert nulls(connection, ["home_risk"]) == (513,)
    values = rows(connection)
    assert (values[4]["home_risk"], values[4]["draw_best_back_size_l1"]) == (_RISK, 60.0)
    (letter,) = read(settings, lane(settings, LaneName.REPLAY).dlq)
    said = decode_failure(letter.headers())  # type: ignore[arg-type]
    assert (said.stage, decode_derived(letter.headers()).unit) == ("sink", 1)  # type: ignore[arg-type]
    assert "odd" in said.reason
    assert len(decode_outcome(letter.value() or b"").tables[0]) == 512

    connection.execute("ALTER TABLE market_derived_metrics DROP CONSTRAINT odd")
    mended = replay(settings, "captures", "retry", found["capture_id"])
    assert counts(mended) == (1_199, 1, 0)


def _dead_letters(settings: Settings) -> dict[bytes, Message]:
    return {letter.value() or b"": letter for letter in read(settings, lane(settings).dlq)}


def _send_in_transactions(settings: Settings, values: Iterable[tuple[bytes, bool]]) -> None:
    producer = Producer({**settings.kafka_config(), "transactional.id": f"{settings.topic_prefix}outside"})
    producer.init_transactions(30)
    for value, kept in values:
        producer.begin_transaction()
        producer.produce(lane(settings).raw, value=value, partition=0)
        producer.commit_transaction(30) if kept else producer.abort_transaction(30)


def test_records_of_the_log_that_cannot_be_computed(settings: Settings, connection: psycopg.Connection) -> None:
    market(connection, "1.1")
    for number in range(1, 8):
        snapshot(connection, number, "1.1", START + timedelta(minutes=number))
    text = payload()
    text["totalMatched"] = "10432.7"
    text["runners"][0]["ex"]["availableToBack"][2] = ["NaN", "80"]
    named = payload()
    named["runners"][0]["selectionId"] = str(HOME)
    strange = line(5, raw="@").replace(b'"@"', orjson.dumps(PAYLOAD).replace(b"10432.7", b"NaN"))
    junk, wide, many_lines = b"\xff\xfe\x00junk", b"\xff" * (MAX_RECORD_BYTES - 40_000), b"x\n" * 2_000_000
    newer = line(6)
    records = [
        (b"\n".join([line(1), b'{"snapshot_id": 2, ', line(3)]), []),
        (junk, [("trace", b"\xfe")]),
        (b"\n".join([line(4, raw=text), strange, line(6, raw=named), line(6, raw=None)]), HEADERS),
        (newer, [("rederive-format", b"2")]),
        (line(6), [("rederive-rows", b"many")]),
        (wide, []),
        (many_lines, []),
        # More text than a record holds, once it is quoted.
        (orjson.dumps({"snapshot_id": "\x01" * 2_500_000}), []),
        (line(999), []),
        (b"", []),
        (line(7), []),
    ]
    fill(settings, [(value, headers, None) for value, headers in records])
    _send_in_transactions(settings, [(line(2), True), (line(6), False)])
    # An ingester whose own limit is higher may have sent what is too large for us.
    larger = {**settings.kafka_config(), "message.max.bytes": MAX_RECORD_BYTES + 512 * 1024}
    producer = Producer(larger)
    producer.produce(lane(settings).raw, value=b"y" * (MAX_RECORD_BYTES - 1_000), partition=1)
    assert producer.flush(30) == 0

    found = replay(settings, "replay-topic", "betfair", code=1, timeout=200)

    values = rows(connection)
    assert sorted(values) == [1, 2, 3, 4, 5, 7]
    assert all(values[number]["home_risk"] == _RISK for number in (1, 2, 3, 5, 7))
    assert (values[4]["total_volume"], values[5]["total_volume"]) == (10432.7, 0.0)
    # The level that isn't a number doesn't count: 80 at 1.88 is missing.
    assert values[4]["home_risk"] == pytest.approx(_RISK - 80 * 0.88)

    reasons = {problem["reason"]: problem for problem in found["problems"]}
    assert (reasons["missing_role"]["keys"], reasons["no_payload"]["keys"]) == ([[6]], [[6]])
    errors = [problem for problem in found["problems"] if problem["reason"] == "error"]
    assert [problem["count"] for problem in errors] == [1, 1], "two causes"
    assert all(str(problem["keys"][0][0]).startswith(lane(settings).raw) for problem in errors), errors
    # Of a snapshot that is no longer there.
    assert reasons["gone"]["keys"] == [[999]]
    messages = [
        row[0]
        for row in connection.execute("SELECT message FROM rederive.problems WHERE reason = 'error' ORDER BY unit")
    ]
    assert any(message.startswith("line 2: not JSON") for message in messages)
    assert any("snapshot_id" in message for message in messages)
    assert max(map(len, messages)) < 2_000

    shown = _shown(settings, found["capture_id"])
    assert shown["state"] == "complete"
    failures = sorted(one["failure"] for one in shown["dead"])
    assert found["dead_units"] == len(failures) == 6, failures
    for part in ("UTF-8", "format 2", "many", "2,000,000 lines", "over the limit"):
        assert any(part in failure for failure in failures), failures
    assert counts(found) == (6, 3, 8)

    letters = _dead_letters(settings)
    for original in (junk, wide, many_lines):
        headers = letters[original].headers()
        said = decode_failure(headers)  # type: ignore[arg-type]
        assert said.origin.topic == lane(settings, LaneName.REPLAY).raw
        assert (decode_raw(headers, "").capture, said.stage) == (found["capture_id"], "agent")  # type: ignore[arg-type]
