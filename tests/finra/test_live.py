"""Live: files that are dropped into a folder are taken once, as a replay of the folder would take them."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from producers.finra import watched
from producers.finra.inbox import Inbox
from producers.finra.settings import FinraSettings
from producers.finra.watched import WATCHED
from producers.live import Arriving
from producers.source import Services
from rederive import captures
from rederive.database import connect
from rederive.finra.live import WatchedFolder
from rederive.settings import Settings
from rederive.spares import Spare
from samples.finra.files import FinraFiles
from schemas.errors import Away, Failed, UsageError
from schemas.finra.tables import FINRA
from schemas.finra.versions import PREFIX
from tests import worker_forks
from tests.finra.runs import OWN, asked, done, weeks
from tests.program import environment
from tests.wait import until

WORLD = FinraFiles(symbols=8, rows=24)
WEEKS = weeks(8)
SETTLE = 0.4
LONG = 90

TABLES = [table.name for table in FINRA.tables if table.name.startswith(PREFIX)]


@pytest.fixture
def inbox(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is watched; settings are the environment's."""
    folder = tmp_path / "weekly"
    folder.mkdir()
    for name, value in {
        **environment(settings),
        "REDERIVE_WORKERS": "1",
        "FINRA_FOLDER": str(folder),
        "FINRA_SETTLE_SECONDS": str(SETTLE),
    }.items():
        monkeypatch.setenv(name, value)
    # Its runs begin in this process.
    monkeypatch.setattr(Spare, "begun", Spare.begun)
    worker_forks.for_spares(worker_forks.address())
    return folder


def file(week: date, tier: str = "OTC", edition: int = 0) -> tuple[str, bytes]:
    made = WORLD.file(week, tier, edition)
    return made.name, made.content


def drop(folder: Path, week: date, tier: str = "OTC", edition: int = 0) -> Path:
    """Rename a file in, as whoever delivers files should."""
    name, content = file(week, tier, edition)
    coming = folder / f"{name}.part"
    coming.write_bytes(content)
    return coming.rename(folder / name)


@dataclass
class Living:
    """FINRA's live in a thread, stepped as its process steps it."""

    url: str
    from_now: datetime | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    longest: float = 0.0
    error: BaseException | None = None
    begun: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._moved = time.monotonic()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def _moving(self) -> None:
        now = time.monotonic()
        self.longest, self._moved = max(self.longest, now - self._moved), now

    def _live(self) -> None:
        try:
            with connect(self.url, application="tests: live") as connection:
                kafka = Settings().kafka_config()
                services = Services(connection, lambda: connection, kafka, Settings().topic_prefix)
                with closing(WatchedFolder(FINRA, services, Arriving(self.stop, self.from_now, self._moving))) as live:
                    self.begun.set()
                    while not self.stop.is_set():
                        pause = live.step()
                        self._moving()
                        self.stop.wait(pause)
        except BaseException as error:
            self.error = error
            raise

    def end(self) -> None:
        self.stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert self.error is None
        assert self.longest < 30


@contextmanager
def living(url: str, *, from_now: datetime | None = None) -> Iterator[Living]:
    one = Living(url, from_now)
    try:
        until(lambda: one.begun.is_set() or one.error, LONG, "live does not begin")
        yield one
    finally:
        one.end()


def runs(connection: psycopg.Connection, state: str | None = None) -> list[str]:
    found = connection.execute(
        """SELECT capture_id FROM rederive.captures
           WHERE source = %s AND state = coalesce(%s, state) ORDER BY number""",
        [WATCHED, state],
    )
    return [capture for (capture,) in found]


