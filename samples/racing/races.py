"""One made-up race: its terms, its runners and how they finished, the same whichever source tells of it."""

import math
from bisect import bisect_left
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from samples.racing.programme import (
    Chance,
    Meeting,
    Terms,
    field_size,
    margin,
    pick,
    race_name,
    shuffled,
    summer_time,
    terms,
    tiered_prize,
)
from samples.racing.world import JOCKEYS, LANES, Course, born_in, mix, place_of

PRICES = (
    ("1/3", 1.33), ("1/2", 1.5), ("4/6", 1.67), ("10/11", 1.91), ("Evens", 2.0), ("5/4", 2.25), ("6/4", 2.5),
    ("13/8", 2.62), ("7/4", 2.75), ("2/1", 3.0), ("9/4", 3.25), ("5/2", 3.5), ("11/4", 3.75), ("3/1", 4.0),
    ("7/2", 4.5), ("4/1", 5.0), ("9/2", 5.5), ("5/1", 6.0), ("6/1", 7.0), ("13/2", 7.5), ("7/1", 8.0), ("8/1", 9.0),
    ("9/1", 10.0), ("10/1", 11.0), ("12/1", 13.0), ("14/1", 15.0), ("16/1", 17.0), ("20/1", 21.0), ("25/1", 26.0),
    ("28/1", 29.0), ("33/1", 34.0), ("40/1", 41.0), ("50/1", 51.0), ("66/1", 67.0), ("80/1", 81.0), ("100/1", 101.0),
    ("150/1", 151.0),
)  # fmt: skip
"""Fractional and decimal prices, shortest first."""

_DECIMALS = tuple(decimal for _, decimal in PRICES)
_REASONS = ("self cert", "unsuitable ground", "vet's certificate", "going", "lame", "not eaten up", "travel")
_OVER_JUMPS = ("PU",) * 62 + ("F",) * 13 + ("UR",) * 11 + ("BD", "BD", "U", "U", "RO", "REF", "REF", "SU", "RR", "CO",
               "LFT", "DSQ", "VO", "DIED")  # fmt: skip
_ON_THE_FLAT = ("PU", "PU", "UR", "UR", "RR", "LFT", "DSQ", "SU", "CO")
_SHARES = (0.5367, 0.2519, 0.1258, 0.0629, 0.0317)
_BANDS = (0, 0, 105, 95, 85, 75, 65, 50)
_WORDS = {0.05: "nse", 0.1: "shd", 0.2: "hd"}
_WORDS_UNTIL = 2016
_SECONDS_A_LENGTH = 0.2
_HEADGEAR = ("", "", "", "", "", "", "p", "b", "t", "tp", "v", "h", "hp", "")


class Runner(NamedTuple):
    """A horse in a race. Ratings are None when there are none; texts about the finish are as results send them."""

    horse: int
    number: int
    draw: int
    lbs: int
    jockey: int
    declared: bool
    """Whether the card knows the jockey."""
    withdrawn: str
    """Why it did not run; empty when it did."""
    bits: int
    rating: int | None
    price: int
    mark: str
    position: str = ""
    beaten: str = "-"
    behind: str = "-"
    seconds: float | None = None
    prize: str = ""

    @property
    def headgear(self) -> str:
        """Like `p` or `tp`; mostly empty."""
        return _HEADGEAR[self.bits % len(_HEADGEAR)]


class Race(NamedTuple):
    """A race; `start` in minutes after midnight at the course, lengths in half furlongs and yards."""

    id: str
    course: Course
    date: date
    start: int
    terms: Terms
    name: str
    race_class: str
    rating_band: str
    going: str
    surface: str
    halves: int
    yards: int
    prize: int
    currency: str
    abandoned: bool
    bits: int
    runners: tuple[Runner, ...]
    """In the order of their numbers, those that were withdrawn among them."""

    @property
    def clock(self) -> str:
        """The start as the course's clock shows it, with twelve hours: `1:44`."""
        hour, minute = divmod(self.start, 60)
        return f"{(hour - 1) % 12 + 1}:{minute:02}"

    @property
    def starts_at(self) -> str:
        """The start with its offset from UTC: `2025-10-14T13:44:00+01:00`."""
        hour, minute = divmod(self.start, 60)
        return f"{self.date.isoformat()}T{hour:02}:{minute:02}:00+0{int(summer_time(self.date))}:00"

    @property
    def ran(self) -> list[Runner]:
        """Those that took part, the finishers in order of their places first."""
        return sorted(
            (runner for runner in self.runners if not runner.withdrawn),
            key=lambda runner: int(runner.position) if runner.position.isdigit() else 99,
        )


