"""Racing live: what the API says anew comes to the logs once, whatever fails, by a clock that the tests move."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import psycopg
import pytest

from producers.live import Arriving
from producers.racing import fetch
from producers.racing.api import AccessRefused, RacingApi
from producers.racing.live import LiveDays
from producers.racing.settings import RacingSettings
from producers.rate_limit import RateLimit
from producers.records import Records
from producers.sender import Sender
from producers.source import Services
from producers.topics import ensure_topics
from rederive.database import connect
from rederive.settings import Settings
from rederive.workers import Workers
from samples.racing.api import StandIn
from samples.racing.faults import Fault
from schemas.errors import Away, Failed
from schemas.lane import Lane, LaneName
from schemas.racing.tables import RACING
from schemas.unit import Delivered
from schemas.wire import decode_raw
from tests.program import rederive
from tests.racing.rows import served, stored
from tests.wait import until

DAY = date(2024, 5, 19)
NEXT = DAY + timedelta(days=1)

pytestmark = pytest.mark.services


def at(hour: int, minute: int = 0, day: date = DAY) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Sent(NamedTuple):
    """A record of a log: which answer it is, where it stands, when it was fetched, how many races it has."""

    name: str
    place: tuple[int, int]
    observed: datetime
    races: int
    headers: dict[str, Any]


class Rig:
    """A live producer, the stand-in, the logs, and the clock of all of them."""

    def __init__(self, settings: Settings, connection: psycopg.Connection, api: StandIn) -> None:
        self.settings, self.connection, self.api = settings, connection, api
        self.clock = Clock(at(5))
        self.stop = threading.Event()
        self.moved = 0
        for name in RACING.kept:
            ensure_topics(settings.kafka_config(), Lane("racing", name, settings.topic_prefix), 2)
        self._live: LiveDays | None = None
        self._seen: dict[tuple[LaneName, int, int], Sent] = {}

    @property
    def connect(self) -> Callable[[], psycopg.Connection]:
        assert self.settings.database_url is not None
        return partial(connect, self.settings.database_url.get_secret_value(), application="tests")

    @property
    def live(self) -> LiveDays:
        if self._live is None:
            self.restart()
        assert self._live is not None
        return self._live

    def restart(self, *, from_now: bool = False) -> None:
        self.close()
        services = Services(self.connection, self.connect, self.settings.kafka_config(), self.settings.topic_prefix)
        self._live = LiveDays(
            RACING, services, Arriving(self.stop, self.clock() if from_now else None, self._move), clock=self.clock
        )

    def _move(self) -> None:
        self.moved += 1

    def close(self) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None

    def come(self, moment: datetime | None = None) -> list[str]:
        """Let time come to a moment, step until nothing is due, and say what that brought to the log, by name."""
        before = {one.place for one in self.sent()}
        self.clock.now = moment or self.clock.now
        self.api.put(self.api.day(self.clock.now.date()).at(self.clock.now))
        self.settle()
        return sorted(one.name for one in self.sent() if one.place not in before)

    def settle(self) -> float:
        """Step until nothing is due; the wait that the last step said."""
        for _ in range(200):
            if wait := self.live.step():
                return wait
        raise AssertionError("something is always due")

    def sent(self, lane: LaneName = LaneName.LOG) -> list[Sent]:
        """The records of a log in the order of their fetch."""
        topic = Lane("racing", lane, self.settings.topic_prefix).raw
        with closing(Records(self.settings.kafka_config(), topic)) as records:
            for partition in records.partitions():
                for offset in range(*records.watermarks(partition)):
                    if (lane, partition, offset) not in self._seen:
                        self._seen[lane, partition, offset] = _sent(records, partition, offset)
        return sorted((one for at, one in self._seen.items() if at[0] is lane), key=lambda one: one.observed)

    def asked(self) -> int:
        return len(self.api.requests)


def _sent(records: Records, partition: int, offset: int) -> Sent:
    message = records.at(partition, offset)
    assert message is not None
    said = decode_raw(message.headers(), "racing")  # type: ignore[arg-type]
    races = sum(_count(line) for line in (message.value() or b"").splitlines())
    moment = datetime.fromisoformat(said.observed)
    return Sent(said.key_range, (partition, offset), moment, races, dict(message.headers() or []))


def _count(line: bytes) -> int:
    payload = orjson.loads(line)["payload"] or {}
    return len(payload.get("racecards", payload.get("results", [])))


@pytest.fixture
def rig(
    settings: Settings, database: psycopg.Connection, api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rig]:
    monkeypatch.setenv("RACING_API_MAX_RETRIES", "0")
    # What the pace is has a test of its own.
    monkeypatch.setattr(fetch, "RateLimit", partial(RateLimit, gap_seconds=0.01))
    made = Rig(settings, database, api)
    yield made
    made.close()


KINDS = {"racecards", "results"}


def check_settled(rig: Rig, day: date, kinds: set[str]) -> None:
    """Nothing is left to ask for of just these kinds of a day."""
    words = ("gaps", "racing", "--from", str(day), "--to", str(day), "--json")
    gaps = orjson.loads(rederive(rig.settings, *words, code=int(kinds != KINDS)).stdout)
    assert KINDS - {gap["part"] for gap in gaps} == kinds


def test_a_day_s_results_come_as_the_races_are_over_each_answer_once(rig: Rig) -> None:
    assert rig.come(at(5)) == [f"{DAY}/racecards", f"{NEXT}/racecards"]
    assert rig.come(at(5, 29)) == []
    asked = rig.asked()
    assert rig.come(at(6)) == []
    assert rig.asked() == asked + 2, "the cards were asked for again and are the same"
    offs = sorted(datetime.fromisoformat(race.starts_at).astimezone(UTC) for race in rig.api.day(DAY).races)
    asked = rig.asked()
    assert rig.come(offs[0] - timedelta(minutes=1)) == []
    assert rig.asked() - asked <= 2, "no results are asked for before the first race, cards may be"

    assert rig.come(offs[0] + timedelta(minutes=6)) == [f"{DAY}/results"], "nobody has said yet that there are none"
    asked = rig.asked()
    assert rig.come() == []
    assert rig.asked() == asked
    middle = offs[len(offs) // 2]
    for moment in (middle, middle + timedelta(minutes=45), offs[-1] + timedelta(minutes=11)):
        assert f"{DAY}/results" in rig.come(moment)
        assert rig.come(moment + timedelta(seconds=30)) == []
    counts = [one.races for one in rig.sent() if one.name == f"{DAY}/results"]
    assert counts == sorted(set(counts))
    assert (counts[0], counts[-1]) == (0, len(offs))

    night = at(23)
    rig.come(night)
    asked = rig.asked()
    for minutes in range(5, 50, 5):
        assert rig.come(night + timedelta(minutes=minutes)) == []
    assert rig.asked() == asked, "no race is left"


def test_records_are_those_of_no_run_and_a_day_s_stand_together(rig: Rig) -> None:
    rig.come(at(20))
    sent = rig.sent()
    assert {one.name for one in sent} == {f"{DAY}/racecards", f"{DAY}/results", f"{NEXT}/racecards"}
    for one in sent:
        names = {"rederive-format", "rederive-kind", "rederive-range", "rederive-observed"}
        assert set(one.headers) == names
        assert one.headers["rederive-kind"] == f"racing.{one.name.partition('/')[2]}".encode()
        assert one.observed == rig.clock.now
    assert len({one.place[0] for one in sent if one.name.startswith(str(DAY))}) == 1
    indexed = rig.connection.execute(
        "SELECT kind, date, regions, races, capture_id FROM rederive.racing_records ORDER BY date, kind"
    ).fetchall()
    assert [(row[0], row[1], row[2], row[4]) for row in indexed] == [
        (kind, day, ["gb", "ire"], None)
        for day, kind in ((DAY, "racecards"), (DAY, "results"), (NEXT, "racecards"))
    ]  # fmt: skip
    assert [row[3] for row in indexed] == [one.races for one in sorted(sent, key=lambda one: (one.name, one.races))]
    assert rig.moved


def test_a_day_that_is_over_is_settled_without_a_record_and_an_amended_result_comes(rig: Rig) -> None:
    rig.come(at(22))
    check_settled(rig, DAY, set())
    assert rig.come(at(0, 20, NEXT)) == [f"{NEXT + timedelta(days=1)}/racecards"], "yesterday says nothing new"
    check_settled(rig, DAY, KINDS)

    asked = len(rig.api.asked(DAY))
    rig.come(at(6, 44, NEXT))
    assert len(rig.api.asked(DAY)) == asked
    rig.come(at(6, 46, NEXT))
    assert [request.path for request in rig.api.asked(DAY)[asked:]] == ["/results"]
    rig.api.put(rig.api.day(DAY).swapped())
    assert rig.come(at(6, 47, NEXT)) == [], "once a day"
    later = NEXT + timedelta(days=1)
    assert f"{DAY}/results" in rig.come(at(6, 46, later))
    assert f"{DAY}/results" not in rig.come(at(6, 46, later + timedelta(days=1)))


def test_a_restart_repeats_nothing(rig: Rig) -> None:
    rig.come(at(20))
    asked, sent = rig.asked(), len(rig.sent())
    rig.restart()
    assert rig.come() == []
    assert rig.asked() == asked

    # It died before it noted what it had delivered.
    rig.connection.execute("DELETE FROM rederive.racing_records")
    rig.restart()
    assert rig.come() == []
    assert rig.come(at(21, 31)) == []
    assert rig.asked() > asked
    assert len(rig.sent()) == sent


def test_what_is_delivered_without_an_answer_is_not_sent_twice(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = Sender.flush

    def unheard(sender: Sender, seconds: float) -> list[Delivered]:
        flush(sender, seconds)
        return []

    with monkeypatch.context() as patched:
        patched.setattr(Sender, "flush", unheard)
        with pytest.raises(Away, match="can't be delivered"):
            rig.come(at(5))
    assert [one.name for one in rig.sent()] == [f"{DAY}/racecards"]
    assert rig.come() == [f"{NEXT}/racecards"]


def test_a_key_that_is_refused_wants_a_person(rig: Rig) -> None:
    rig.come(at(5))
    rig.api.faults.add(Fault("401", times=None))
    with pytest.raises(AccessRefused) as caught:
        rig.come(at(9, 30))
    assert isinstance(caught.value, Failed)
    assert not isinstance(caught.value, Away)
    assert "standin" not in str(caught.value)


def test_missing_credentials_want_a_person(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RACING_API_PASSWORD")
    with pytest.raises(Failed, match="credentials of The Racing API are missing"):
        rig.restart()


@pytest.mark.parametrize("kind", ["503", "429", "cut-head", "broken"])
def test_an_outage_is_said_once_and_passes(kind: Any, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="producers")
    rig.api.faults.add(Fault(kind, times=None))
    assert rig.come(at(5)) == []
    asked = rig.asked()
    assert rig.come(at(5, 0) + timedelta(seconds=30)) == []
    assert rig.asked() == asked, "it is given a minute"
    for minute in range(2, 40):
        rig.come(at(5, minute))
    assert rig.asked() - asked < 20
    assert sum("doesn't answer as it should" in line for line in caplog.messages) == 1
    rig.api.faults.clear()
    assert set(rig.come(at(5, 50))) >= {f"{DAY}/racecards", f"{NEXT}/racecards"}
    assert caplog.messages.count("The Racing API answers again") == 1


def test_one_answer_that_fails_holds_no_other_up(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.api.faults.add(Fault("422", path="/racecards", date=str(DAY), times=None))
    rig.api.faults.add(Fault("500", path="/racecards", date=str(NEXT), times=None))
    assert rig.come(at(17)) == [f"{DAY}/results"]
    refused = len(rig.api.asked(DAY, "/racecards"))
    assert refused == 1
    for minute in range(5, 30, 5):
        rig.come(at(17, minute))
    assert len(rig.api.asked(DAY, "/racecards")) == 1, "refused: asked for again with its schedule"
    assert len(rig.api.asked(NEXT, "/racecards")) > 1
    assert len(rig.api.asked(DAY, "/results")) > 3
    rig.api.faults.clear()
    assert {f"{DAY}/racecards", f"{NEXT}/racecards"} <= set(rig.come(at(17, 40)))
    for status in ("422", "500"):
        assert sum(f"status {status}" in line for line in caplog.messages) == 1


def test_causes_of_days_that_are_over_are_forgotten(rig: Rig) -> None:
    rig.api.faults.add(Fault("422", path="/racecards", times=None))
    rig.come(at(5))
    assert {one.date for one in rig.live._said if one} == {DAY, NEXT}
    later = DAY + timedelta(days=30)
    rig.come(at(5, 0, later))
    said = {one.date for one in rig.live._said if one}
    # Days that are caught up with are looked at, too.
    assert {later, later + timedelta(days=1)} <= said
    assert not said & {DAY, NEXT}


def test_days_missed_are_caught_up_with_and_older_ones_named(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.come(at(22))
    rig.come(at(0, 20, NEXT))
    rig.close()

    later = DAY + timedelta(days=4)
    came = rig.come(at(4, 0, later))
    missed = [DAY + timedelta(days=1 + after) for after in range(3)]
    assert sorted(came) == sorted(
        [*(f"{day}/results" for day in missed), f"{missed[-1]}/racecards",
         f"{later}/racecards", f"{later + timedelta(days=1)}/racecards"]
    )  # fmt: skip
    for day in missed:
        check_settled(rig, day, KINDS)
    assert "were missed" not in caplog.text

    rig.close()
    monkeypatch.setenv("REDERIVE_RACING_LIVE_AMENDED_DAYS", "0")
    much_later = later + timedelta(days=20)
    came = rig.come(at(4, 0, much_later))
    assert len([name for name in came if name.endswith("/results")]) == 14
    first, last = later, much_later - timedelta(days=15)
    assert f"`rederive replay racing --from {first} --to {last} --skip-masters` fills them" in caplog.text


def test_from_now_gives_up_what_was_missed(rig: Rig) -> None:
    rig.come(at(22))
    rig.clock.now = at(4, 0, DAY + timedelta(days=3))
    rig.restart(from_now=True)
    assert [name for name in rig.come() if name.endswith("/results")] == []


def test_a_clock_that_jumps_makes_it_ask_no_more_than_ever(rig: Rig) -> None:
    rig.come(at(10))
    for moment in (at(10, 0, DAY + timedelta(days=40)), at(10, 1), at(9), at(10, 2), at(20)):
        asked = rig.asked()
        rig.come(moment)
        assert rig.asked() - asked < 40
        asked = rig.asked()
        assert rig.come() == []
        assert rig.asked() == asked


def test_details_of_horses_are_asked_for_where_they_are_wanted_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDERIVE_RACING_LIVE_REGIONS", "IRE")
    rig.come(at(5))
    assert rig.api.counts["/horses"] == 0
    assert not rig.sent(LaneName.DETAIL)
    monkeypatch.setenv("REDERIVE_RACING_LIVE_HORSES", "true")
    rig.restart()
    rig.clock.now = at(5, 1)
    horses = {
        runner["horse_id"]
        for day in (DAY, NEXT)
        for race in rig.api.day(day).cards(rig.api.shelf.today)
        if race["region"] == "IRE"
        for runner in race["runners"]
    }
    until(lambda: rig.live.step() > 0, 100, "the details don't come")
    details = rig.sent(LaneName.DETAIL)
    assert sorted(one.name for one in details) == sorted(f"{horse}/horse" for horse in horses)
    assert {one.headers["rederive-kind"] for one in details} == {b"racing.horse"}
    rig.restart()
    asked = rig.asked()
    rig.settle()
    assert rig.asked() == asked


def test_a_stop_does_not_wait_for_an_api_that_hangs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACING_API_TIMEOUT", "60")
    rig.api.faults.add(Fault("timeout", times=None))
    rig.live.step  # noqa: B018 - made before the thread
    stepping = threading.Thread(target=rig.live.step)
    stepping.start()
    until(lambda: rig.api.faults.fired, 30, "nothing is asked")
    moved = rig.moved
    until(lambda: rig.moved > moved + 2, 10, "it doesn't say that it gets on")
    rig.stop.set()
    stepping.join(10)
    assert not stepping.is_alive()


def test_the_rate_limit_is_shared_with_a_backfill(
    settings: Settings, database: psycopg.Connection, api: StandIn
) -> None:
    rig = Rig(settings, database, api)
    api.gap = 0.5
    own = RacingSettings()
    over = threading.Event()

    def backfill() -> None:
        limit = RateLimit(rig.connect, own.limit_name())
        with RacingApi(own, limit) as other:
            for after in range(6):
                other.results(DAY - timedelta(days=30 + after), ["gb", "ire"])
        limit.close()
        over.set()

    running = threading.Thread(target=backfill)
    running.start()
    try:
        for hour in (5, 10, 13, 18):
            rig.come(at(hour))
        assert over.wait(60)
    finally:
        running.join(60)
        rig.close()
    assert api.too_early == 0
    assert len(api.requests) >= 6 + 8


@contextmanager
def working(settings: Settings, log_file: Path) -> Iterator[Workers]:
    lane = Lane("racing", LaneName.LOG, settings.topic_prefix)
    with Workers(settings, lane, agents=1, sinks=1, log_file=log_file) as workers:
        yield workers


def test_what_comes_live_is_in_the_tables_under_the_day_s_capture(rig: Rig, tmp_path: Path) -> None:
    rig.come(at(14))
    with working(rig.settings, tmp_path / "live.log") as workers:
        rig.come(at(23))
        rig.come(at(0, 20, NEXT))
        expected = served(rig.api, [DAY])

        def there() -> bool:
            workers.check()
            races, runners = stored(rig.connection)
            if not (expected[0] <= races and expected[1] <= runners):
                return False
            counted = rig.connection.execute("SELECT count(*) FROM ra_races WHERE has_result AND date = %s", [DAY])
            return counted.fetchone() == (len(rig.api.day(DAY).result_races(rig.api.shelf.today)),)

        until(there, 90, "the rows don't come")
    captures = {row[0] for row in rig.connection.execute("SELECT DISTINCT capture_id FROM ra_races")}
    today = {f"racing-live-{day:%Y%m%d}-v{RACING.derivation_version}"
             for day in (datetime.now(UTC), datetime.now(UTC) - timedelta(days=1))}  # fmt: skip
    assert captures <= today
    assert captures
