"""What every request has to pass, and what every answer says; no service is needed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from rederive.http.app import create_app
from rederive.settings import Settings
from tests.program import ROOT


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """Settings of a deployment that was never started."""
    return Settings(home=tmp_path / "home", dashboard_names="dash.example, board")


@pytest.fixture
def client(alone: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(alone), base_url="http://127.0.0.1:8787") as opened:
        yield opened


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MADEUP"])
def test_nothing_but_reading_is_allowed(client: TestClient, method: str) -> None:
    for path in ("/healthz", "/api/captures", "/nowhere"):
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"


def test_head_is_get_without_a_body(client: TestClient) -> None:
    answer = client.head("/healthz")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(client.get("/healthz").content))
    assert client.head("/nowhere").status_code == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1234", "[::1]:8787", "LOCALHOST", "dash.example:80", "board"])
def test_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).json() == {"status": "ok"}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[", "10.0.0.7"]
)
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    answer = client.get("/healthz", headers={"host": host})
    assert answer.status_code == 421
    assert "REDERIVE_DASHBOARD_NAMES" in answer.json()["mend"]


def test_where_it_listens_everywhere_each_address_is_its_own(alone: Settings) -> None:
    with TestClient(create_app(alone, "0.0.0.0"), base_url="http://127.0.0.1") as client:
        assert client.get("/healthz", headers={"host": "10.0.0.7:8787"}).status_code == 200
        assert client.get("/healthz", headers={"host": "evil.example"}).status_code == 421


def test_every_answer_has_the_headers_of_safety(client: TestClient) -> None:
    for path in ("/healthz", "/nowhere", "/openapi.json", "/api/captures"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_no_page_of_another_host_is_offered(client: TestClient) -> None:
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404
    described = client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        assert list(methods) == ["get"], path
        assert methods["get"].get("summary"), path
        assert methods["get"].get("description"), path


def test_every_path_is_on_its_page(client: TestClient) -> None:
    page = (ROOT / "docs" / "http.md").read_text()
    undocumented = [path for path in client.get("/openapi.json").json()["paths"] if f"`{path}`" not in page]
    assert undocumented == ["/api/domains/{domain}/dead-letters/{partition}/{offset}/payload"]


def test_without_services_it_lives_and_says_what_to_do(client: TestClient) -> None:
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert ready.json()["why"] == ["kafka is away", "postgres is away"]
    captures = client.get("/api/captures")
    assert captures.status_code == 503
    assert captures.json()["what"] == "no database runs"
    assert "rederive local start" in captures.json()["mend"]
    status = client.get("/api/status").json()
    assert [one["state"] for one in status["services"]] == ["away", "away"]
    metrics = client.get("/metrics")
    assert 'rederive_up{service="postgres"} 0.0' in metrics.text
    # Parameters are looked at before any service is.
    for path in ("/api/captures?limit=0", "/events/1.1/timeseries?interval_minutes=61", "/api/captures?since=soon"):
        assert client.get(path).status_code == 422


def test_errors_have_one_shape(client: TestClient) -> None:
    for path, status in (("/nowhere", 404), ("/api/captures?limit=501", 422), ("/api/captures", 503)):
        answer = client.get(path)
        assert answer.status_code == status
        assert set(answer.json()) == {"detail", "what", "why", "mend"}
