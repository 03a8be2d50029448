"""What the stand-in Racing API answers: paths, parameters, limits and paging (racing spec, sections 1 and 13)."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import orjson

from samples.racing.days import CARDS_AHEAD, FIRST_CARDS, FIRST_DAY, RacingDay, racing_day
from samples.racing.programme import age_band, no_racing
from samples.racing.races import Race
from samples.racing.results import result
from samples.racing.words import REGIONS
from samples.racing.world import COURSES, detail, horse_name, horse_number, search

_KEPT = 16
_MOST_SKIPPED_CARDS, _MOST_SKIPPED_RESULTS = 500, 20_000


class Answer(NamedTuple):
    """A status and a JSON body."""

    status: int
    body: bytes


class Query:
    """A request's parameters, read with their names, limits and defaults; what is wrong with them raises `Invalid`."""

    def __init__(self, text: str) -> None:
        self.pairs = parse_qsl(text, keep_blank_values=True)

    def all(self, name: str) -> list[str]:
        """All values of a repeatable parameter."""
        return [value for key, value in self.pairs if key == name]

    def one(self, name: str) -> str | None:
        """The last value of a parameter."""
        values = self.all(name)
        return values[-1] if values else None

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """An integer within limits, both included."""
        text = self.one(name)
        if text is None:
            return default
        try:
            number = int(text)
        except ValueError:
            raise Invalid(name, "value is not a valid integer") from None
        if not low <= number <= high:
            raise Invalid(name, f"ensure this value is between {low} and {high}")
        return number

    def day(self, name: str, default: date) -> date:
        """A date as YYYY-MM-DD."""
        text = self.one(name)
        if text is None:
            return default
        try:
            found = date.fromisoformat(text)
        except ValueError:
            found = None
        if found is None or found.isoformat() != text:
            raise Invalid(name, "invalid date format, YYYY-MM-DD is")
        return found

    def regions(self, name: str) -> set[str]:
        """Region codes, in lower case, as races spell them."""
        codes = self.all(name)
        if unknown := set(codes) - {code for code, _ in REGIONS}:
            raise Invalid(name, f"no region code: {', '.join(sorted(unknown))}")
        return {code.upper() for code in codes}

    def days(self) -> tuple[str, str]:
        """The first and last day asked for as they came; empty when none is."""
        start = self.one("date") or self.one("start_date") or ""
        return start, self.one("end_date") or start


class Invalid(ValueError):  # noqa: N818 - reads as what it is
    """A parameter that the API refuses with 422."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name, self.why = name, why


K = TypeVar("K")
V = TypeVar("V")


class _Recent(Generic[K, V]):
    """Values of the keys that were asked for last, made when they're missing."""

    def __init__(self) -> None:
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, made: Callable[[], V]) -> V:
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = made()
        if len(self._values) > _KEPT:
            self._values.popitem(last=False)
        return value

    def drop(self, key: K) -> None:
        self._values.pop(key, None)


class Shelf:
    """The days, with the encoded races of the last few kept; safe from any thread."""

    def __init__(self, today: date) -> None:
        self.today = today
        self._put: dict[date, RacingDay] = {}
        self._days: _Recent[date, RacingDay] = _Recent()
        self._cards: _Recent[date, list[tuple[Race, bytes]]] = _Recent()
        self._results: _Recent[date, list[tuple[Race, bytes]]] = _Recent()
        self._lock = threading.RLock()

    def put(self, day: RacingDay) -> None:
        """Answer with this day from now on: an amended or a poorer one."""
        with self._lock:
            self._put[day.when] = day
            self._cards.drop(day.when)
            self._results.drop(day.when)

    def day(self, when: date) -> RacingDay:
        """A day, as it was put or as it's made."""
        with self._lock:
            if when in self._put:
                return self._put[when]
            return self._days.get(when, lambda: racing_day(when))

    def cards(self, when: date) -> list[tuple[Race, bytes]]:
        """Races with their encoded cards."""

        def made() -> list[tuple[Race, bytes]]:
            day = self.day(when)
            return [(race, orjson.dumps(day.card(race, self.today))) for race in day.card_races(self.today)]

        with self._lock:
            return self._cards.get(when, made) if FIRST_CARDS <= when <= self.today + CARDS_AHEAD else []

    def results(self, when: date) -> list[tuple[Race, bytes]]:
        """Races with their encoded results."""

        def made() -> list[tuple[Race, bytes]]:
            return [(race, orjson.dumps(result(race))) for race in self.day(when).result_races(self.today)]

        with self._lock:
            return self._results.get(when, made) if FIRST_DAY <= when < self.today else []


