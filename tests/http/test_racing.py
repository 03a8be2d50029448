"""Racing's paths, on a race of two runners from its card and its result."""

import psycopg
import pytest
from starlette.testclient import TestClient

from schemas.racing.tables import RACING
from schemas.table import Mode
from sinks.merge.merging import prepare
from tests.http.asking import get
from tests.racing.written import DAY, card, result, write
from tests.sinks.made_tables import make_capture

pytestmark = pytest.mark.services


@pytest.fixture
def race(connection: psycopg.Connection) -> psycopg.Connection:
    prepare(connection, RACING.tables)
    write(connection, make_capture(connection, 1, Mode.SUPERSEDE, 2), card(), result())
    return connection


@pytest.mark.usefixtures("race")
def test_a_day_with_its_races_and_runners(http: TestClient) -> None:
    assert get(http, "/api/racing/days") == {
        "days": [{"day": DAY, "races": 1, "with_result": 1, "abandoned": 0, "runners": 2}],
        "next": None,
    }
    day = get(http, f"/api/racing/days/{DAY}")
    (one,) = day["races"]
    assert (one["id"], one["course_name"], one["prize"], one["off_time"]) == (
        "rac_1",
        "Millrace (AW)",
        4187.0,
        "13:44:00",
    )
    assert [(runner["horse_id"], runner["position"]) for runner in one["runners"]] == [("hrs_1", 1), ("hrs_2", 2)]
    assert one["runners"][0]["odds"] == [{"bookmaker": "Bet365", "decimal": "4.5"}]
    assert get(http, "/api/racing/races/rac_1") == one
    assert get(http, f"/api/racing/days/{DAY}", region="fr")["races"] == []


@pytest.mark.usefixtures("race")
def test_a_horse_with_its_runs_by_page(http: TestClient) -> None:
    horse = get(http, "/api/racing/horses/hrs_1")
    assert (horse["horse"]["name"], horse["next"]) == ("Horse 1", None)
    (run,) = horse["runs"]
    assert (run["race_id"], run["date"], run["position"], run["course_name"]) == ("rac_1", DAY, 1, "Millrace (AW)")
    assert get(http, "/api/racing/horses/hrs_1", before="rac_1")["runs"] == []


def test_what_is_not_there(http: TestClient) -> None:
    assert get(http, "/api/racing/days") == {"days": [], "next": None}
    assert get(http, "/api/racing/days/2024-05-18")["races"] == []
    get(http, "/api/racing/days/today", 422)
    get(http, "/api/racing/races/rac_9", 404)
    get(http, "/api/racing/horses/hrs_9", 404)