def races(chance: Chance, meeting: Meeting, day: date, first: int, used: set[int]) -> Iterable[Race]:
    """A meeting's races, numbered from `first`; `used` are the horses that run elsewhere on the day."""
    riders = shuffled(chance, range(JOCKEYS))[:60]
    return [
        _race(chance, meeting, day, place, f"rac_{first + place}", used, riders) for place in range(len(meeting.starts))
    ]


def _race(
    chance: Chance, meeting: Meeting, day: date, place: int, race_id: str, used: set[int], riders: list[int]
) -> Race:
    one = terms(chance, meeting, day)
    irish = meeting.course.region == "IRE"
    number = 1 if one.pattern else pick(chance, (2, 3, 4, 4, 5, 5, 5, 6, 6, 7))
    halves = one.halves[0] + int(chance() * (one.halves[1] - one.halves[0] + 1))
    # Half of the courses are not quite as long as they are called.
    yards = halves * 110 + (int(chance() * 104) - 50 if chance() < 0.5 else 0)
    purse = tiered_prize(chance, number, irish, one.pattern)
    top = _BANDS[number] + (40 if one.type != "Flat" and number > 1 else 0)
    # Northern Irish courses pay in pounds.
    currency = "€" if irish and int(meeting.course.id[-1]) % 4 else "£"
    runners = _runners(chance, one, meeting, day, top, used, riders)
    race = Race(
        race_id,
        meeting.course,
        day,
        meeting.starts[place],
        one,
        race_name(chance, one),
        "" if irish else f"Class {number}",
        (f"{max(top - 20, 45)}-{top}" if irish else f"0-{top}") if one.handicap else "",
        meeting.going,
        "AW" if meeting.code == "A" else "Turf",
        halves,
        yards,
        purse,
        currency,
        place >= meeting.abandoned_from,
        mix(int(race_id[4:])),
        tuple(runners),
    )
    return race._replace(runners=tuple(_finished(chance, race)))


def _entries(chance: Chance, one: Terms, irish: bool, day: date, count: int, used: set[int]) -> list[int]:
    """Horses of the right ages and sex that don't run elsewhere on the day."""
    low, high = one.ages
    base = 0 if one.type == "Flat" else 50
    lane = day.toordinal() % LANES
    found: list[int] = []
    while len(found) < count:
        group = base + int(chance() * 50)
        if one.sex in {"F", "M"}:
            group |= 1
        elif one.sex:
            group &= ~1
        at_home = int(chance() * 3) if irish else 3 + int(chance() * 7)
        home = int(chance() * 10) if chance() < 0.08 else at_home
        number = born_in(day.year - low - int((high - low + 1) * chance() ** 1.4)) + place_of(group, home, lane)
        if number not in used:
            used.add(number)
            found.append(number)
    return found