def respond(shelf: Shelf, path: str, query: Query) -> Answer:
    """The honest answer to a path after the base URL."""
    try:
        if path.startswith("/horses/") and path.endswith("/pro"):
            return _horse(path.removeprefix("/horses/").removesuffix("/pro"))
        route = _ROUTES.get(path)
        return route(shelf, query) if route else not_found()
    except Invalid as wrong:
        problem = {"loc": ["query", wrong.name], "msg": wrong.why, "type": "value_error"}
        return Answer(422, orjson.dumps({"detail": [problem]}))


def not_found() -> Answer:
    """404: no data."""
    return Answer(404, b'{"detail":"Not Found"}')


def _courses(_: Shelf, query: Query) -> Answer:
    wanted = query.regions("region_codes")
    found = [course.entry() for course in COURSES if not wanted or course.region in wanted]
    return Answer(200, orjson.dumps({"courses": found, "total": len(found)}))


def _regions(_: Shelf, __: Query) -> Answer:
    return Answer(200, orjson.dumps([{"region": name, "region_code": code} for code, name in REGIONS]))


def _racecards(shelf: Shelf, query: Query) -> Answer:
    limit = query.number("limit", 500, 1, 500)
    skip = query.number("skip", 0, 0, _MOST_SKIPPED_CARDS)
    when = query.day("date", shelf.today)
    wanted = _filter(query, "region_codes", "course_ids")
    if no_racing(when):
        return not_found()
    return _page("racecards", [body for race, body in shelf.cards(when) if wanted(race)], limit, skip, query)


def _results(shelf: Shelf, query: Query) -> Answer:
    limit = query.number("limit", 25, 1, 50)
    skip = query.number("skip", 0, 0, _MOST_SKIPPED_RESULTS)
    start = query.day("start_date", shelf.today)
    end = query.day("end_date", shelf.today)
    if end < start:
        raise Invalid("end_date", "is before start_date")
    where, what = _filter(query, "region", "course"), _result_filter(query)
    if start == end and no_racing(start):
        return not_found()
    found = [body for day in _days(start, end) for race, body in shelf.results(day) if where(race) and what(race)]
    return _page("results", found, limit, skip, query)


def _horse(identifier: str) -> Answer:
    number = horse_number(identifier)
    found = None if number is None else detail(number)
    return not_found() if found is None else Answer(200, orjson.dumps(found))


def _search(_: Shelf, query: Query) -> Answer:
    name = query.one("name")
    if not name:
        raise Invalid("name", "field required")
    found = [{"id": f"hrs_{number}", "name": horse_name(number)} for number in search(name)]
    return Answer(200, orjson.dumps({"search_results": found}))


_ROUTES: dict[str, Callable[[Shelf, Query], Answer]] = {
    "/courses": _courses,
    "/courses/regions": _regions,
    "/racecards/pro": _racecards,
    "/results": _results,
    "/horses/search": _search,
}


def _filter(query: Query, regions: str, courses: str) -> Callable[[Race], bool]:
    """By course or, when no course is asked for, by region."""
    codes, ids = query.regions(regions), set(query.all(courses))
    if ids:
        return lambda race: race.course.id in ids
    return lambda race: not codes or race.course.region in codes


def _result_filter(query: Query) -> Callable[[Race], bool]:
    """By what a race is; the values are compared as results spell them, without regard to case."""
    among: list[tuple[set[str], Callable[[Race], str]]] = [
        ({value.lower() for value in query.all(name)}, attribute)
        for name, attribute in (
            ("type", lambda race: race.terms.type),
            ("going", lambda race: race.going),
            ("race_class", lambda race: race.race_class),
            ("age_band", lambda race: age_band(race.terms)),
            ("sex_restriction", lambda race: race.terms.sex),
        )
    ]
    shortest = query.number("min_distance_y", 0, 0, 100_000)
    longest = query.number("max_distance_y", 100_000, 0, 100_000)
    return lambda race: (
        shortest <= race.yards <= longest
        and all(not values or attribute(race).lower() in values for values, attribute in among)
    )


def _days(start: date, end: date) -> Iterator[date]:
    for ordinal in range((end - start).days + 1):
        yield start + timedelta(ordinal)


def _page(name: str, races: list[bytes], limit: int, skip: int, query: Query) -> Answer:
    """One page as bytes: the races are encoded already."""
    asked = [pair for pair in query.pairs if pair[0] not in {"limit", "skip"}]
    echo = orjson.dumps([("limit", str(limit)), ("skip", str(skip)), *asked])
    head = b'{"%s":[' % name.encode()
    tail = b'],"total":%d,"limit":%d,"skip":%d,"query":%s}' % (len(races), limit, skip, echo)
    return Answer(200, head + b",".join(races[skip : skip + limit]) + tail)
