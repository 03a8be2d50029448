"""Pages without services: who may act, what is refused, what stands in every answer; and empty states."""

import re
import tomllib
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from rederive.http.app import create_app
from rederive.http.pages import command_options
from rederive.settings import Settings
from tests.http.conftest import BASE
from tests.program import ROOT

TOKEN = "a-token-of-the-terminal"
HTML = {"accept": "text/html"}
OWN = {**HTML, "origin": BASE, "sec-fetch-site": "same-origin"}
STATIC = ROOT / "rederive" / "http" / "pages" / "static"

EMPTY = ("/", "/logs", "/betfair/markets", "/captures", "/coverage", "/compare", "/finra/weeks", "/racing/days")
ACTIONS = (
    "/captures/betfair-20260101-1/rollback",
    "/captures/betfair-20260101-1/cancel",
    "/replay/betfair",
    "/coverage/betfair/fill?kind=missing&from=2026-02-01&to=2026-02-02",
    "/dead-letters/betfair/requeue",
    "/dead-letters/betfair/drop",
    "/jobs/1/stop",
    "/logout",
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a deployment that was never started."""
    return Settings(home=tmp_path_factory.mktemp("pages") / "home")


@pytest.fixture(scope="module")
def app(alone: Settings) -> FastAPI:
    """A server that takes actions."""
    return create_app(alone, token=TOKEN)


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    """A browser that hasn't been there yet."""
    return TestClient(app, base_url=BASE, follow_redirects=False)


@pytest.fixture
def begun(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that would have been begun."""
    lines: list[list[str]] = []

    def note(_: object, words: list[str], about: str, into: list[str] = []) -> Any:  # noqa: ARG001, B006
        lines.append(list(words))
        raise AssertionError("a command is begun")

    monkeypatch.setattr(client.app.state.jobs.__class__, "begin", note)  # type: ignore[attr-defined]
    return lines


def log_in(client: TestClient) -> str:
    """Show the token; what the session's forms carry."""
    answer = client.post("/login", data={"token": TOKEN}, headers=OWN)
    assert answer.status_code == 303, answer.text
    return csrf_of(client.get("/replay", headers=HTML))


def csrf_of(answer: httpx2.Response) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', answer.text)
    assert found, answer.text
    return found[1]


class Tags(HTMLParser):
    """What a page says of scripts and styles, and where it leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.loaded: list[str] = []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        for name, value in attrs:
            if name == "style" or name.startswith(("on", "hx-on")):
                self.inline.append(f"{tag} {name}")
            if name in ("src", "href", "action", "hx-get") and value:
                self.loaded.append(value)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style") and data.strip():
            self.inline.append(data)


def test_every_page_without_services_says_what_to_do_first(client: TestClient) -> None:
    for path in EMPTY:
        answer = client.get(path, headers=HTML)
        assert answer.headers["content-type"].startswith("text/html"), path
        if path in ("/", "/logs"):
            assert answer.status_code == 200
            assert "rederive" in answer.text
        else:
            assert (answer.status_code, "no database runs" in answer.text) == (503, True), path
            assert "rederive local start" in answer.text
        tags = Tags(answer.text)
        assert tags.inline == [], path
        assert all(one.startswith(("/", "#")) and not one.startswith("//") for one in tags.loaded), path
    assert client.get("/captures").json()["what"] == "no database runs"


def test_the_policy_allows_no_inline_script_or_style_and_nothing_of_another_host(client: TestClient) -> None:
    policy = client.get("/", headers=HTML).headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    for file in ("page.css", "page.js", "icon.svg", "vendor/htmx/htmx.min.js", "vendor/uplot/uPlot.iife.min.js"):
        answer = client.get(f"/static/{file}")
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
    own = (STATIC / "page.css").read_text() + (STATIC / "page.js").read_text()
    assert not re.search(r"https?:|@import|url\(", own)


def test_what_is_vendored_has_its_licence_and_is_packaged() -> None:
    for name, word in (("htmx", "Zero-Clause BSD"), ("uplot", "MIT")):
        assert word in (STATIC / "vendor" / name / "LICENSE").read_text()
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["rederive"]
    package = ROOT / "rederive"
    packaged = {file for pattern in data for file in package.glob(pattern) if file.is_file()}
    wanted = {file for kind in ("html", "css", "js", "svg", "LICENSE") for file in package.rglob(f"*{kind}")}
    assert {file for file in wanted if "__pycache__" not in file.parts} <= packaged


def test_without_actions_nothing_can_be_changed(alone: Settings) -> None:
    with TestClient(create_app(alone), base_url=BASE, follow_redirects=False) as client:
        for path in ACTIONS:
            assert client.post(path, headers=OWN).status_code == 405
        assert client.post("/login", data={"token": ""}, headers=OWN).status_code == 405
        page = client.get("/login", headers=HTML)
        assert "rederive dashboard --actions" in page.text
        assert client.get("/replay/betfair", headers=HTML).status_code == 403


def test_no_form_is_taken_without_a_session_of_its_own(client: TestClient, begun: list[list[str]]) -> None:
    body = {"csrf": "0" * 64}
    # Nobody is logged in, whatever the form says.
    for path in ACTIONS:
        assert client.post(path, data=body, headers=OWN).status_code == 403
    csrf = log_in(client)
    # Another site's page, or one of another port of this machine, has the browser send its cookie and more.
    elsewhere = (
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null", "sec-fetch-site": "cross-site"},
        {"origin": "null", "sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    )
    for path in ACTIONS:
        for forged in ({}, {"csrf": ""}, body, {"csrf": f"{csrf}0"}, {"csrf": "é"}):
            answer = client.post(path, data=forged, headers=OWN)
            assert (answer.status_code, "not one of this session" in answer.text) == (403, True), forged
        for more in elsewhere:
            answer = client.post(path, data={"csrf": csrf}, headers={**OWN, **more})
            assert (answer.status_code, "another site" in answer.text) == (403, True), more
        # What isn't said to be a form, or is too large for one.
        assert client.post(path, content=b"x" * 70_000, headers=OWN).status_code == 413
        assert client.post(path, content=iter([b"csrf=1"]), headers=OWN).status_code == 413
    assert begun == []


def test_only_the_token_begins_a_session(client: TestClient) -> None:
    for wrong in ("", "wrong", TOKEN[:-1], f"{TOKEN}x", "é"):
        answer = client.post("/login", data={"token": wrong}, headers=OWN)
        assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None), wrong
        if wrong:
            answer = client.get("/login", params={"token": wrong}, headers=HTML)
            assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)
    for path in ("/replay", "/jobs", "/captures/x/rollback"):
        assert client.get(path, headers=HTML).status_code == 403
    # A page of another site that guesses can't log anybody in either.
    assert (
        client.post("/login", data={"token": TOKEN}, headers={**OWN, "origin": "http://evil.example"}).status_code
        == 403
    )


def test_the_token_in_the_address_becomes_a_cookie_at_once(client: TestClient) -> None:
    answer = client.get("/login", params={"token": TOKEN}, headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.lower().split("; "))
    page = client.get("/jobs", headers=HTML)
    assert page.status_code == 200
    assert TOKEN not in page.text
    # Whoever logs out is out, with the cookie or without.
    kept = client.cookies["rederive"]
    assert client.post("/logout", data={"csrf": csrf_of(page)}, headers=OWN).status_code == 303
    client.cookies.set("rederive", kept)
    assert client.get("/jobs", headers=HTML).status_code == 403


TRICKS = (
    "/static/../parts.py",
    "/static/%2e%2e/parts.py",
    "/static/..%2f..%2fserver.py",
    "/static/%2fetc%2fpasswd",
    "/static/vendor/../../access.py",
    "/logs/..%2f..%2fetc%2fpasswd",
    "/logs/%2e%2e",
    "/logs/..%5c..%5cx",
    "/logs/%00",
    "/captures/..%2f..%2fx",
    "/coverage/..%2f",
    "/dead-letters/..%2fx/0/0",
)


def test_tricks_with_paths_lead_nowhere(client: TestClient, alone: Settings) -> None:
    (alone.home / "secret.log").parent.mkdir(parents=True, exist_ok=True)
    (alone.home / "secret.log").write_text("the secret")
    log_in(client)
    for path in TRICKS:
        answer = client.get(path, headers=HTML)
        assert answer.status_code in (307, 403, 404, 422, 503), path
        assert answer.headers.get("location", BASE).startswith(BASE)
        assert not re.search("the secret|root:|import ", answer.text), path


def test_a_word_of_a_form_never_becomes_an_option() -> None:
    every = command_options.options("replay", "betfair")
    said = {"from": "--clear", "market": "1.1 --clear", "reason": "-x; rm -rf /", "all-rows": "yes", "unknown": "x"}
    words = command_options.words(every, said)
    assert words == ["--from=--clear", "--market", "1.1", "--market=--clear", "--all-rows", "--reason=-x; rm -rf /"]
    assert {one.name for one in every} >= {"--from", "--to", "--columns", "--mode", "--dry-run", "--clear"}
    assert command_options.words(every, {"clear": "yes"}) == ["--clear", "--yes"]
    assert command_options.words(every, {"clear": "yes"}, asks=False) == ["--clear"], "a plan asks nothing"


def test_a_run_is_begun_with_just_the_words_that_the_page_shows(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[tuple[list[str], list[str]]] = []

    class Done(Exception):  # noqa: N818
        pass

    def begin(_: object, words: list[str], about: str, into: list[str] | tuple[()] = ()) -> None:  # noqa: ARG001
        lines.append((list(words), list(into)))
        raise Done

    monkeypatch.setattr(client.app.state.jobs.__class__, "begin", begin)  # type: ignore[attr-defined]
    csrf = log_in(client)
    forms: list[tuple[str, dict[str, str]]] = [
        ("/replay/betfair", {"columns": "l3", "limit": "5", "dry-run": "yes"}),
        ("/captures/betfair-20260101-1/promote", {"max_changed": "2%", "clear": "yes"}),
        ("/captures/all/verify", {}),
        ("/coverage/racing/fill?kind=missing&from=2024-05-17&to=2024-05-18", {}),
        ("/dead-letters/betfair/requeue", {"origin": "betfair.replay[0]@1", "force": "yes"}),
        ("/dead-letters/betfair/drop", {"origin": "betfair.log[0]@1", "why": "--a test"}),
    ]
    for path, form in forms:
        with pytest.raises(Done):
            client.post(path, data={"csrf": csrf, **form}, headers=OWN)
    gaps = ["gaps", "racing", "--from", "2024-05-17", "--to", "2024-05-18", "--only", "missing", "--fill"]
    assert lines == [
        (["replay", "betfair", "--columns", "l3", "--limit", "5", "--dry-run"], []),
        (["captures", "promote", "betfair-20260101-1", "--yes", "--max-changed=2%", "--clear"], []),
        (["captures", "verify"], []),
        (gaps, ["apply", "-"]),
        (["dlq", "requeue", "betfair", "--origin", "betfair.replay[0]@1", "--force"], []),
        (["dlq", "drop", "betfair", "--origin", "betfair.log[0]@1", "--why=--a test"], []),
    ]
    for path, form in (
        ("/captures/all/rollback", {}),
        ("/captures/betfair-1/destroy", {}),
        ("/replay/nothing", {}),
        ("/dead-letters/betfair/drop", {"origin": "betfair.log[0]@1"}),
        ("/dead-letters/betfair/requeue", {"origin": "--force"}),
    ):
        assert client.post(path, data={"csrf": csrf, **form}, headers=OWN).status_code in (404, 422), path
