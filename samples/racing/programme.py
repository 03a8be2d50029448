"""What is raced where: the meetings of a day and the terms of each race."""

import math
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from random import Random
from typing import NamedTuple, TypeVar

from samples.racing.words import SPONSORS
from samples.racing.world import COURSES, Course

T = TypeVar("T")
Chance = Callable[[], float]
"""`Random.random`: the only method whose values Python promises to keep."""


class Terms(NamedTuple):
    """A kind of race: ages, halves of a furlong from and to, how good, whose sex."""

    title: str
    type: str
    ages: tuple[int, int]
    halves: tuple[int, int]
    handicap: bool = False
    sex: str = ""
    pattern: str = ""


class Meeting(NamedTuple):
    """One course's day: code F, J or A, going and the races' starts in minutes after midnight."""

    course: Course
    code: str
    going: str
    starts: tuple[int, ...]
    abandoned_from: int
    """The first race that was not run."""


_FLAT = (
    Terms("Maiden Stakes", "Flat", (2, 2), (10, 16)),
    Terms("Novice Stakes", "Flat", (2, 2), (10, 15)),
    Terms("Nursery Handicap", "Flat", (2, 2), (11, 16), handicap=True),
    Terms("Maiden Fillies' Stakes", "Flat", (3, 3), (14, 21), sex="F"),
    Terms("Novice Stakes", "Flat", (3, 4), (13, 24)),
    Terms("Handicap", "Flat", (3, 7), (10, 13), handicap=True),
    Terms("Handicap", "Flat", (3, 7), (14, 18), handicap=True),
    Terms("Handicap", "Flat", (4, 8), (19, 32), handicap=True),
    Terms("Handicap", "Flat", (3, 3), (12, 20), handicap=True),
    Terms("Apprentice Handicap", "Flat", (4, 8), (12, 20), handicap=True),
    Terms("Fillies' Handicap", "Flat", (3, 5), (12, 20), handicap=True, sex="F"),
    Terms("Classified Stakes", "Flat", (3, 7), (12, 18), handicap=True),
    Terms("Stakes", "Flat", (3, 6), (12, 20), pattern="Listed"),
    Terms("Stakes", "Flat", (3, 6), (12, 24), pattern="Group 3"),
    Terms("Colts' Trial", "Flat", (3, 3), (14, 20), sex="C & G", pattern="Group 2"),
    Terms("Cup", "Flat", (4, 7), (28, 40), pattern="Group 1"),
)
_JUMPS = (
    Terms("Novices' Hurdle", "Hurdle", (4, 7), (31, 40)),
    Terms("Maiden Hurdle", "Hurdle", (4, 6), (31, 40)),
    Terms("Juvenile Hurdle", "Hurdle", (3, 3), (31, 34)),
    Terms("Handicap Hurdle", "Hurdle", (4, 9), (31, 50), handicap=True),
    Terms("Handicap Hurdle", "Hurdle", (4, 9), (38, 50), handicap=True),
    Terms("Mares' Handicap Hurdle", "Hurdle", (4, 8), (31, 42), handicap=True, sex="M"),
    Terms("Selling Hurdle", "Hurdle", (4, 9), (31, 40)),
    Terms("Beginners' Chase", "Chase", (5, 8), (32, 42)),
    Terms("Handicap Chase", "Chase", (5, 11), (31, 42), handicap=True),
    Terms("Handicap Chase", "Chase", (5, 11), (44, 58), handicap=True),
    Terms("Hunters' Chase", "Chase", (6, 11), (40, 52)),
    Terms("Hurdle", "Hurdle", (4, 8), (32, 48), pattern="Grade 2"),
    Terms("Chase", "Chase", (5, 10), (32, 52), pattern="Grade 1"),
    Terms("NH Flat Race", "NH Flat", (4, 6), (31, 34)),
    Terms("Mares' NH Flat Race", "NH Flat", (4, 6), (31, 34), sex="M"),
)
_WEEK = (4, 4, 4, 4, 5, 7, 3)  # Monday first
_BOXING_DAY = 10
_TURF = ("Good To Firm", "Good", "Good", "Good To Soft", "Soft", "Heavy")
_IRISH_TURF = ("Good", "Good To Yielding", "Yielding", "Yielding To Soft", "Soft", "Heavy")
_ALL_WEATHER = ("Standard", "Standard", "Standard", "Standard To Slow")


def pick(chance: Chance, options: Sequence[T]) -> T:
    """One of the options, each as likely."""
    return options[int(chance() * len(options))]


def shuffled(chance: Chance, options: Sequence[T]) -> list[T]:
    """All options in a random order."""
    return sorted(options, key=lambda _: chance())


def no_racing(day: date) -> bool:
    """Whether the API has no data of a day at all (404): Christmas Day."""
    return (day.month, day.day) == (12, 25)


def summer_time(day: date) -> bool:
    """Whether the clocks at the courses are an hour ahead of UTC by the afternoon."""
    return _last_sunday(day.year, 3) <= day < _last_sunday(day.year, 10)


def chance_of(day: date, what: str) -> Chance:
    """A day's own source of chance."""
    return Random(f"{day.isoformat()}/{what}").random