def _runners(
    chance: Chance, one: Terms, meeting: Meeting, day: date, top: int, used: set[int], riders: list[int]
) -> list[Runner]:
    big = one.handicap and meeting.starts[0] % 60 == 10 and chance() < 0.1
    count = field_size(chance, big)
    best = max(top or 112, 50)
    rated = sorted(
        (
            (best - int(chance() * 22) if one.handicap or chance() < 0.45 else None, horse)
            for horse in _entries(chance, one, meeting.course.region == "IRE", day, count, used)
        ),
        key=lambda pair: -(pair[0] or 0),
    )
    stalls = shuffled(chance, range(1, count + 1)) if one.type == "Flat" else [0] * count
    jockeys = shuffled(chance, riders)
    heaviest = 135 if one.type == "Flat" else 168
    prices = _prices(chance, count)
    shortest = min(prices)
    favourites = prices.count(shortest)
    mark = "F" if favourites == 1 else "J" if favourites == 2 else "C"
    runners: list[Runner] = []
    leaving = 0
    for place, (rating, horse) in enumerate(rated):
        leaves = chance() < 0.045 and count - leaving > 2
        leaving += leaves
        lbs = heaviest - (best - (rating or best)) if one.handicap else heaviest - int(chance() * 4) * 3
        runners.append(
            Runner(
                horse,
                place + 1,
                stalls[place],
                lbs,
                jockeys[place],
                chance() >= 0.015,
                pick(chance, _REASONS) if leaves else "",
                int(chance() * (1 << 52)),
                rating,
                prices[place],
                mark if prices[place] == shortest else "",
            )
        )
    return runners


def _prices(chance: Chance, count: int) -> list[int]:
    """Places in PRICES, of a book that comes to 115 %."""
    strengths = [(0.15 + chance()) ** 2.2 for _ in range(count)]
    fair = sum(strengths) / 1.15
    return [min(bisect_left(_DECIMALS, fair / strength), len(PRICES) - 1) for strength in strengths]


def _finished(chance: Chance, race: Race) -> list[Runner]:
    """The runners with what became of them; short prices finish in front more often."""
    jumping = race.terms.type in {"Hurdle", "Chase"}
    codes, risk = (_OVER_JUMPS, 0.11) if jumping else (_ON_THE_FLAT, 0.004)
    void = chance() < 0.0008
    order: list[tuple[float, Runner]] = []
    done: list[Runner] = []
    for runner in race.runners:
        slowness = -math.log(1.0 - chance()) * PRICES[runner.price][1]
        failed = chance() < risk
        if runner.withdrawn:
            done.append(runner)
        elif void:
            done.append(runner._replace(position="VOI"))
        elif failed and sum(1 for other in race.runners if not other.withdrawn) > 2:
            done.append(runner._replace(position=pick(chance, codes)))
        else:
            order.append((slowness, runner))
    done += _placed(chance, race, [runner for _, runner in sorted(order, key=lambda pair: pair[0])])
    return sorted(done, key=lambda runner: runner.number)


def _placed(chance: Chance, race: Race, order: list[Runner]) -> Iterable[Runner]:
    """Finishers with positions, margins, times and prizes."""
    yards_a_second = (18.1 if race.terms.type == "Flat" else 14.9) - chance()
    seconds = race.yards / yards_a_second
    # A dead heat for one of the first places, now and then.
    heat = int(chance() * 3) if len(order) > 3 and chance() < 0.008 else -1
    behind = 0.0
    for place, runner in enumerate(order):
        shared = place == heat + 1 and heat >= 0
        apart = 0.0 if place == 0 or shared else margin(chance)
        behind += apart
        position = place if shared else place + 1
        share = _share(place)
        if heat >= 0 and place in {heat, heat + 1}:
            share = (_share(heat) + _share(heat + 1)) / 2
        won = race.prize * share
        prize = f"{won:.2f}" if race.currency == "£" else f"{won:.0f}"
        yield runner._replace(
            position=str(position),
            beaten=_lengths(apart, race.date),
            behind=_lengths(behind, None),
            seconds=seconds + behind * _SECONDS_A_LENGTH,
            prize=prize if share else "",
        )


def _share(place: int) -> float:
    return _SHARES[place] if place < len(_SHARES) else 0.0


def _lengths(lengths: float, day: date | None) -> str:
    """As results write them: `0`, `.5`, `1.25`, `35`; words for the smallest ones in the oldest."""
    if day is not None and day.year < _WORDS_UNTIL and lengths in _WORDS:
        return _WORDS[lengths]
    return f"{lengths:.2f}".rstrip("0").rstrip(".").removeprefix("0") or "0"
