"""Gaps of Betfair: each kind made, listed, closed by what `--fill` prints, and none left."""

from datetime import timedelta

import orjson
import psycopg
import pytest
from confluent_kafka import Producer

from rederive.settings import Settings
from schemas.lane import LaneName
from tests.betfair.replay import log
from tests.betfair.reports.made import START, derived, market, payload, snapshot
from tests.program import rederive

pytestmark = pytest.mark.services

DAY, NEXT = str(START.date()), str(START.date() + timedelta(days=1))


def gaps(settings: Settings, *words: str, code: int = 1) -> list[tuple[str, str, int]]:
    """Kind, day and count of what `--json` lists."""
    done = rederive(settings, "gaps", "betfair", *words, "--json", code=code)
    return [(gap["kind"], gap["day"], gap["count"]) for gap in orjson.loads(done.stdout)]


def fill(settings: Settings, *words: str) -> list[dict[str, object]]:
    """Apply what `--fill` prints; each capture's result."""
    plans = settings.home.parent / "plans.jsonl"
    plans.write_text(rederive(settings, "gaps", "betfair", *words, "--fill").stdout)
    done = rederive(settings, "apply", str(plans), "--json")
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def test_snapshots_without_a_row_and_nulls_that_payloads_fill(
    settings: Settings, connection: psycopg.Connection
) -> None:
    market(connection, "1.1")
    market(connection, "1.2", ids=(None, None, None))
    without = payload()
    without["runners"] = without["runners"][:2]
    for number, (at, of, raw) in enumerate(
        [
            (START, "1.1", payload()),
            (START + timedelta(hours=1), "1.1", payload()),
            (START + timedelta(days=1), "1.1", payload()),
            # What no formula makes a value of is no gap.
            (START + timedelta(days=1), "1.2", payload()),
            (START + timedelta(days=2), "1.1", without),
        ],
        start=1,
    ):
        snapshot(connection, number, of, at, raw)
    derived(connection, 1)
    assert gaps(settings) == [("missing", DAY, 1), ("null", DAY, 1), ("missing", NEXT, 1)]
    assert gaps(settings, "--from", NEXT) == [("missing", NEXT, 1)]
    assert gaps(settings, "--key", "1.2", code=0) == []
    assert gaps(settings, "--only", "null") == [("null", DAY, 1)]

    shown = rederive(settings, "gaps", "betfair", code=1).stdout
    assert "2026-02         *m" in shown
    assert "rederive gaps betfair --only missing --fill | rederive apply -" in shown
    assert max(map(len, shown.splitlines())) <= 80

    before = connection.execute("SELECT count(*) FROM rederive.captures").fetchone()
    (done,) = fill(settings)
    assert before == (0,)
    assert (done["updated"], done["errors"]) == (3, 0)
    assert gaps(settings, code=0) == []
    assert rederive(settings, "gaps", "betfair").stdout == "No gaps of betfair\n"
    # With nothing to do a plan is printed all the same: what reads it finds one.
    (nothing,) = fill(settings)
    assert nothing["units"] == 0