def taken(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """Each file that a run of live's has taken, with the state of its unit."""
    found = connection.execute(
        """SELECT substring(locator ->> 'path' FROM '[^/]*$'), u.state
           FROM rederive.units u JOIN rederive.captures c USING (capture_id)
           WHERE source = %s AND stage = 'file' AND locator ? 'week' ORDER BY c.number, unit""",
        [WATCHED],
    )
    return found.fetchall()


def refused(connection: psycopg.Connection) -> list[str]:
    found = connection.execute(
        "SELECT locator ->> 'refused' FROM rederive.units WHERE locator ? 'refused' ORDER BY capture_id, unit"
    )
    return [text for (text,) in found]


def idle(connection: psycopg.Connection, count: int) -> Callable[[], bool]:
    """So many files are taken, and no run is under way."""
    return lambda: len(taken(connection)) == count and not runs(connection, "running")


def shown(connection: psycopg.Connection) -> dict[str, list[str]]:
    """What is shown as latest of each table, without what is a capture's own."""
    found = {}
    for name in TABLES:
        rows = connection.execute(f"SELECT (to_jsonb(t) - %s::text[])::text FROM {name}_latest t", [sorted(OWN)])
        found[name] = sorted(text for (text,) in rows)
    return found


@pytest.mark.services
def test_what_is_dropped_is_taken_as_a_replay_of_the_folder_takes_it(
    inbox: Path, connection: psycopg.Connection, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for week in WEEKS[:3]:
        drop(inbox, week)
    (inbox / ".hidden.csv").write_bytes(file(WEEKS[7])[1])
    (inbox / "notes.txt").write_text("no weekly file")
    with living(database_url):
        until(idle(connection, 3), LONG, "what was there before isn't taken")
        assert len(runs(connection)) == 1, "files that are there together are one run"

        slow, content = file(WEEKS[3])
        with (inbox / slow).open("wb", buffering=0) as coming:
            for part in range(0, len(content), len(content) // 6):
                coming.write(content[part : part + len(content) // 6])
                time.sleep(SETTLE / 3)
        until(idle(connection, 4), LONG, "what was written slowly isn't taken")

        (inbox / "broken_20250203.csv").write_text("neither|columns|nor|tier\n1|2|3|4\n")
        (inbox / "finra_otc_weekly_atsb_20250203.csv").write_bytes(b"\xff\xfe no text")
        drop(inbox, WEEKS[4], "ATS", edition=1).rename(inbox / "week_2025-01-31_ats_b.psv")
        drop(inbox, WEEKS[4], "ATS").rename(inbox / "week_2025-01-31_ats_a.psv")
        drop(inbox, WEEKS[4])
        until(lambda: len(refused(connection)) == 4, LONG, "unusable files aren't noted")
        until(idle(connection, 5), LONG, "unusable files hold another one back")
        said = "\n".join(refused(connection))
        assert "the name 'broken_20250203.csv' says no tier" in said
        assert "it is no UTF-8 text" in said
        assert "week_2025-01-31_ats_a.psv and week_2025-01-31_ats_b.psv came at once" in said

        drop(inbox, WEEKS[1], edition=1)
        until(idle(connection, 6), LONG, "a restated week isn't taken")
    for text in refused(connection):
        assert sum(record.levelno == logging.ERROR and text in record.getMessage() for record in caplog.records) <= 2

    # Down: a week comes, another is restated, and of the two that came at once one is taken away.
    drop(inbox, WEEKS[5])
    drop(inbox, WEEKS[0], edition=2)
    (inbox / "week_2025-01-31_ats_b.psv").unlink()
    with living(database_url):
        until(idle(connection, 9), LONG, "what came meanwhile isn't taken")
        drop(inbox, WEEKS[1], edition=0)
        until(idle(connection, 10), LONG, "a week that is restated as it was isn't taken")
    assert {state for _, state in taken(connection)} == {"applied"}
    count = len(runs(connection))
    with living(database_url):
        drop(inbox, WEEKS[6])
        until(idle(connection, 11), LONG, "a week isn't taken")
    assert len(runs(connection)) == count + 1, "a restart takes nothing twice, and says nothing twice"
    assert len(refused(connection)) == 4

    live = shown(connection)
    assert all(live.values())
    for run in reversed(runs(connection)):
        assert list(captures.rollback(connection, run)) is not None
    assert not any(shown(connection).values())
    done(connection, asked(inbox))
    assert shown(connection) == live


@pytest.mark.services
def test_a_run_that_was_stopped_is_resumed_and_what_is_taken_back_stays_away(
    inbox: Path, connection: psycopg.Connection, database_url: str
) -> None:
    for week in WEEKS:
        drop(inbox, week)
    with living(database_url) as first:
        run = until(lambda: runs(connection, "running"), LONG, "no run begins")[0]
        until(
            lambda: connection.execute(
                "SELECT 1 FROM rederive.units WHERE capture_id = %s AND state = 'applied'", [run]
            ).fetchone(),
            LONG, "nothing is applied",
        )  # fmt: skip
        first.stop.set()
    assert runs(connection, "running") == [run]
    drop(inbox, WEEKS[0], "ATS")
    with living(database_url):
        until(idle(connection, 9), LONG, "it isn't resumed")
        assert runs(connection)[0] == run
        assert {state for _, state in taken(connection)} == {"applied"}
        assert list(captures.rollback(connection, run))
        drop(inbox, WEEKS[1], "ATS")
        until(idle(connection, 10), LONG, "nothing is taken after a rollback")
    assert len(runs(connection)) == 3, "what a person has taken back isn't taken again"


@pytest.mark.services
def test_somebody_elses_run_and_files_given_up(
    inbox: Path, connection: psycopg.Connection, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A sender may date it as it likes: what comes afterwards has come afterwards.
    os.utime(drop(inbox, WEEKS[0]), (2e9, 2e9))
    asked_at = datetime.now(UTC)
    with living(database_url, from_now=asked_at):
        until(lambda: runs(connection, "complete"), LONG, "what is given up isn't noted")
        drop(inbox, WEEKS[1])
        until(idle(connection, 1), LONG, "what comes from now on isn't taken")
    drop(inbox, WEEKS[6])
    with living(database_url, from_now=asked_at):
        until(idle(connection, 2), LONG, "begun again it gives up once more")
    with living(database_url):
        other = tmp_path / "other"
        other.mkdir()
        drop(other, WEEKS[2])
        assert done(connection, asked(other)).ranges()
        drop(inbox, WEEKS[2])
        drop(inbox, WEEKS[3])
        until(idle(connection, 3), LONG, "what comes beside another run isn't taken")
        gone = drop(inbox, WEEKS[4])
        gone.unlink()
        drop(inbox, WEEKS[5])
        until(idle(connection, 4), LONG, "a file that is gone holds another one back")
        assert [name for name, _ in taken(connection)] == [file(WEEKS[n])[0] for n in (1, 6, 3, 5)]
        assert refused(connection) == []

        other.joinpath("week_2025-01-03_ats_b.psv").write_bytes(file(WEEKS[0], "ATS")[1])
        other.joinpath("week_2025-01-03_ats_a.psv").write_bytes(file(WEEKS[0], "ATS", edition=1)[1])
        for path in other.glob("*_ats_*"):
            path.rename(inbox / path.name)
        until(lambda: len(refused(connection)) == 2 and not runs(connection, "running"), LONG, "two came at once")
        assert done(connection, asked(inbox / "week_2025-01-03_ats_b.psv")).ranges()
        (inbox / "week_2025-01-03_ats_b.psv").unlink()

        inbox.rename(tmp_path / "away")
        until(lambda: "can't be read" in caplog.text, LONG, "a folder that is away isn't said")
        (tmp_path / "away").rename(inbox)
        drop(inbox, WEEKS[6])
        until(idle(connection, 4), LONG, "nothing is taken after a person has decided")
    assert len(refused(connection)) == 2
    assert len(taken(connection)) == 4, "the other of two is left alone once a person has taken one"


def settled(inbox: Inbox, *names: str) -> None:
    def found() -> bool:
        inbox.wait()
        return sorted(path.name for path in inbox.files()) == sorted(names)

    until(found, 20, f"not just {names}")


def test_complete_files(tmp_path: Path) -> None:
    folder = tmp_path / "weekly"
    folder.mkdir()
    for name in ("a.csv", "b.PSV.gz", ".c.csv", "d.csv.part", "e.csv.tmp", "f.txt"):
        (folder / name).write_text("x")
    (folder / "sub.csv").mkdir()
    (folder / "link.csv").symlink_to("nowhere")
    with closing(Inbox(folder, 0.3, threading.Event())) as inbox:
        assert inbox.files() == {}
        settled(inbox, "a.csv", "b.PSV.gz", "sub.csv", "link.csv")
        before = inbox.files()
        (folder / "a.csv").write_text("y")
        assert not {folder / "a.csv"} & inbox.files().keys()
        settled(inbox, "a.csv", "b.PSV.gz", "sub.csv", "link.csv")
        assert inbox.files()[folder / "a.csv"] != before[folder / "a.csv"]
        # Another folder of the same name is watched then.
        folder.rename(tmp_path / "old")
        with pytest.raises(Away, match="can't be read"):
            inbox.files()
        folder.mkdir()
        settled(inbox)
        (folder / "z.csv").write_text("z")
        settled(inbox, "z.csv")


def test_a_folder_that_cant_be_watched_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(*_: Any, **__: Any) -> Iterator[object]:
        raise OSError(28, os.strerror(28))
        yield

    monkeypatch.setattr("watchfiles.watch", none_left)
    with closing(Inbox(tmp_path, 0.1, threading.Event())) as inbox:
        settled(inbox)
        (tmp_path / "a.csv").write_text("x")
        settled(inbox, "a.csv")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_file_has_arrived_when_it_came_not_when_its_sender_says(tmp_path: Path) -> None:
    before = time.time_ns() - 10**9
    path = drop(tmp_path, WEEKS[0])
    for dated in (2e9, 1e9):
        os.utime(path, (dated, dated))
        seen = watched.look(path)
        assert seen is not None
        assert before < seen.changed == watched.latest(tmp_path) < time.time_ns() + 10**9


def test_a_folder_whose_files_are_given_up_must_be_readable(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=f"can't be read: {tmp_path}/gone") as caught:
        watched.latest(tmp_path / "gone")
    assert caught.value.why == os.strerror(2)
    assert "--from-now again" in caught.value.mend


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FINRA_FOLDER", raising=False)
    with pytest.raises(Failed) as caught:
        FinraSettings()
    assert "FINRA_FOLDER is not set" in str(caught.value)
    assert "set FINRA_FOLDER" in caught.value.mend
    monkeypatch.setenv("FINRA_FOLDER", str(tmp_path / "none"))
    assert FinraSettings().settle_seconds == 2
    with pytest.raises(Failed, match="none"):
        FinraSettings().existing()
    monkeypatch.setenv("FINRA_FOLDER", str(tmp_path))
    assert FinraSettings().existing() == tmp_path
    monkeypatch.setenv("FINRA_SETTLE_SECONDS", "soon")
    with pytest.raises(UsageError) as wrong:
        FinraSettings()
    assert "FINRA_SETTLE_SECONDS" in wrong.value.why
