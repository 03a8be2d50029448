"""The stand-in server, as a client of the Racing API sees it (racing spec, section 1)."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from samples.racing.api import PASSWORD, USER, StandIn
from samples.racing.days import racing_day
from tests.wait import until

TODAY = date(2025, 10, 19)
BUSY, SUMMER = date(2024, 3, 30), date(2024, 5, 18)


@pytest.fixture(scope="module")
def api() -> Iterator[StandIn]:
    with StandIn(today=TODAY) as running:
        yield running


@pytest.fixture(scope="module")
def client(api: StandIn) -> Iterator[httpx2.Client]:
    with connected(api) as connection:
        yield connection


def connected(api: StandIn, **more: Any) -> httpx2.Client:
    settings = {"auth": (USER, PASSWORD), "timeout": 20, "trust_env": False, **more}
    return httpx2.Client(base_url=api.base_url, **settings)


def results(day: date, **more: str | int | list[str]) -> dict[str, Any]:
    return {"start_date": str(day), "end_date": str(day), **more}


def test_the_courses_of_the_regions(client: httpx2.Client) -> None:
    answer = client.get("/courses", params={"region_codes": ["gb", "ire"]}).json()
    assert answer["total"] == len(answer["courses"]) > 40
    assert {course["region_code"] for course in answer["courses"]} == {"gb", "ire"}
    assert set(answer["courses"][0]) == {"id", "course", "region_code", "region"}
    everywhere = client.get("/courses").json()["courses"]
    assert {course["region_code"] for course in everywhere} == {"gb", "ire", "fr"}


def test_regions_are_a_bare_list(client: httpx2.Client) -> None:
    assert {"region": "Ireland", "region_code": "ire"} in client.get("/courses/regions").json()


def test_a_day_of_cards_fits_in_one_page(client: httpx2.Client) -> None:
    answer = client.get("/racecards/pro", params={"date": str(BUSY)}).json()
    assert answer["racecards"] == racing_day(BUSY).cards(TODAY)
    assert (answer["total"], answer["limit"], answer["skip"]) == (len(answer["racecards"]), 500, 0)


def test_a_day_of_results_comes_in_pages(client: httpx2.Client) -> None:
    found: list[Any] = []
    for skip in (0, 50):
        answer = client.get("/results", params=results(BUSY, limit=50, skip=skip)).json()
        assert (answer["limit"], answer["skip"]) == (50, skip)
        found += answer["results"]
    assert answer["total"] == len(found) > 50
    assert found == racing_day(BUSY).results(TODAY)
    assert client.get("/results", params=results(BUSY, skip=100)).json()["results"] == []
    assert len(client.get("/results", params=results(BUSY)).json()["results"]) == 25


def test_results_of_several_days_are_one_list(client: httpx2.Client) -> None:
    days = [SUMMER, SUMMER + timedelta(days=1)]
    params = {"start_date": str(days[0]), "end_date": str(days[1])}
    answer = client.get("/results", params=params).json()
    assert answer["total"] == sum(len(racing_day(day).results(TODAY)) for day in days)


def test_the_query_is_echoed(client: httpx2.Client) -> None:
    """Racing spec, section 13.2."""
    answer = client.get("/results", params=results(SUMMER, region=["gb", "ire"], limit=50)).json()
    assert answer["query"] == [
        ["limit", "50"],
        ["skip", "0"],
        ["start_date", str(SUMMER)],
        ["end_date", str(SUMMER)],
        ["region", "gb"],
        ["region", "ire"],
    ]


@pytest.mark.parametrize("regions", [["gb"], ["ire"], ["gb", "ire"]])
def test_races_of_regions(client: httpx2.Client, regions: list[str]) -> None:
    spelt = {code.upper() for code in regions}
    cards = client.get("/racecards/pro", params={"date": str(SUMMER), "region_codes": regions}).json()["racecards"]
    assert {card["region"] for card in cards} == spelt
    found = client.get("/results", params=results(SUMMER, region=regions)).json()
    assert {race["region"] for race in found["results"]} <= spelt
    assert 0 < found["total"] <= len(cards)


def test_a_course_makes_the_region_meaningless(client: httpx2.Client) -> None:
    irish = next(race for race in racing_day(SUMMER).results(TODAY) if race["region"] == "IRE")
    course = irish["course_id"]
    found = client.get("/results", params=results(SUMMER, region="gb", course=course)).json()["results"]
    assert {race["course_id"] for race in found} == {course}
    params = {"date": str(SUMMER), "region_codes": "gb", "course_ids": course}
    cards = client.get("/racecards/pro", params=params).json()["racecards"]
    assert {card["course_id"] for card in cards} == {course}


def test_results_by_what_a_race_is(client: httpx2.Client) -> None:
    params = results(SUMMER, type="Flat", race_class="Class 4", min_distance_y=1500, limit=50)
    found = client.get("/results", params=params).json()["results"]
    same = [
        race
        for race in racing_day(SUMMER).results(TODAY)
        if (race["type"], race["class"]) == ("Flat", "Class 4") and int(race["dist_y"]) >= 1500
    ]
    assert found == same != []


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/results", {"limit": 51}),
        ("/results", {"limit": 0}),
        ("/results", {"limit": "many"}),
        ("/results", {"skip": 20_001}),
        ("/results", {"skip": -1}),
        ("/results", {"start_date": "18/05/2024"}),
        ("/results", {"start_date": "2024-02-30"}),
        ("/results", {"start_date": "20240518"}),
        ("/results", {"start_date": "2024-05-18", "end_date": "2024-05-17"}),
        ("/results", {"region": "GB"}),
        ("/racecards/pro", {"limit": 501}),
        ("/racecards/pro", {"skip": 501}),
        ("/racecards/pro", {"date": "tomorrow"}),
        ("/racecards/pro", {"region_codes": "nowhere"}),
        ("/horses/search", {}),
    ],
)
def test_what_is_out_of_bounds_is_refused(client: httpx2.Client, path: str, params: dict[str, Any]) -> None:
    answer = client.get(path, params=params)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "query"


@pytest.mark.parametrize(
    ("path", "params", "status", "total"),
    [
        ("/racecards/pro", {"date": "2023-01-22"}, 200, 0),
        ("/racecards/pro", {"date": "2024-12-24"}, 200, 0),
        ("/racecards/pro", {"date": "2024-12-25"}, 404, None),
        ("/racecards/pro", {"date": "9999-12-31"}, 200, 0),
        ("/racecards/pro", {"date": str(TODAY + timedelta(days=8))}, 200, 0),
        ("/results", results(date(2024, 12, 24)), 200, 0),
        ("/results", results(date(2024, 12, 25)), 404, None),
        ("/results", results(date(2014, 12, 31)), 200, 0),
        ("/results", results(TODAY), 200, 0),
        ("/results", {}, 200, 0),
    ],
)
def test_days_without_races(
    client: httpx2.Client, path: str, params: dict[str, Any], status: int, total: int | None
) -> None:
    answer = client.get(path, params=params)
    assert (answer.status_code, answer.json().get("total")) == (status, total)


def test_cards_of_the_week_ahead(client: httpx2.Client) -> None:
    assert client.get("/racecards/pro").json()["racecards"] == racing_day(TODAY).cards(TODAY)
    last = TODAY + timedelta(days=7)
    assert client.get("/racecards/pro", params={"date": str(last)}).json()["total"] == len(racing_day(last).races)


def test_horses(client: httpx2.Client) -> None:
    runners = [runner for card in racing_day(SUMMER).cards(TODAY) for runner in card["runners"]]
    answers = [client.get(f"/horses/{runner['horse_id']}/pro") for runner in runners[:150]]
    assert {answer.status_code for answer in answers} == {200, 404}
    for runner, answer in zip(runners[:150], answers, strict=True):
        if answer.status_code == 200:
            assert answer.json()["id"] == runner["horse_id"]
            assert answer.json()["dob"] == runner["dob"]
    assert client.get("/horses/hrs_31000101/pro").status_code == 404
    assert client.get("/horses/somebody/pro").status_code == 404
    found = client.get("/horses/search", params={"name": runners[0]["horse"].lower()}).json()["search_results"]
    assert {"id": runners[0]["horse_id"], "name": runners[0]["horse"]} in found


def test_other_paths_are_not_there(api: StandIn, client: httpx2.Client) -> None:
    assert client.get("/bookmakers").status_code == 404
    outside = urlsplit(api.base_url)._replace(path="/courses").geturl()
    assert client.get(outside).status_code == 404


@pytest.mark.parametrize("auth", [None, (USER, "guessed"), ("nobody", PASSWORD), ("é", "ø")])
def test_others_are_refused(api: StandIn, auth: tuple[str, str] | None, capfd: pytest.CaptureFixture[str]) -> None:
    with connected(api, auth=auth) as stranger:
        answer = stranger.get("/courses")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Basic"
    assert capfd.readouterr() == ("", ""), "nothing is printed"


def test_what_was_asked_is_logged() -> None:
    with StandIn(today=TODAY) as api, connected(api) as client:
        client.get("/results", params=results(SUMMER))
        client.get("/racecards/pro", params={"date": str(SUMMER)})
        client.get("/racecards/pro", params={"date": str(BUSY), "limit": 501})
        assert [request.status for request in api.requests] == [200, 200, 422]
        assert api.requests[1].target == f"/racecards/pro?date={SUMMER}"
        starts = [request.at for request in api.requests]
        assert starts == sorted(starts)
        assert api.counts == {"/results": 1, "/racecards/pro": 2}
        assert [request.path for request in api.asked(SUMMER)] == ["/results", "/racecards/pro"]
        assert len(api.asked(SUMMER, "/racecards")) == 1
        assert api.asked(TODAY) == []


def test_requests_that_come_too_early_are_refused_and_counted() -> None:
    with StandIn(today=TODAY, gap=30) as api, connected(api) as client:
        assert client.get("/courses").status_code == 200
        assert client.get("/courses").status_code == 429
        assert api.too_early == 1
        api.gap = None
        assert client.get("/courses").status_code == 200
        assert api.too_early == 1


def test_requests_that_keep_the_gap_are_answered() -> None:
    with StandIn(today=TODAY, gap=0.1, tolerance=0.02) as api, connected(api) as client:
        for _ in range(3):
            before = len(api.requests)
            assert client.get("/courses").status_code == 200
            start = api.requests[before].at
            # the next turn, by the server's own log
            until(lambda start=start: time.monotonic() >= start + 0.1, 5, "the clock stands still")  # type: ignore[misc]
        assert api.too_early == 0


def test_a_day_can_be_amended_while_it_runs() -> None:
    with StandIn(today=TODAY) as api, connected(api) as client:
        usual = client.get("/results", params=results(SUMMER, limit=50)).json()["results"]
        api.put(api.day(SUMMER).disqualified().poorer())
        amended = client.get("/results", params=results(SUMMER, limit=50)).json()["results"]
        assert amended == racing_day(SUMMER).disqualified().results(TODAY)[:50] != usual
        cards = client.get("/racecards/pro", params={"date": str(SUMMER)}).json()["racecards"]
        assert all(runner["odds"] == [] for card in cards for runner in card["runners"])
        api.put(racing_day(SUMMER))
        assert client.get("/results", params=results(SUMMER, limit=50)).json()["results"] == usual


def test_many_clients_at_a_time(api: StandIn) -> None:
    days = [SUMMER + timedelta(days=number) for number in range(20)]

    def total(day: date) -> int:
        with connected(api) as client:
            return int(client.get("/results", params=results(day)).json()["total"])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(total, days)) == [len(racing_day(day).results(TODAY)) for day in days]


def test_it_stops_with_connections_open() -> None:
    threads = set(threading.enumerate())
    with StandIn(today=TODAY) as api, connected(api) as client:
        client.get("/courses")
        host, port = api.base_url.removeprefix("http://").removesuffix("/v1").split(":")
        silent = socket.create_connection((host, int(port)))
        until(lambda: len(threading.enumerate()) >= len(threads) + 3, 10, "the silent client was not taken in")
    assert set(threading.enumerate()) == threads
    with silent:
        assert silent.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)))
