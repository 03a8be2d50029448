"""Who is notified, of what, how often; and that a notifier that fails disturbs nothing."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from rederive.__main__ import run
from rederive.alarms import Alarms, Letters, NoticesOfLive
from rederive.notices import NoticesOfRun, told_unless_begun
from rederive.settings import Settings
from rederive.troubles import Trouble
from schemas.capture import Capture, CaptureState, Progress
from schemas.errors import Failed
from schemas.table import Mode
from tests.receiver import Receiver, receiving

CAPTURE = Capture("betfair-20261121-2", 2, "betfair", "table", Mode.FILL, False, 1, (), CaptureState.RUNNING)
BEGUN = Progress(8, 2, 0, 6, 975, 250, 0, 0, 0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def settings(folder: Path, *addresses: str, **said: object) -> Settings:
    return Settings(home=folder / "home", notify=SecretStr(" ".join(addresses)), **said)


def test_a_run_that_stands_still_loses_units_and_fails_is_told_once_each(tmp_path: Path, receiver: Receiver) -> None:
    now = 0.0
    notices = NoticesOfRun(settings(tmp_path, receiver.address, notify_dead_letters=1), CAPTURE, lambda: now)

    def work() -> None:
        nonlocal now
        notices.begins(BEGUN)
        listener = notices.listening(lambda _: None)
        for seconds in (0, 100, 130, 1000):
            now = seconds
            listener(BEGUN)
        for dead in (1, 2, 3):
            listener(replace(BEGUN, units_done=2 + dead, units_dead=dead))
        raise Failed("no unit has been finished", why="the broker is away")

    with pytest.raises(Failed), notices:
        work()
    what = [title.removeprefix("Rederive: betfair-20261121-2 ") for title in receiver.titles()]
    assert what == ["begins (fill)", "doesn't get on", "gets on again", "has dead letters", "has failed"]
    begins, still, *_, failed = [text for _, text in receiver.told]
    assert "6 units to apply, of 8 with 975 rows" in begins
    assert "for 130 s" in still
    assert "why: the broker is away" in failed
    assert "do: rederive captures resume betfair-20261121-2" in failed


def test_a_dry_run_tells_nothing(tmp_path: Path, receiver: Receiver) -> None:
    with NoticesOfRun(settings(tmp_path, receiver.address), replace(CAPTURE, dry_run=True)) as notices:
        notices.listening(lambda _: None)(BEGUN)
        notices.ended(BEGUN, [])
    assert receiver.told == []


def test_a_notifier_that_fails_disturbs_nothing_and_keeps_its_secret(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    begun = time.monotonic()
    with NoticesOfRun(settings(tmp_path, "json://me:hunter2@127.0.0.1:1", receiver.address), CAPTURE) as notices:
        notices.begins(BEGUN)
        notices.ended(BEGUN, [])
        assert time.monotonic() - begun < 3
    assert len(receiver.told) == 2
    with NoticesOfRun(settings(tmp_path, "nonsense://me:hunter2@there"), CAPTURE) as notices:
        notices.begins(BEGUN)
    ours = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert sum("address 1 of the setting notify (JSON) can't be told" in one for one in ours) == 1
    assert sum("nobody is notified: address 1" in one for one in ours) == 1
    assert "hunter2" not in caplog.text


def test_a_trouble_is_told_when_it_appears_and_when_it_is_over() -> None:
    alarms = Alarms()

    def stuck(seconds: int) -> Trouble:
        return Trouble("betfair", f"nothing for {seconds} s", "restart it", "stuck betfair.log")

    assert [one.title for one in alarms.look([stuck(60)], 0)] == ["Rederive: trouble with betfair"]
    # Other figures, and a moment without it, are no news.
    assert alarms.look([stuck(70)], 10) == []
    assert alarms.look([], 20) == []
    assert alarms.look([stuck(90)], 30) == []
    other = Trouble("", "Kafka is away", "", "service kafka")
    assert [one.title for one in alarms.look([other], 61)] == [
        "Rederive: trouble",
        "Rederive: trouble with betfair is over",
    ]
    assert [one.kind for one in alarms.look([stuck(60), other], 70)] == ["warning"]


def test_that_live_ends_the_same_way_over_and_over_is_told_once(tmp_path: Path, receiver: Receiver) -> None:
    for why in ("Kafka is away", "Kafka is away", "the database is away"):
        with pytest.raises(Failed), NoticesOfLive(settings(tmp_path, receiver.address), ["betfair"], list):
            raise Failed(why)
    assert [text.splitlines()[0] for _, text in receiver.told] == ["Kafka is away", "the database is away"]


def test_a_run_that_cannot_begin_is_told_unless_it_is_dry(tmp_path: Path, receiver: Receiver) -> None:
    for dry_run in (True, False):
        with (
            pytest.raises(Failed),
            told_unless_begun(settings(tmp_path, receiver.address), "betfair", dry_run=dry_run),
        ):
            raise Failed("Kafka doesn't answer", mend="start it")
    ((title, text),) = receiver.told
    assert title == "Rederive: a run of betfair can't begin"
    assert "do:  start it" in text


def test_dead_letters_are_told_over_the_limit_and_seldom() -> None:
    letters = Letters(allowed=5)
    counts = [(100, 0), (105, 10), (106, 20), (900, 30), (900, 630), (901, 1300), (3, 1400), (9, 2000)]
    told = [[one.text.splitlines()[0] for one in letters.look({"betfair": count}, now)] for count, now in counts]
    assert told == [
        [], [], ["6 records more can't be derived, 106 in all"], [],
        ["794 records more can't be derived, 900 in all"], [], [], ["6 records more can't be derived, 9 in all"],
    ]  # fmt: skip


def test_the_command_says_who_can_be_told(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(addresses: str) -> tuple[int, str, str]:
        monkeypatch.setenv("REDERIVE_NOTIFY", addresses)
        return (run(["notify", "test"]), *capsys.readouterr())

    code, out, _ = said(f"{receiver.address} json://me:hunter2@127.0.0.1:1")
    assert (code, out.splitlines()) == (1, ["address 1 (JSON): told", "address 2 (JSON): not told"])
    assert receiver.titles() == ["Rederive: a test"]
    code, _, error = said("nonsense://me:hunter2@there")
    assert code == 2
    assert error.startswith("address 1 of the setting notify is none that can be told")
    assert "hunter2" not in error
    code, _, error = said("somewhere")
    assert code == 2
    assert "REDERIVE_NOTIFY: addresses such as" in error
    code, _, error = said("")
    assert code == 2
    assert "set REDERIVE_NOTIFY" in error


def test_addresses_are_checked_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDERIVE_NOTIFY", raising=False)
    (tmp_path / "rederive.toml").write_text('notify = ["json://me:hunter2@a", "mailto://b:hunter2@c"]')
    found = Settings()
    assert found.notify is not None
    assert found.notify.get_secret_value().split() == ["json://me:hunter2@a", "mailto://b:hunter2@c"]
    assert "hunter2" not in repr(found)
