"""Every process has metrics of its own, the board and the rules ask for none but these; people are told."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.testclient import TestClient

from producers.source import Request
from rederive.http.app import create_app
from rederive.replayer import Replayer
from rederive.settings import Settings
from schemas.capture import Progress
from schemas.lane import Lane, LaneName
from schemas.table import Mode
from tests.live.work import Ingester, begin, live
from tests.program import ROOT
from tests.receiver import Receiver, receiving
from tests.wait import until

pytestmark = pytest.mark.services

_FOLDER = ROOT / "docs/examples/monitoring"
_NAME = re.compile(r"\b(?:rederive|process)_[a-z_]+|\bup\b")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def watched(settings: Settings, receiver: Receiver) -> Settings:
    said = {"metrics_port": 0, "notify": SecretStr(receiver.address), "workers": 1, "sinks": 1}
    return settings.model_copy(update=said)


def asked(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(text: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def total(found: dict[str, list[Any]], name: str, **labels: str) -> float:
    return float(sum(one.value for one in found.get(name, ()) if labels.items() <= one.labels.items()))


def expressions() -> dict[str, str]:
    """All that the rules and the board ask for."""
    (group,) = yaml.safe_load((_FOLDER / "rules.yml").read_text())["groups"]
    board = json.loads((_FOLDER / "grafana/rederive.json").read_text())
    found = {rule["alert"]: rule["expr"] for rule in group["rules"]}
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    return found


def test_every_process_has_metrics_and_people_are_told(
    watched: Settings, connection: psycopg.Connection, receiver: Receiver
) -> None:
    seen: set[str] = {"up"}
    ingester, log = Ingester(connection), Lane("betfair", LaneName.LOG, watched.topic_prefix)
    with TestClient(create_app(watched), base_url="http://127.0.0.1:8787") as http:

        def processes() -> dict[str, str]:
            groups = http.get("/metrics/targets").json()
            return {one["labels"]["role"]: one["targets"][0] for one in groups}

        with live(watched) as process:
            begin(connection, ingester, process)
            places = processes()
            assert set(places) == {"live", "producer", "agent", "sink"}
            until(lambda: all(asked(one, "/readyz")[0] == 200 for one in places.values()), 30, "not ready")
            for one in places.values():
                assert asked(one, "/healthz") == (200, '{"status": "ok"}')
                assert asked(one, "/nothing")[0] == 404
            for _ in range(20):
                ingester.commit()

            def merged() -> dict[str, dict[str, list[Any]]] | None:
                found = {role: samples(asked(one, "/metrics")[1]) for role, one in places.items()}
                stages = [("producer", "sent"), ("agent", "computed"), ("sink", "merged")]
                units = {total(found[role], "rederive_worker_units_total", stage=one) for role, one in stages}
                rows = total(found["sink"], "rederive_worker_rows_total", outcome="updated", lane="log")
                lag = [total(found[role], "rederive_worker_lag_records") for role in ("agent", "sink", "live")]
                return found if len(units) == 1 and rows > 20 and not any(lag) else None

            found = until(merged, 30, "what arrives isn't counted")
            assert found is not None
            for role, stage in (("producer", "sent"), ("agent", "computed"), ("sink", "merged")):
                assert total(found[role], "rederive_worker_batch_seconds_count", stage=stage) > 0
                assert total(found[role], "rederive_worker_memory_peak_bytes") > 10_000_000
            rows = total(found["sink"], "rederive_worker_rows_total", stage="merged")
            took = until(
                lambda: samples(asked(places["sink"], "/metrics")[1]).get("rederive_worker_latency_seconds_count"),
                30,
                "no latency is measured",
            )
            assert took is not None
            assert {one.labels["stage"] for one in took} == {"found", "computed", "merged", "visible"}
            assert all(0 < one.value <= rows for one in took)

            # What nothing can be made of is counted, and told; what was there before is no news.
            producer = Producer({**watched.kafka_config()})

            def told() -> bool:
                producer.produce(log.raw, b"\x1f\x8b\x08\x00 no gzip")
                producer.flush(10)
                return "Rederive: dead letters of betfair" in receiver.titles()

            until(told, 30, "nobody is told of dead letters")
            agent = samples(asked(places["agent"], "/metrics")[1])
            assert total(agent, "rederive_worker_dead_letters_total", stage="computed") > 0
            sink = samples(asked(places["sink"], "/metrics")[1])
            for of in (*found.values(), agent, sink, samples(http.get("/metrics").text)):
                seen |= set(of)
        assert processes() == {}

        # A run, of its own process here: it is asked while it works.
        def look(_: Progress) -> None:
            place = processes()["run"]
            assert asked(place, "/readyz")[0] == 200
            seen.update(samples(asked(place, "/metrics")[1]))

        replayer = Replayer.of(watched)
        request = Request(domain="betfair", mode=Mode.SUPERSEDE, columns=(), all_rows=True)
        capture, _ = replayer.mint(request, "table", dry_run=False, reason="")
        report = replayer.run(capture, look)
        assert processes() == {}

    text = dict(receiver.told)
    assert receiver.titles()[-2:] == [
        f"Rederive: {capture.capture_id} begins (supersede)",
        f"Rederive: {capture.capture_id} is complete",
    ]
    ended = text[f"Rederive: {capture.capture_id} is complete"]
    assert f"{report.progress.processed}/{report.progress.rows} processed" in ended
    assert f"rederive captures show {capture.capture_id}" in ended
    assert "rederive dlq list betfair" in text["Rederive: dead letters of betfair"]
    logs = "".join(path.read_text() for path in (watched.home / "logs").iterdir())
    assert "metrics of this process: http://127.0.0.1:" in logs
    assert receiver.secret not in logs

    wanted = {what: set(_NAME.findall(expression)) for what, expression in expressions().items()}
    assert all(wanted.values())
    lacking = {what: names - seen for what, names in wanted.items() if names - seen}
    assert lacking == {}
