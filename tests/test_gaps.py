"""The calendar of gaps, their plans put together, and several plans in a file."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.gap import MISSING, NULL, OUTDATED, Gap
from producers.source import Request, Stretch, end_of
from rederive.cli.calendar import calendar, folded, months, years
from rederive.gaps import _merged, no_plan
from rederive.plans import read_plans
from schemas.domain import Domain
from schemas.errors import UsageError
from schemas.lane import LaneName
from schemas.table import Column, Mode, Table

ROWS = Table(
    name="rows", key=(Column("id", "int8"),), attributes=(), values=(Column("x", "float8"),), observed="at",
    policy=Mode.FILL,
)  # fmt: skip
DOMAIN = Domain(name="tolls", derivation_version=1, tables=(ROWS,), sources={"log": "nowhere:Log"})
BASE = date(2026, 1, 1)
DAYS = st.integers(0, 90).map(lambda n: BASE + timedelta(days=n))


def _lines(found: list[Gap], first: date | None = None, last: date | None = None) -> list[str]:
    return [line.plain.rstrip() for line in calendar(found, first, last)]


def test_a_day_is_a_character_under_its_number() -> None:
    found = [
        Gap(kind=MISSING, day=date(2026, 2, 5)),
        Gap(kind=NULL, day=date(2026, 2, 28)),
        Gap(kind=NULL, day=date(2026, 3, 1)),
        Gap(kind=OUTDATED, day=date(2026, 3, 1)),
        Gap(kind="odd", day=date(2026, 3, 2)),
        Gap(kind=MISSING),
    ]
    ruler, february, march, end = _lines(found, date(2026, 2, 3), date(2026, 3, 4))
    assert february == "2026-02    ..m" + "." * 22 + "n"
    assert march == "2026-03  *O.."
    assert ruler.index("5") == february.index("m")
    assert end == ""
    assert max(map(len, (ruler, february))) <= 80


def test_a_week_is_a_character_of_its_year() -> None:
    weeks = [date(2025, 12, 26), date(2026, 1, 9)]
    ruler, *lines, _ = _lines([Gap(kind=MISSING, day=week, days=7, part="OTC") for week in weeks], date(2025, 12, 1))
    assert lines == ["2025" + " " * 53 + "...m", "2026     .m"]
    assert len(ruler) <= 80


def test_months_that_look_alike_are_one_line() -> None:
    day = date(2026, 1, 31)
    lines = list(folded(months({day: "m"}, date(2025, 1, 1), date(2026, 6, 30))))
    assert [(line.name.strip(), line.signs) for line in lines] == [
        ("2025-01 to 2025-12", "no gap"),
        ("2026-01", "." * 30 + "m"),
        ("2026-02 to 2026-06", "no gap"),
    ]


@given(days=st.sets(DAYS, min_size=1), first=DAYS, last=DAYS)
def test_every_day_of_the_range_is_drawn_once(days: set[date], first: date, last: date) -> None:
    drawn = "".join(line.signs for line in months(dict.fromkeys(days, "m"), first, last)).replace(" ", "")
    assert len(drawn) == max(0, (last - first).days + 1)
    assert drawn.count("m") == sum(first <= day <= last for day in days)
    fridays = {day for day in days if day.weekday() == 4}
    if fridays:
        drawn = "".join(line.signs for line in years(dict.fromkeys(fridays, "m"), first, last))
        assert drawn.count("m") == sum(first <= day <= last for day in fridays)


def _request(first: date | None, last: date | None, **more: Any) -> Request:
    start = datetime.combine(first, datetime.min.time(), UTC) if first else None
    return Request("tolls", Mode.FILL, ("x",), start=start, end=end_of(last) if last else None, **more)


@given(st.lists(st.tuples(DAYS, st.integers(0, 5), st.sampled_from(["a", "b"])), min_size=1))
def test_merged_ranges_are_the_same_days(asked: list[tuple[date, int, str]]) -> None:
    def days(requests: list[Request]) -> set[tuple[str, date]]:
        return {
            (one.keys[0], one.start.date() + timedelta(days=n))
            for one in requests
            if one.start and one.end
            for n in range((one.end - one.start).days)
        }

    requests = [_request(day, day + timedelta(days=more), keys=(key,)) for day, more, key in asked]
    merged = _merged(requests)
    assert days(merged) == days(requests)
    assert sum((one.end - one.start).days for one in merged if one.start and one.end) == len(days(requests))


def test_an_open_range_holds_what_it_covers_and_places_stand_in_one_request() -> None:
    covered = _request(date(2026, 1, 5), date(2026, 1, 6))
    assert _merged([covered, _request(None, None)]) == [_request(None, None)]
    assert _merged([covered, _request(None, date(2026, 1, 5))]) == [_request(None, date(2026, 1, 6))]
    places = [Stretch(LaneName.LOG, 0, 1, 2), Stretch(LaneName.LOG, 1, 5, 9)]
    (one,) = _merged([replace(_request(None, None), places=(place,)) for place in places])
    assert one.places == tuple(places)
    assert one.span == "of 5 places of the log"


def test_a_file_holds_a_plan_or_several_a_line_each() -> None:
    plan = no_plan(DOMAIN, _request(None, None)).model_copy(update={"domain": "betfair", "source": "log"}).sealed()
    line = plan.model_dump_json()
    assert read_plans(line, "f") == [plan]
    assert read_plans(plan.model_dump_json(indent=1), "f") == [plan]
    assert read_plans(f"{line}\n\n{line}\n", "f") == [plan, plan]
    with pytest.raises(UsageError, match=r"f, line 3, is no plan\n  why: it ends in the middle"):
        read_plans(f"{line}\n\n{line[:-9]}", "f")
    with pytest.raises(UsageError, match="f is no plan\n  why: it is empty"):
        read_plans("\n", "f")
