import base64
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any, get_args

import httpx2
import orjson
import pytest

from producers.racing.api import AccessRefused, DayAnswer, DayFailed, RacingApi
from producers.racing.settings import RacingSettings
from producers.rate_limit import StoppedError
from samples.racing.api import StandIn
from samples.racing.faults import Fault, Kind

DAY, BUSY_DAY, CHRISTMAS, BEFORE_CARDS = date(2025, 10, 14), date(2024, 12, 26), date(2024, 12, 25), date(2022, 3, 5)
REGIONS = ("gb", "ire")
PASSWORD = "open-sesame"

Handler = Callable[[httpx2.Request], httpx2.Response]


class Turns:
    """A limit that only counts."""

    def __init__(self) -> None:
        self.taken = 0

    def acquire(self, stopping: threading.Event) -> None:
        if stopping.is_set():
            raise StoppedError
        self.taken += 1


class Waits(threading.Event):
    """An event that is never set and notes how long it was waited for, without waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        return False


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn(username="alice", password=PASSWORD, today=date(2026, 1, 1)) as running:
        yield running


@pytest.fixture
def standin(server: StandIn) -> Iterator[StandIn]:
    yield server
    server.faults.clear()


def client(standin: StandIn, **options: Any) -> RacingApi:
    settings = RacingSettings(
        username="alice", password=PASSWORD, base_url=standin.base_url, timeout=options.pop("timeout", 10)
    )
    return RacingApi(settings, options.pop("limit", Turns()), **{"first_wait_seconds": 0.01, **options})


def scripted(handler: Handler, **options: Any) -> RacingApi:
    """A client whose answers are made here."""
    settings = RacingSettings(username="alice", password=PASSWORD, max_retries=options.pop("max_retries", 5))
    return RacingApi(settings, Turns(), transport=httpx2.MockTransport(handler), **options)


def races(answer: DayAnswer | None, key: str) -> list[dict[str, Any]]:
    assert answer is not None
    return [race for page in answer.pages for race in orjson.loads(page)[key]]


def test_the_cards_of_a_day(standin: StandIn) -> None:
    before = datetime.now(UTC)
    with client(standin) as api:
        answer = api.racecards(DAY, REGIONS)
    expected = standin.day(DAY).cards(standin.shelf.today)
    assert answer is not None
    assert races(answer, "racecards") == expected
    assert answer.races == len(expected) > 0
    assert answer.runners == sum(len(race["runners"]) for race in expected) > 0
    assert before <= answer.fetched_at <= datetime.now(UTC)
    assert (api.requests, api.errors, api.retries) == (1, 0, 0)


def test_the_results_of_a_busy_day_come_in_pages(standin: StandIn) -> None:
    limit = Turns()
    with client(standin, limit=limit) as api:
        answer = api.results(BUSY_DAY, REGIONS)
    expected = standin.day(BUSY_DAY).results(standin.shelf.today)
    assert answer is not None
    assert len(expected) > 50
    assert races(answer, "results") == expected
    assert len(answer.pages) == api.requests == limit.taken == 2
    asked = [request.target for request in standin.asked(BUSY_DAY, "/results")]
    assert asked == [
        f"/results?start_date={BUSY_DAY}&end_date={BUSY_DAY}&region=gb&region=ire&limit=50&skip={skip}"
        for skip in (0, 50)
    ]


@pytest.mark.parametrize(("region", "spelled"), [("gb", "GB"), ("ire", "IRE")])
def test_regions_are_asked_for_by_either_name(standin: StandIn, region: str, spelled: str) -> None:
    with client(standin) as api:
        found = races(api.racecards(BUSY_DAY, [region]), "racecards") + races(
            api.results(BUSY_DAY, [region]), "results"
        )
    assert {race["region"] for race in found} == {spelled}


def test_an_empty_day_is_an_answer(standin: StandIn) -> None:
    with client(standin) as api:
        answer = api.racecards(BEFORE_CARDS, REGIONS)
    assert answer is not None
    assert (len(answer.pages), answer.races, answer.runners) == (1, 0, 0)


def test_no_data_is_none_and_no_error(standin: StandIn) -> None:
    with client(standin) as api:
        assert api.racecards(CHRISTMAS, REGIONS) is None
        assert api.results(CHRISTMAS, REGIONS) is None
        assert api.horse("hrs_0") is None
    assert (api.requests, api.errors, api.retries) == (4, 0, 0), "the first of them asks whether this is the API"


def test_an_address_where_no_api_is_says_nothing_of_a_day_nor_of_a_horse(standin: StandIn) -> None:
    settings = RacingSettings(
        username="alice", password=PASSWORD, base_url=standin.base_url.removesuffix("/v1"), timeout=10
    )
    asked: list[Callable[[RacingApi], object]] = [
        lambda api: api.results(DAY, REGIONS),
        lambda api: api.racecards(CHRISTMAS, REGIONS),
        lambda api: api.horse("hrs_1"),
    ]
    for ask in asked:
        with RacingApi(settings, Turns()) as api, pytest.raises(AccessRefused) as refused:
            ask(api)
        assert "RACING_API_BASE_URL" in refused.value.mend


def test_what_is_not_of_a_day(standin: StandIn) -> None:
    with client(standin) as api:
        courses, regions = orjson.loads(api.courses(REGIONS)), orjson.loads(api.regions())
        horse_id = races(api.results(DAY, REGIONS), "results")[0]["runners"][0]["horse_id"]
        horse = api.horse(horse_id)
    assert {course["region_code"] for course in courses["courses"]} == set(REGIONS)
    assert {"gb", "ire"} <= {region["region_code"] for region in regions}
    assert horse is not None
    assert orjson.loads(horse)["id"] == horse_id


def test_a_horse_id_stays_within_its_path() -> None:
    asked: list[bytes] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.raw_path)
        return httpx2.Response(404) if b"horses" in asked[-1] else httpx2.Response(200, content=b"[]")

    with scripted(handler) as api:
        assert api.horse("hrs_1/../../results?limit=1") is None
    assert asked == [b"/v1/horses/hrs_1%2F..%2F..%2Fresults%3Flimit%3D1/pro", b"/v1/courses/regions"]


def test_payloads_are_kept_byte_for_byte() -> None:
    body = '{ "total":1,\n"racecards" : [{"race_id":"rac_1","prize":"\\u00a34,193","name":"£","runners":[]}]}'.encode()
    with scripted(lambda _: httpx2.Response(200, content=body)) as api:
        answer = api.racecards(DAY, REGIONS)
    assert answer is not None
    assert answer.pages == (body,)


TRANSIENT = sorted(set(get_args(Kind)) - {"401", "403", "404", "422"})


@pytest.mark.parametrize("kind", TRANSIENT)
def test_what_passes_by_itself_is_tried_again(standin: StandIn, kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    standin.faults.add(Fault(kind, times=2))
    limit = Turns()
    with client(standin, limit=limit, timeout=0.5 if kind == "timeout" else 10) as api:
        answer = api.results(DAY, REGIONS)
    assert races(answer, "results") == standin.day(DAY).results(standin.shelf.today)
    assert (api.requests, api.errors, api.retries, limit.taken) == (3, 2, 2, 3)
    ours = [record for record in caplog.records if record.name == "producers.racing.api"]
    assert [record.levelname for record in ours] == ["WARNING", "WARNING"]
    assert all("GET /results?" in record.getMessage() for record in ours)


@pytest.mark.parametrize(
    "call", [lambda api: api.courses(REGIONS), lambda api: api.regions(), lambda api: api.horse("hrs_0")]
)
def test_answers_of_another_shape_are_tried_again(standin: StandIn, call: Callable[[RacingApi], bytes | None]) -> None:
    standin.faults.add(Fault("list"))
    with client(standin) as api:
        call(api)
    assert api.retries == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"results":null,"total":0}',
        b'{"results":{},"total":0}',
        b'{"results":[],"total":"many"}',
        b'{"results":[],"total":-1}',
        b'{"results":[],"total":true}',
        b'{"results":[NaN]}',
        b'{"results":["\xff"]}',
        b"[" * 5000,
    ],
)
def test_no_junk_is_taken_for_a_day(body: bytes) -> None:
    with scripted(lambda _: httpx2.Response(200, content=body), stopping=Waits()) as api, pytest.raises(DayFailed):
        api.results(DAY, REGIONS)
    assert api.requests == 6


def test_junk_among_races_is_for_the_processor() -> None:
    body = orjson.dumps({"results": [None, {"race_id": 7, "runners": "?"}, {}, {"runners": [None]}], "total": 4})
    with scripted(lambda _: httpx2.Response(200, content=body)) as api:
        answer = api.results(DAY, REGIONS)
    assert answer is not None
    assert (answer.races, answer.runners) == (4, 1)


def test_five_retries_after_doubling_waits_then_the_day_fails() -> None:
    waits = Waits()
    with scripted(lambda _: httpx2.Response(503), stopping=waits) as api, pytest.raises(DayFailed) as caught:
        api.racecards(DAY, REGIONS)
    assert waits.seconds == [2, 4, 8, 16, 32]
    assert (api.requests, api.errors, api.retries) == (6, 6, 5)
    assert caught.value.status == 503
    assert "6 times" in str(caught.value)
    assert "503" in str(caught.value)
    assert DAY.isoformat() in str(caught.value)


def test_retries_are_as_many_as_set() -> None:
    with (
        scripted(lambda _: httpx2.Response(500), stopping=Waits(), max_retries=0) as api,
        pytest.raises(DayFailed),
    ):
        api.regions()
    assert (api.requests, api.retries) == (1, 0)


def test_nobody_there_is_transient_too() -> None:
    settings = RacingSettings(username="alice", password=PASSWORD, base_url="http://127.0.0.1:1/v1")
    with RacingApi(settings, Turns(), stopping=Waits()) as api, pytest.raises(DayFailed) as caught:
        api.regions()
    assert api.requests == 6
    assert caught.value.status is None
    assert "ConnectError" in caught.value.why


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("7", (7, 7)),
        ("1", (2, 2)),
        ("0", (2, 2)),
        (None, (2, 2)),
        ("", (2, 2)),
        ("soon", (2, 2)),
        ("-5", (2, 2)),
        ("nan", (2, 2)),
        ("٣٠", (2, 2)),
        ("Wed, 99 Foo 2025 07:28:00 GMT", (2, 2)),
        (timedelta(hours=-1), (2, 2)),
        (timedelta(hours=1), (3300, 3600)),
        ("9" * 30, (1e6, threading.TIMEOUT_MAX)),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_longer_wait_wins(status: int, header: str | timedelta | None, expected: tuple[float, float]) -> None:
    if isinstance(header, timedelta):
        header = format_datetime(datetime.now(UTC) + header, usegmt=True)
    waits = Waits()
    encoded = [] if header is None else [(b"Retry-After", header.encode())]
    answers = iter([httpx2.Response(status, headers=encoded), httpx2.Response(200, content=b"[]")])
    with scripted(lambda _: next(answers), stopping=waits) as api:
        assert api.regions() == b"[]"
    (waited,) = waits.seconds
    assert expected[0] <= waited <= expected[1]


def test_retry_after_of_the_server_is_waited_for(standin: StandIn) -> None:
    standin.faults.add(Fault("429", retry_after=1))
    with client(standin) as api:
        started = time.monotonic()
        api.regions()
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("kind", ["401", "403"])
def test_a_refusal_of_the_user_stops_at_once(standin: StandIn, kind: Kind) -> None:
    standin.faults.add(Fault(kind))
    with client(standin) as api, pytest.raises(AccessRefused) as caught:
        api.results(DAY, REGIONS)
    assert (api.requests, api.errors, api.retries) == (1, 1, 0)
    assert kind in str(caught.value)
    assert "RACING_API_PASSWORD" in str(caught.value)


def test_a_wrong_password_is_refused(standin: StandIn) -> None:
    settings = RacingSettings(username="alice", password="wrong", base_url=standin.base_url)
    with RacingApi(settings, Turns()) as api, pytest.raises(AccessRefused):
        api.regions()
    assert api.requests == 1


def test_a_refusal_of_the_call_fails_this_day_only(standin: StandIn) -> None:
    with client(standin) as api:
        with pytest.raises(DayFailed) as caught:
            api.racecards(DAY, ["nowhere"])
        assert api.racecards(DAY, REGIONS) is not None
    assert caught.value.status == 422
    assert "region_codes" in caught.value.why
    assert (api.requests, api.errors, api.retries) == (2, 1, 0)


@pytest.mark.parametrize("path", ["/courses", "/courses/regions"])
def test_masters_that_are_not_found_are_no_masters(standin: StandIn, path: str) -> None:
    standin.faults.add(Fault("404", path=path))
    with client(standin) as api, pytest.raises(DayFailed, match="RACING_API_BASE_URL"):
        api.regions() if path.endswith("regions") else api.courses(REGIONS)


@pytest.mark.parametrize("status", [401, 403, 418, 301])
def test_credentials_are_never_told(status: int, caplog: pytest.LogCaptureFixture) -> None:
    token = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()

    def echo(request: httpx2.Request) -> httpx2.Response:
        if caplog.records:
            return httpx2.Response(
                status, text=f"bad\n headers {request.headers['Authorization']} {PASSWORD}" + "!" * 999
            )
        logging.getLogger("tests").warning("the first")
        return httpx2.Response(500)

    caplog.set_level(logging.DEBUG)
    with scripted(echo, first_wait_seconds=0.01) as api, pytest.raises((AccessRefused, DayFailed)) as caught:
        api.results(DAY, REGIONS)
    text = str(caught.value) + caplog.text + repr(api)
    assert "bad headers" in text
    assert "!" * 300 not in text
    assert "503" in text or "500" in text
    assert PASSWORD not in text
    assert token not in text


def page(ids: list[int], total: int | None) -> httpx2.Response:
    return httpx2.Response(
        200, json={"results": [{"race_id": f"rac_{one}", "runners": [{}]} for one in ids], "total": total}
    )


def told(*answers: httpx2.Response) -> Handler:
    """The answers in turn; the last one for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


