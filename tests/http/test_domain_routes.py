"""A domain's own paths, a stranger's too: what it offers is there, what can't be is said and harms nobody."""

import sys
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest
from starlette.testclient import TestClient

from rederive import domains
from rederive.http.app import create_app
from rederive.http.routing import Router
from rederive.settings import Settings
from schemas.domain import Domain
from tests.http.conftest import BASE
from tests.pages import fenced
from tests.program import ROOT


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("tolls_routes")
    monkeypatch.setitem(sys.modules, "tolls_routes", module)
    return module


def client_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *parts: str, pages: str = "") -> TestClient:
    made = [Domain(name=f"tolls{n}", derivation_version=1, tables=(), routes=part) for n, part in enumerate(parts)]
    made += [Domain(name="tolls", derivation_version=1, tables=(), pages=pages)] if pages else []
    usable = [*domains.usable(), *made]
    monkeypatch.setattr(domains, "usable", lambda: usable)
    # Whom a broken one is blamed on is known of those that are installed.
    monkeypatch.setattr(domains, "broken", lambda name, done, why: f"the domain {name} can't be {done}: {why}")
    return TestClient(create_app(Settings(home=tmp_path / "home")), base_url=BASE)


def test_the_documented_router_is_one(offered: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exec(fenced(ROOT / "docs" / "http.md", "python", "Router"), vars(offered))
    with client_of(tmp_path, monkeypatch, "tolls_routes:router") as client:
        assert "/api/tolls/{bridge}" in client.get("/openapi.json").json()["paths"]
        assert client.get("/api/tolls/severn?limit=0").status_code == 422
        assert client.get("/api/tolls/severn").status_code == 503
        assert client.post("/api/tolls/severn").status_code == 405


def test_what_can_not_be_is_said_and_harms_nobody(
    offered: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    taking = Router()

    @taking.get("/healthz")
    def health() -> str:
        return "mine"

    offered.taking, offered.odd = taking, object()  # type: ignore[attr-defined]
    parts = ("tolls_routes:taking", "tolls_routes:odd", "tolls_routes:missing")
    with client_of(tmp_path, monkeypatch, *parts) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert "/leagues" in client.get("/openapi.json").json()["paths"]
    said = caplog.text
    assert "the path /healthz is taken" in said
    assert "tolls_routes:odd is no Router" in said
    assert "tolls_routes:missing" in said


@pytest.fixture
def tolls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of the documented page, as a stranger's distribution has it."""
    folder = tmp_path / "site" / "tolls"
    (folder / "templates").mkdir(parents=True)
    page = ROOT / "docs" / "page.md"
    code = fenced(page, "python", "Pages").replace('reads.connection("the tolls")', "nullcontext(FOUND)")
    given = "from contextlib import nullcontext\nfrom tests.http.test_domain_routes import FOUND\n"
    (folder / "__init__.py").write_text(given + code)
    (folder / "templates" / "bridges.html").write_text(fenced(page, "html", "layout.html"))
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.delitem(sys.modules, "tolls", raising=False)
    return folder


class Paid:
    """What was paid, in the place of a table."""

    def execute(self, _query: str, _parameters: list[str]) -> "Paid":
        return self

    def fetchall(self) -> list[tuple[date, int]]:
        return [(date(2026, 2, 1), 120), (date(2026, 2, 2), 240)]


FOUND = Paid()


@pytest.mark.usefixtures("tolls")
def test_the_documented_page_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of(tmp_path, monkeypatch, pages="tolls:pages") as client:
        answer = client.get("/tolls/bridges/<b>severn", headers={"accept": "text/html"})
        assert answer.status_code == 200
        assert "<h1>&lt;b&gt;severn</h1>" in answer.text
        assert 'data-v="240"' in answer.text
        assert '<a href="/tolls/bridges" aria-current="page">Bridges</a>' in answer.text
        assert client.post("/tolls/bridges/severn").status_code == 405
        assert "/tolls/bridges/{bridge}" not in client.get("/openapi.json").json()["paths"]


def test_pages_without_templates_are_said_and_harm_nobody(
    tolls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tolls / "templates" / "bridges.html").unlink()
    (tolls / "templates").rmdir()
    with client_of(tmp_path, monkeypatch, "tolls:pages", pages="tolls:pages") as client:
        assert client.get("/tolls/bridges/severn").status_code == 404
        assert client.get("/").status_code == 200
    assert "the templates of tolls can't be had" in caplog.text