def meetings(day: date) -> list[Meeting]:
    """A day's meetings; none from 23 to 25 December."""
    if day.month == 12 and 23 <= day.day <= 25:
        return []
    chance = chance_of(day, "meetings")
    count = _BOXING_DAY if (day.month, day.day) == (12, 26) else _WEEK[day.weekday()] + pick(chance, (-1, 0, 0, 1))
    irish = min(count - 1, pick(chance, (0, 1, 1, 1, 2)) + (count > 6))
    fitting = shuffled(chance, [(course, code) for course in COURSES if (code := _code(chance, course, day))])
    chosen = [entry for entry in fitting if entry[0].region == "GB"][: count - irish]
    chosen += [entry for entry in fitting if entry[0].region == "IRE"][:irish]
    return [_meeting(chance, course, code, day) for course, code in chosen]


def terms(chance: Chance, meeting: Meeting, day: date) -> Terms:
    """What the next race is about."""
    options = _JUMPS if meeting.code == "J" else _FLAT
    while True:
        found = pick(chance, options)
        if found.pattern and (meeting.code == "A" or chance() < 0.6):
            continue
        # Two-year-olds start in April, three-year-olds over hurdles in July.
        if (found.ages == (2, 2) and day.month < 4) or (found.title == "Juvenile Hurdle" and day.month < 7):
            continue
        return found


def age_band(one: Terms) -> str:
    """Like `2yo`, `3yo+` or `4-6yo`."""
    low, high = one.ages
    if low == high:
        return f"{low}yo"
    return f"{low}-{high}yo" if one.type == "NH Flat" else f"{low}yo+"


def race_name(chance: Chance, one: Terms) -> str:
    """Sponsor, title and, for pattern races, the grade."""
    name = f"{pick(chance, SPONSORS)} {one.title}"
    return f"{name} ({one.pattern})" if one.pattern else name


def rounded_distance(halves: int) -> str:
    """Half furlongs as `5½f`, `1m2f`, `2m½f`."""
    miles, rest = divmod(halves, 16)
    furlongs, half = divmod(rest, 2)
    text = f"{furlongs or ''}{'½' if half else ''}"
    return (f"{miles}m" if miles else "") + (f"{text}f" if text else "")


def exact_distance(yards: int) -> str:
    """Yards as `6f`, `1m53y`, `1m7f209y`; a bare half furlong as `5½f`."""
    if yards % 110 == 0:
        return rounded_distance(yards // 110)
    miles, rest = divmod(yards, 1760)
    furlongs, rest = divmod(rest, 220)
    return "".join(f"{value}{unit}" for value, unit in ((miles, "m"), (furlongs, "f"), (rest, "y")) if value)


def jumps(one: Terms, halves: int) -> str:
    """Like `8 hurdles`; empty on the flat."""
    count = halves // 4
    return {"Hurdle": f"{count} hurdles", "Chase": f"{count + 4} fences"}.get(one.type, "")


def _code(chance: Chance, course: Course, day: date) -> str:
    """What is raced at a course in a season; empty when it's closed."""
    summer = 4 <= day.month <= 10
    if course.codes == "FJ":
        return "F" if summer and chance() < 0.75 else "J"
    if course.codes == "J":
        return "" if summer and chance() < 0.6 else "J"
    return "" if course.codes == "F" and not summer else course.codes


def _meeting(chance: Chance, course: Course, code: str, day: date) -> Meeting:
    races = pick(chance, (6, 7, 7, 7, 8))
    gap = pick(chance, (30, 33, 35))
    # Mornings, afternoons and, where there is light for it, evenings.
    openings = (11 * 60 + 40, 13 * 60 + 10, 13 * 60 + 30, 13 * 60 + 44)
    late = (16 * 60 + 35, 17 * 60 + 15)
    first = pick(chance, openings + late if code == "A" or 5 <= day.month <= 8 else openings)
    going = _ALL_WEATHER if code == "A" else _IRISH_TURF if course.region == "IRE" else _TURF
    hard = 0.03 if day.month in {12, 1, 2} and code != "A" else 0.015
    stopped = pick(chance, (0, 0, 0, 2, 4)) if chance() < hard else races
    return Meeting(course, code, pick(chance, going), tuple(first + gap * place for place in range(races)), stopped)


def _last_sunday(year: int, month: int) -> date:
    last = date(year, month, 31)
    return last - timedelta(days=(last.weekday() + 1) % 7)


def tiered_prize(chance: Chance, race_class: int, irish: bool, pattern: str) -> int:
    """A race's whole prize in the course's money."""
    if pattern in {"Group 1", "Grade 1"}:
        return int(150_000 + chance() * 400_000)
    if pattern:
        return int(40_000 + chance() * 60_000)
    low = 9_000 if irish else (0, 60_000, 25_000, 10_000, 6_000, 4_000, 2_600, 2_200)[race_class]
    return int(low * (1 + chance() * 0.7))


def field_size(chance: Chance, big: bool) -> int:
    """Runners of a race: 2 to 26, ten on average."""
    draw = chance()
    if big or draw > 0.965:
        return 17 + int(chance() * 10)
    if draw < 0.03:
        return 2 + int(chance() * 3)
    return 4 + int(6.4 * (chance() + chance()))


def margin(chance: Chance) -> float:
    """Lengths between two finishers, in quarters once they are apart."""
    lengths = -2.2 * math.log(1.0 - chance())
    if lengths < 0.25:
        return (0.05, 0.1, 0.2)[int(lengths * 12)]
    return min(round(lengths * 4) / 4, 40.0)