NO_PAGE = httpx2.Response(404)


@pytest.mark.parametrize(
    "changed",
    [
        [page([*range(50)], 60), page([*range(50, 61)], 61)],
        [page([*range(50)], 60), page([*range(49, 59)], 60)],
        [page([*range(50)], 60), page([*range(50, 55)], 60)],
        [page([*range(50)], 60), NO_PAGE],
        [page([*range(40)], 60)],
    ],
    ids=["another total", "a race twice", "fewer than the total", "the second page is gone", "a short first page"],
)
def test_a_day_that_changes_while_it_is_read_is_read_again(changed: list[httpx2.Response]) -> None:
    handler = told(*changed, page([*range(50)], 61), page([*range(50, 61)], 61))
    with scripted(handler) as api:
        answer = api.results(DAY, REGIONS)
    assert answer is not None
    assert [race["race_id"] for race in races(answer, "results")] == [f"rac_{one}" for one in range(61)]
    assert (answer.races, answer.runners) == (61, 61)
    assert api.requests == len(changed) + 2


def test_a_day_that_never_holds_still_fails() -> None:
    with scripted(told(page([*range(50)], 60))) as api, pytest.raises(DayFailed, match="rac_0 came on two pages"):
        api.results(DAY, REGIONS)
    assert api.requests == 6


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100])
@pytest.mark.parametrize("says_total", [True, False])
def test_pages_end_where_the_races_do(count: int, says_total: bool) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        skip = int(request.url.params["skip"])
        return page([*range(skip, min(count, skip + 50))], count if says_total else None)

    with scripted(handler) as api:
        answer = api.results(DAY, REGIONS)
    assert answer is not None
    assert answer.races == count
    assert len(answer.pages) == (max(1, -(-count // 50)) if says_total else count // 50 + 1)


def test_a_day_was_fetched_when_its_first_page_was_asked_for() -> None:
    asked: list[datetime] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(datetime.now(UTC))
        if len(asked) == 1:
            return httpx2.Response(500)
        skip = int(request.url.params["skip"])
        return page([*range(skip, min(60, skip + 50))], 60)

    with scripted(handler, first_wait_seconds=0.02) as api:
        answer = api.results(DAY, REGIONS)
    assert answer is not None
    assert asked[0] < answer.fetched_at <= asked[1]


def test_a_stop_ends_a_wait_at_once() -> None:
    stopping = threading.Event()

    def handler(_: httpx2.Request) -> httpx2.Response:
        threading.Timer(0.1, stopping.set).start()
        return httpx2.Response(500)

    with scripted(handler, stopping=stopping, first_wait_seconds=60) as api:
        started = time.monotonic()
        with pytest.raises(StoppedError):
            api.regions()
    assert time.monotonic() - started < 10
    assert (api.requests, api.retries) == (1, 0)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Of a shell's background job Ctrl+C is ignored from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_ends_a_wait_at_once() -> None:
    def handler(_: httpx2.Request) -> httpx2.Response:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        return httpx2.Response(500)

    with scripted(handler, first_wait_seconds=60) as api:
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            api.regions()
    assert time.monotonic() - started < 10
    assert api.requests == 1


def test_threads_share_a_client(standin: StandIn) -> None:
    standin.faults.add(Fault("500", times=5))
    days = [DAY + timedelta(days=after) for after in range(20)]
    with client(standin) as api, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda day: api.results(day, REGIONS), days))
    expected = [len(standin.day(day).results(standin.shelf.today)) for day in days]
    assert [answer.races if answer else 0 for answer in answers] == expected
    assert (api.errors, api.retries) == (5, 5)
