"""What `rederive status` says of the lanes while live is at work, when it has stopped, and when services are away."""

import os
import pty
import signal
import subprocess
import sys
from typing import Any

import orjson
import psycopg
import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from rederive.settings import Settings
from schemas.lane import Lane, LaneName
from tests.live.work import Ingester, begin, live
from tests.program import environment, rederive, start
from tests.wait import until

pytestmark = pytest.mark.services

_NOWHERE = "127.0.0.1:1"


def looked(settings: Settings, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(rederive(settings, "status", "--json", code=code).stdout)
    return found


def log_lane(found: dict[str, Any]) -> dict[str, Any]:
    (lane,) = [one for one in found["lanes"] if (one["domain"], one["lane"]) == ("betfair", "log")]
    return dict(lane)


def test_status_of_live_at_work_and_after_it(settings: Settings, connection: psycopg.Connection) -> None:
    ingester = Ingester(connection)
    with live(settings) as process:
        begin(connection, ingester, process)
        for _ in range(20):
            ingester.commit()

        def settled() -> dict[str, Any] | None:
            found = looked(settings)
            lane = log_lane(found)
            caught_up = lane["agents"]["records_behind"] == lane["sinks"]["records_behind"] == 0
            return found if caught_up and lane["rows_per_second"] > 0 and "visible" in lane["latencies"] else None

        found = until(settled, 30, "live doesn't settle")
        assert found is not None
        lane = log_lane(found)
        assert lane["seconds_behind"] == 0
        assert set(lane["latencies"]) == {"found", "computed", "merged", "visible"}
        assert all(0 < of["p50"] <= of["p95"] <= of["p99"] for of in lane["latencies"].values())
        assert lane["progressed_at"] is not None
        for side in ("agents", "sinks"):
            partitions = lane[side]["partitions"]
            assert len(partitions) == settings.workers
            assert all(f".log.{side}-" in one["member"] for one in partitions), partitions
        (producer,) = found["producers"]
        assert producer["domain"] == "betfair"
        assert producer["standing"] > producer["still"]
        assert found["troubles"] == []

        text = rederive(settings, "status").stdout
        assert "Latencies of the last 5 minutes, in ms" in text
        assert "wrong:" not in text

    # What nobody takes waits, and that is said with what mends it.
    lane_ = Lane("betfair", LaneName.LOG, settings.topic_prefix)
    producer_ = Producer({**settings.kafka_config()})
    producer_.produce(lane_.raw, b"{}", partition=1)
    assert producer_.flush(10) == 0

    def unheld() -> dict[str, Any] | None:
        found = looked(settings)
        return found if len(found["troubles"]) == 2 else None

    found = until(unheld, 30, "nobody's partitions are no trouble")
    assert found is not None
    nobody_finds, nobody_holds = found["troubles"]
    assert nobody_finds["what"].startswith("nobody has found what arrives of betfair since ")
    assert nobody_holds["what"] == f"nobody holds partition 1 of {lane_.raw} while 1 record waits"
    assert nobody_finds["mend"] == nobody_holds["mend"] == "`rederive live betfair`"
    lane = log_lane(found)
    assert lane["agents"]["records_behind"] == 1
    assert lane["seconds_behind"] > 1
    assert lane["agents"]["partitions"][1]["member"] is None
    assert "wrong: nobody holds partition 1" in rederive(settings, "status").stdout


def test_a_transaction_s_marker_is_nothing_that_waits(settings: Settings, migrated: str) -> None:
    assert migrated
    rederive(settings, "topics", "make", "betfair", "--partitions", "1")
    lane = Lane("betfair", LaneName.LOG, settings.topic_prefix)
    producer = Producer({**settings.kafka_config(), "transactional.id": lane.raw})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(lane.raw, b"{}")
    producer.flush(10)
    producer.abort_transaction()
    (partition,) = log_lane(looked(settings))["agents"]["partitions"]
    assert partition["committed"] == partition["end"] > 0


def test_with_services_away_each_is_said_by_itself(settings: Settings, migrated: str) -> None:
    assert migrated
    no_database = settings.model_copy(update={"database_url": SecretStr(f"postgresql://nobody@{_NOWHERE}/nowhere")})
    rederive(settings, "topics", "make", "betfair", "--partitions", "1")
    found = looked(no_database, code=1)
    assert [one["state"] for one in found["services"]] == ["running", "away"]
    assert log_lane(found)["agents"]["records_behind"] == 0
    assert found["producers"] is None
    (trouble,) = found["troubles"]
    assert "no connection to the database" in trouble["what"]

    no_kafka = settings.model_copy(update={"kafka_bootstrap": _NOWHERE})
    found = looked(no_kafka, code=1)
    assert [one["state"] for one in found["services"]] == ["away", "running"]
    assert found["lanes"] == []
    (trouble,) = found["troubles"]
    assert trouble["what"].startswith(f"Kafka at {_NOWHERE} does not answer")


def test_watching_goes_on_until_ctrl_c(settings: Settings, migrated: str) -> None:
    assert migrated
    rederive(settings, "topics", "make", "betfair", "--partitions", "1")
    with start(settings, "status", "--watch", "--json") as watch:
        assert watch.stdout is not None
        first, second = (orjson.loads(watch.stdout.readline()) for _ in range(2))
        watch.send_signal(signal.SIGINT)
        _, said = watch.communicate(timeout=20)
    assert first["at"] < second["at"]
    assert log_lane(second)["agents"]["group"] == f"{settings.topic_prefix}rederive.betfair.log.agents"
    assert (watch.returncode, said) == (130, "interrupted; safe to start again\n")

    with start(settings, "status", "--watch") as watch:
        assert watch.stdout is not None
        lines = iter(watch.stdout.readline, "")
        heads = [line for line, _ in zip((line for line in lines if line.endswith(" UTC\n")), range(2), strict=False)]
        watch.send_signal(signal.SIGTERM)
        watch.communicate(timeout=20)
    assert len(set(heads)) == 2
    assert watch.returncode == 130


def test_on_a_terminal_watching_stays_in_place(settings: Settings, migrated: str) -> None:
    assert migrated
    ours, theirs = pty.openpty()
    watch = subprocess.Popen(
        [sys.executable, "-m", "rederive", "status", "--watch"],
        cwd=settings.home.parent,
        env={**environment(settings), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    said = b""
    while said.count(b"Ctrl+C ends") < 2:
        said += os.read(ours, 65536)
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=20)
    os.close(ours)
    assert b"\x1b[?1049h" in said
    assert b"postgres" in said
    assert watch.returncode == 130
