"""Faults that the stand-in shows on demand: each kind, when it fires, how often."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import httpx2
import orjson
import pytest

from samples.racing.api import PASSWORD, USER, StandIn
from samples.racing.faults import KINDS, Fault
from tests.racing.samples.test_api import TODAY, connected, results
from tests.wait import until

DAY, OTHER = date(2024, 5, 18), date(2024, 5, 19)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn(today=TODAY) as running:
        yield running


@pytest.fixture
def client(api: StandIn) -> Iterator[httpx2.Client]:
    with connected(api) as connection:
        yield connection


@pytest.mark.parametrize("kind", ["401", "403", "404", "422", "429", "500", "503"])
def test_a_status(api: StandIn, client: httpx2.Client, kind: str) -> None:
    api.faults.add(Fault.parse(kind))
    answer = client.get("/courses")
    assert answer.status_code == int(kind)
    assert "Retry-After" not in answer.headers
    assert client.get("/courses").status_code == 200


def test_a_status_says_when_to_come_again(api: StandIn, client: httpx2.Client) -> None:
    api.faults.add(Fault("429", retry_after=3))
    assert client.get("/courses").headers["Retry-After"] == "3"
    assert Fault.parse("503:7") == Fault("503", retry_after=7)


def test_an_answer_is_held_until_the_client_gives_up(api: StandIn) -> None:
    api.faults.add(Fault("timeout"))
    with connected(api, timeout=0.2) as impatient, pytest.raises(httpx2.ReadTimeout):
        impatient.get("/courses")
    with connected(api) as client:
        assert client.get("/courses").status_code == 200
    assert [request.status for request in api.requests] == [0, 200]


def test_an_answer_is_held_until_the_server_stops() -> None:
    faults = [Fault("timeout")]
    with ThreadPoolExecutor(1) as pool, StandIn(today=TODAY, faults=faults) as api, connected(api) as client:
        held = pool.submit(client.get, "/courses")
        until(lambda: api.requests, 10, "the request did not arrive")
        api.stop()
        with pytest.raises(httpx2.RemoteProtocolError):
            held.result(timeout=10)


@pytest.mark.parametrize("kind", ["cut-head", "cut-body"])
def test_a_connection_is_cut(api: StandIn, client: httpx2.Client, kind: str) -> None:
    api.faults.add(Fault.parse(kind))
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get("/results", params=results(DAY))
    assert client.get("/results", params=results(DAY)).status_code == 200


def test_json_is_broken(api: StandIn, client: httpx2.Client) -> None:
    api.faults.add(Fault("broken"))
    answer = client.get("/results", params=results(DAY))
    assert answer.status_code == 200
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(answer.content)


def test_a_page_in_place_of_json(api: StandIn, client: httpx2.Client) -> None:
    api.faults.add(Fault("html"))
    answer = client.get("/courses")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")


def test_json_of_another_shape(api: StandIn, client: httpx2.Client) -> None:
    api.faults.add(Fault("list", times=2))
    assert client.get("/results", params=results(DAY)).json() == []
    assert client.get("/courses/regions").json() == {}


def test_a_fault_finds_the_requests_that_are_meant(api: StandIn, client: httpx2.Client) -> None:
    api.faults.add(Fault("500", path="/results", date=str(DAY), times=2))

    def status(path: str, **params: str) -> int:
        return client.get(path, params=params).status_code

    assert status("/racecards/pro", date=str(DAY)) == 200
    assert status("/results", **results(OTHER)) == 200
    assert status("/courses") == 200
    assert status("/results", start_date="2024-05-01", end_date="2024-05-31") == 500
    assert status("/results", **results(DAY)) == 500
    assert status("/results", **results(DAY)) == 200
    assert [target.split("?")[0] for _, target in api.faults.fired] == ["/results"] * 2


def test_faults_of_one_request_fire_in_turn(api: StandIn, client: httpx2.Client) -> None:
    api.faults.add(Fault("503"), Fault("429", times=None))
    assert [client.get("/courses").status_code for _ in range(4)] == [503, 429, 429, 429]
    api.faults.clear()
    assert client.get("/courses").status_code == 200


def test_every_third_request_fails_with_the_next_kind() -> None:
    cycle = [Fault("429"), Fault("500")]
    with StandIn(today=TODAY, every=3, cycle=cycle) as api, connected(api) as client:
        statuses = [client.get("/courses").status_code for _ in range(9)]
    assert statuses == [200, 200, 429, 200, 200, 500, 200, 200, 429]


def test_a_stranger_uses_no_fault_up(api: StandIn, client: httpx2.Client) -> None:
    api.faults.add(Fault("500"))
    with connected(api, auth=None) as stranger:
        assert stranger.get("/courses").status_code == 401
    assert client.get("/courses").status_code == 500


@pytest.mark.parametrize("text", ["418", "", "429:soon", "429:"])
def test_what_is_no_fault(text: str) -> None:
    with pytest.raises(ValueError, match=r"no kind of fault|no whole number"):
        Fault.parse(text)


def test_a_fault_of_no_day() -> None:
    with pytest.raises(ValueError, match="2024-5-18"):
        Fault("500", date="2024-5-18")


def _started(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "samples.racing.api", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_serves_until_it_is_asked_to_stop() -> None:
    secrets = {"RACING_API_USERNAME": "somebody", "RACING_API_PASSWORD": "pa55-word"}
    process = _started("--today", "2025-10-19", "--faults", "429:2,500", "--every", "2", **secrets)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx2.Client(base_url=url, auth=("somebody", "pa55-word"), trust_env=False) as client:
            statuses = [client.get("/courses").status_code for _ in range(4)]
            assert client.get("/courses", auth=(USER, PASSWORD)).status_code == 401
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert statuses == [200, 429, 200, 500]
    assert (process.returncode, out, err) == (0, "", "")


def test_the_command_names_the_faults_that_there_are() -> None:
    process = _started("--faults", "teapot")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert all(kind in err for kind in KINDS)
