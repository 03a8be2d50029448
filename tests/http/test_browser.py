"""A person at the pages, with a browser: Debian's Chromium, before a running system with real data."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from rederive.settings import Settings
from samples.betfair import sample
from samples.betfair.load import derive_bare_rows, load
from schemas.racing.tables import RACING
from schemas.table import Mode
from sinks.merge.merging import prepare
from tests.another import Version
from tests.betfair.replay.stored import replay
from tests.finra.stored import Run
from tests.finra.texts import AT, EXAMPLE_A, WEEK, content
from tests.http.asking import dashboard
from tests.racing.written import DAY, card, result, write
from tests.sinks.made_tables import make_capture

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="there is no chromium: apt-get install chromium"),
]

SCRIPT = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
PATIENCE = 60_000
"""So many milliseconds a page may take to come to say something."""


@dataclass(slots=True)
class Seen:
    """What went wrong in the browser's eyes, and where it was sent."""

    console: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def watch(self, page: "Page", host: str) -> None:
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("request", lambda sent: self._sent(sent.url, host))
        page.on("response", lambda came: self._came(came.status, came.url))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.console.append(text)

    def _sent(self, url: str, host: str) -> None:
        if urlsplit(url).netloc != host:
            self.elsewhere.append(url)

    def _came(self, status: int, url: str) -> None:
        if status >= 400:
            self.refused.append(f"{status} {url}")

    def nothing_wrong(self) -> None:
        assert (self.console, self.elsewhere, self.refused) == ([], [], [])


@pytest.fixture
def stored(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, str]:
    """Real snapshots with a dead unit of them, a race, a week; the capture of the dead unit, its first snapshot."""
    snapshots = list(islice(sample.snapshots(), 120))
    known = {one["market_id"] for one in snapshots}
    load(connection, [one for one in sample.metadata() if one["market_id"] in known], snapshots)
    derive_bare_rows(connection, leave_out_every=10)
    prepare(connection, RACING.tables)
    race = make_capture(connection, 1001, Mode.SUPERSEDE, 2)
    write(connection, race, card(horse_name=SCRIPT, jockey_name=SCRIPT), result(horse_name=SCRIPT))
    connection.execute("UPDATE rederive.captures SET domain = 'racing', state = 'complete' WHERE number = 1001")
    Run.made(connection).ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    version = Version(monkeypatch, tmp_path / "other")
    first = snapshots[0]["snapshot_id"]
    version.poisoned("betfair", b'"snapshot_id":%d,' % first)
    dead = replay(settings, "replay", "betfair", "--limit", "20", "--reason", SCRIPT, code=1)
    version()
    return {"dead": str(dead["capture_id"]), "key": str(first)}


