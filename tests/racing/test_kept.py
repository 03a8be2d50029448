"""What is kept follows the log: whoever wrote to it, whatever it has lost; the report's figures follow what is kept."""

import secrets
from datetime import UTC, date, datetime, timedelta

import orjson
import psycopg
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from rederive.racing.journal import CHECKPOINT
from rederive.settings import Settings
from samples.racing.api import StandIn
from schemas.lane import Lane, LaneName
from tests.program import last_object, rederive
from tests.racing.rows import served, stored

FIRST = date(2024, 5, 17)
DAYS = [FIRST, FIRST + timedelta(days=1)]
RANGE = ("--from", str(DAYS[0]), "--to", str(DAYS[-1]))

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("api")]


def _topic(settings: Settings) -> str:
    return Lane("racing", LaneName.LOG, settings.topic_prefix).raw


def _gaps(settings: Settings, *words: str, code: int = 1) -> list[tuple[str, str]]:
    found = orjson.loads(rederive(settings, "gaps", "racing", *words, "--json", code=code).stdout)
    return [(gap["day"], gap["part"]) for gap in found]


def test_a_plan_is_applied_where_nothing_is_kept_yet(
    settings: Settings, database: psycopg.Connection, api: StandIn
) -> None:
    words = ("--from", str(FIRST), "--to", str(FIRST), "--skip-masters")
    plan = settings.home.parent / "plan.json"
    plan.write_text(rederive(settings, "plan", "racing", *words).stdout)
    rederive(settings, "apply", str(plan))
    assert stored(database) == served(api, [FIRST])
    refused = rederive(settings, "apply", str(plan), code=1)
    assert "2 of its 2 answers have been kept since" in refused.stderr


def test_a_day_that_the_log_has_lost_is_a_gap_and_asked_for_again(
    settings: Settings, database: psycopg.Connection, api: StandIn
) -> None:
    rederive(settings, "replay", "racing", *RANGE, "--skip-masters")
    (place,) = database.execute(
        "SELECT partition, max(record_offset) FROM rederive.racing_records WHERE date = %s GROUP BY 1", [DAYS[0]]
    )
    admin = AdminClient({**settings.kafka_config()})
    for done in admin.delete_records([TopicPartition(_topic(settings), place[0], place[1] + 1)]).values():
        done.result(10)
    # The other day's partition has lost its end with the broker: what the index says of it is no longer there.
    database.execute(
        "UPDATE rederive.racing_records SET record_offset = record_offset + 100 WHERE date = %s", [DAYS[1]]
    )
    assert _gaps(settings, *RANGE) == [(str(DAYS[0]), kind) for kind in ("racecards", "results")]

    asked = len(api.requests)
    done_again = last_object(rederive(settings, "replay", "racing", *RANGE, "--skip-masters", "--json").stdout)
    assert done_again["errors"] == 0
    assert {request.target.partition("date=")[2][:10] for request in api.requests[asked:]} == {str(DAYS[0])}
    assert _gaps(settings, *RANGE, code=0) == []


def test_records_from_outside_cost_nobody_a_plan(settings: Settings, database: psycopg.Connection) -> None:
    """What can't be read stands in the index as nothing; the rest counts as what it says."""
    rederive(settings, "replay", "racing", "--from", str(FIRST), "--to", str(FIRST), "--skip-masters")
    now = datetime.now(UTC).isoformat()
    said = {"kind": "racecards", "date": "2024-06-01", "observed": now, "payload": {"racecards": []}}
    values = [
        b"", b"junk", b"\x00\xff", b"[]", b'{"kind":"racecards"}',
        *(
            orjson.dumps(said | wrong)
            for wrong in (
                {"regions": [1, 2]}, {"regions": [{"a": 1}]}, {"regions": ["\0"]}, {"regions": 5},
                {"date": "2024-13-45"}, {"date": 5}, {"observed": None}, {"observed": "0001-01-01T00:00:00+14:00"},
                {"kind": ["x"]}, {"kind": "horse", "horse_id": {"a": 1}}, {"kind": "horse", "horse_id": "\0"},
                {"kind": "horse", "horse_id": secrets.token_hex(15_000)},
                {"regions": ["GB", "IRE"]},
            )
        ),
    ]  # fmt: skip
    producer = Producer(settings.kafka_config())
    for value in values:
        producer.produce(_topic(settings), value=value, partition=0)
    assert producer.flush(10) == 0
    found = _gaps(settings, "--from", "2024-06-01", "--to", "2024-06-02")
    assert ("2024-06-01", "racecards") not in found, "only the last record says a day"
    assert [day for day, kind in found if kind in ("racecards", "results")] == [
        "2024-06-01",
        "2024-06-02",
        "2024-06-02",
    ]
    rederive(settings, "replay", "racing", "--from", str(FIRST), "--to", str(FIRST), "--skip-masters")
    indexed = database.execute("SELECT count(*) FROM rederive.racing_records WHERE kind IS NULL").fetchone()
    assert indexed == (len(values) - 1,)


def test_the_report_counts_a_day_once_however_often_it_is_kept(
    settings: Settings, database: psycopg.Connection, api: StandIn
) -> None:
    words = ("--skip-masters", "--no-results")
    first = ("--from", str(DAYS[0]), "--to", str(DAYS[0]))
    rederive(settings, "replay", "racing", *first, *words)
    rederive(settings, "replay", "racing", *first, *words, "--refetch")
    done = last_object(rederive(settings, "replay", "racing", *RANGE, *words, "--json").stdout)
    assert done["units"] == 3
    races, runners = served(api, DAYS)
    stats = orjson.loads((settings.home / "logs" / CHECKPOINT).read_bytes())["stats"]
    assert (stats["total_races"], stats["total_runners"]) == (len(races), len(runners))
    assert stats["chunks"][0]["racecards"]["days_fetched"] == 2
    assert len(stored(database)[0]) == len(races)