def test_rows_of_an_older_version_are_computed_anew_by_day(settings: Settings, connection: psycopg.Connection) -> None:
    market(connection, "1.1")
    for number in range(4):
        snapshot(connection, number, "1.1", START + timedelta(days=number // 2, minutes=number))
    rederive(settings, "replay", "betfair")
    assert gaps(settings, "--outdated", code=0) == []
    # As the version before would have left the first day, with a wrong value.
    connection.execute("UPDATE rederive.captures SET derivation_version = 0")
    connection.execute(
        """UPDATE rederive.market_derived_metrics_history SET derivation_version = 0, home_risk = 1
           WHERE snapshot_id < 2"""
    )
    snapshot(connection, 9, "1.1", START + timedelta(hours=1))
    assert gaps(settings) == [("missing", DAY, 1)]
    assert gaps(settings, "--outdated") == [("missing", DAY, 1), ("outdated", DAY, 2)]

    done = fill(settings, "--outdated")
    assert [(one["mode"], one["processed"]) for one in done] == [("supersede", 3)], "the other day is left alone"
    assert gaps(settings, "--outdated", code=0) == []


def _noted(settings: Settings, connection: psycopg.Connection, applied: dict[int, str]) -> None:
    """A running capture that has applied these offsets of the log's partitions."""
    connection.execute(
        """INSERT INTO rederive.captures (capture_id, number, domain, source, mode, derivation_version, columns,
               request, digest, who, state)
           VALUES ('betfair-1', nextval('rederive.capture_number'), 'betfair', 'log', 'fill', 1, '{}', '{}',
               '', 'tests', 'running')"""
    )
    for partition, offsets in applied.items():
        connection.execute(
            """INSERT INTO rederive.origins (capture_id, topic, partition, applied)
               VALUES ('betfair-1', %s, %s, %s)""",
            [log.lane(settings, LaneName.LOG).raw, partition, offsets],
        )


def test_a_record_of_the_log_that_nobody_has_noted_is_a_hole(
    settings: Settings, connection: psycopg.Connection
) -> None:
    market(connection, "1.1")
    for number in range(6):
        snapshot(connection, number, "1.1", START + timedelta(minutes=number))
    log.fill(settings, [(log.line(number), (), START + timedelta(days=number // 4)) for number in range(6)])
    assert gaps(settings, "--only", "hole", code=0) == [], "nobody follows this log"
    # A run that has applied all but the last of one partition and the first of the other.
    _noted(settings, connection, {0: "{[0,2)}", 1: "{[1,3)}"})
    assert gaps(settings, "--only", "hole") == [("hole", DAY, 1)], "the other one is on its way"
    connection.execute("UPDATE rederive.captures SET state = 'complete'")
    assert gaps(settings, "--only", "hole") == [("hole", DAY, 1), ("hole", NEXT, 1)]
    assert gaps(settings, "--only", "hole", "--from", NEXT) == [("hole", NEXT, 1)]

    (done,) = fill(settings, "--only", "hole")
    assert (done["updated"], done["units"]) == (2, 2)
    assert gaps(settings, "--only", "hole", code=0) == []
    rederive(settings, "captures", "rollback", str(done["capture_id"]), "--yes")
    assert gaps(settings, "--only", "hole") == [("hole", DAY, 1), ("hole", NEXT, 1)], "nobody is served by it"
    # What the table lacks and what the log holds of it are two plans; one fits after the other.
    connection.execute("DELETE FROM rederive.captures WHERE capture_id = %s", [done["capture_id"]])
    assert len(fill(settings)) == 2
    assert gaps(settings, code=0) == []


def test_where_a_transaction_s_markers_stand_is_no_hole(settings: Settings, connection: psycopg.Connection) -> None:
    log.fill(settings, [(log.line(1), (), START)])
    topic = log.lane(settings).raw
    producer = Producer({**settings.kafka_config(), "transactional.id": topic})
    producer.init_transactions()
    for _ in range(3):
        producer.begin_transaction()
        producer.produce(topic, log.line(2), partition=0)
        producer.flush(10)
        producer.abort_transaction()
    _noted(settings, connection, {0: "{[0,1)}"})
    connection.execute("UPDATE rederive.captures SET state = 'complete'")
    assert gaps(settings, "--only", "hole", code=0) == []
    log.fill(settings, [(log.line(3), (), START)])
    assert gaps(settings, "--only", "hole") == [("hole", DAY, 1)], "behind them a record is one"
    assert "nope is no kind of gap" in rederive(settings, "gaps", "betfair", "--only", "nope", code=2).stderr


def test_what_means_nothing_to_the_domain_is_wrong_usage(settings: Settings) -> None:
    assert "--kind means nothing" in rederive(settings, "gaps", "betfair", "--kind", "x", code=2).stderr