@contextmanager
def browser(address: str, seen: Seen, **options: object) -> Iterator["BrowserContext"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        parts = urlsplit(address)
        context = chromium.new_context(base_url=f"{parts.scheme}://{parts.netloc}", **options)  # type: ignore[arg-type]
        context.on("page", lambda page: seen.watch(page, parts.netloc))
        context.set_default_timeout(PATIENCE)
        try:
            yield context
        finally:
            chromium.close()


def test_a_person_at_work(settings: Settings, connection: psycopg.Connection, stored: dict[str, str]) -> None:
    seen = Seen()
    with dashboard(settings) as address, browser(address, seen) as context:
        page = context.new_page()
        page.goto(address)
        assert "token" not in page.url
        for look in (_every_page_is_there, _a_replay_is_watched, _a_shadow_is_promoted, _a_letter_is_sent_again,
                     _a_capture_is_rolled_back):  # fmt: skip
            look(page, connection, stored)
            seen.nothing_wrong()


def _every_page_is_there(page: "Page", connection: psycopg.Connection, stored: dict[str, str]) -> None:
    market = connection.execute(
        "SELECT market_id FROM market_book_snapshots GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    ).fetchone()
    assert market is not None
    letters = "/dead-letters/betfair"
    for path, text in {
        "/": "Lag per topic",
        "/captures": stored["dead"],
        f"/captures/{stored['dead']}": "Dead units",
        "/compare": "what is served",
        "/coverage": "market_derived_metrics",
        "/coverage/betfair": "home_risk",
        "/coverage/betfair?by=week": "home_risk",
        "/coverage/betfair/gaps?from=2026-02-06&to=2026-02-06": "missing",
        f"/explain/betfair?key={stored['key']}&column=home_risk": "What was said of it",
        "/dead-letters": "betfair",
        letters: "ArithmeticError",
        "/logs": stored["dead"],
        f"/logs/{stored['dead']}": "capture",
        "/betfair/markets": "Markets of",
        f"/betfair/markets/{market[0]}": "Five checkpoints",
        "/racing/days": DAY,
        f"/racing/days/{DAY}": "Millrace",
        "/racing/horses/hrs_1": "Runs",
        "/finra/weeks": str(WEEK),
        f"/finra/weeks/{WEEK}": "HHI",
        "/finra/versions?calc=venue_share&first=v1&second=v2": "No row is stored of both versions",
        "/replay/betfair": "--columns",
        "/jobs": "Nothing was begun here yet",
    }.items():
        answer = page.goto(path)
        assert answer is not None
        assert answer.ok, f"{path}: {answer.status}"
        assert text in page.inner_text("main"), path
        # Whatever is stored is text.
        assert page.title().endswith("· Rederive"), path
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px wider than the window"
    page.goto(f"/racing/days/{DAY}")
    assert SCRIPT in page.inner_text("main")
    # A letter's payload, by a click.
    page.goto(letters)
    page.click("tbody a")
    assert f'"snapshot_id":{stored["key"]}' in page.inner_text("pre")
    # By keys.
    page.keyboard.press("g")
    page.keyboard.press("v")
    page.wait_for_url("**/coverage")


def _a_replay_is_watched(page: "Page", connection: psycopg.Connection, stored: dict[str, str]) -> None:
    # From a day's missing values to the plan that fills them, and here to one in shadow.
    page.goto("/coverage/betfair")
    page.click("a[aria-label^='home_risk,']")
    page.click("text=Replay these days")
    line = "rederive replay betfair --from 2026-02-06 --to 2026-02-06 --columns home_risk"
    assert page.inner_text(".confirm .shell") == line
    page.fill("#o-columns", "")
    page.fill("#o-reason", "from the page")
    page.select_option("#o-mode", "shadow")
    page.check("#o-all-rows")
    page.click("text=What would it do?")
    assert re.search(r"\d+ records in \d+ unit", page.inner_text("main"))
    line = page.inner_text(".confirm .shell")
    assert line.endswith("--all-rows --mode shadow --reason 'from the page'")
    page.click(".confirm button")
    page.wait_for_url("**/jobs/1")
    assert page.inner_text(".shell") == line
    page.wait_for_selector("#live a[href^='/captures/betfair-']")
    page.click("#live a[href^='/captures/betfair-']")
    page.evaluate("window.untouched = true")
    page.wait_for_selector("#live .s-complete")
    # It came to say so by itself, and so did what it would change.
    page.wait_for_selector("#changes")
    assert page.evaluate("window.untouched") is True
    stored["shadow"] = name = page.inner_text("h1")
    found = connection.execute("SELECT state, reason FROM rederive.captures WHERE capture_id = %s", [name]).fetchone()
    assert found == ("complete", "from the page")
    assert "By column" in page.inner_text("#changes")
    page.goto(f"/compare?one={name}&go=yes")
    assert "Examples" in page.inner_text("#changes")
    assert "They are not equal" in page.inner_text("main")


def _a_shadow_is_promoted(page: "Page", connection: psycopg.Connection, stored: dict[str, str]) -> None:
    page.goto(f"/captures/{stored['shadow']}")
    page.click("text=Promote…")
    assert "would change; all of them are served then" in page.inner_text("main")
    page.fill("#only_columns", "total_volume")
    page.click("text=Look again")
    # A gate refuses: there is nothing to press.
    assert "would change, too" in page.inner_text(".note.bad")
    assert page.locator(".confirm button").count() == 0
    page.fill("#only_columns", "")
    page.click("text=Look again")
    assert page.inner_text(".confirm .shell") == f"rederive captures promote {stored['shadow']} --yes"
    _press(page)
    row = connection.execute(
        "SELECT state, mode FROM rederive.captures WHERE capture_id = %s", [stored["shadow"]]
    ).fetchone()
    assert row == ("complete", "supersede")
    # Each value leads to where it comes from.
    page.goto(f"/captures/{stored['shadow']}/changes")
    page.click("#changes a[href^='/explain/']")
    assert "the same" in page.inner_text(".cards")


def _a_letter_is_sent_again(page: "Page", connection: psycopg.Connection, stored: dict[str, str]) -> None:
    page.goto("/dead-letters/betfair")
    page.click("tbody a")
    page.click("text=Requeue…")
    assert page.inner_text(".confirm .shell").startswith("rederive dlq requeue betfair --origin")
    _press(page)
    found = connection.execute(
        "SELECT state FROM rederive.units WHERE capture_id = %s", [stored["dead"]]
    ).fetchall()  # fmt: skip
    assert {state for (state,) in found} == {"applied"}
    page.goto("/dead-letters/betfair")
    page.wait_for_selector("text=No letter is of what is asked for")


def _a_capture_is_rolled_back(page: "Page", connection: psycopg.Connection, stored: dict[str, str]) -> None:
    page.goto(f"/captures/{stored['shadow']}")
    page.click("text=Roll back…")
    assert "rows changed" in page.inner_text("main")
    _press(page)
    assert _state(connection, stored["shadow"]) == "rolled-back"
    page.click("#live a[href^='/captures/betfair-']")
    page.wait_for_selector(".s-rolled-back")
    page.goto("/jobs")
    assert [one.inner_text() for one in page.locator("td .state").all()] == ["done"] * 4


def _press(page: "Page") -> None:
    """Press the button, and wait until the command has ended well."""
    page.click(".confirm button")
    page.wait_for_url("**/jobs/*")
    page.wait_for_selector("#live .head .s-complete")


def _state(connection: psycopg.Connection, capture: str) -> str:
    row = connection.execute("SELECT state FROM rederive.captures WHERE capture_id = %s", [capture]).fetchone()
    assert row is not None
    return str(row[0])


def test_without_javascript_and_without_services_it_says_as_much(tmp_path: Path) -> None:
    seen = Seen()
    narrow = {"width": 380, "height": 800}
    with (
        dashboard(Settings(home=tmp_path / "home")) as address,
        browser(address, seen, java_script_enabled=False, viewport=narrow) as context,
    ):
        page = context.new_page()
        page.goto(address)
        assert "kafka away" in page.inner_text("main")
        assert "rederive migrate" in page.inner_text("main")
        page.click("nav >> text=Logs")
        assert "No run has written a log here yet" in page.inner_text("main")
        page.click("text=Log out")
        assert "Log in to act" in page.inner_text("header")
    assert (seen.console, seen.elsewhere, seen.refused) == ([], [], [])
