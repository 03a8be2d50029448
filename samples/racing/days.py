"""Made-up racing days from 2015 on: the same day always, whoever asks, in some milliseconds (racing spec, section 1.2).

About 30 races and 300 runners a day. 23 and 24 December have no racing, of Christmas Day the API has nothing at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from samples.racing.cards import card
from samples.racing.programme import chance_of, meetings
from samples.racing.races import Race, Runner, races
from samples.racing.results import result

FIRST_DAY = date(2015, 1, 1)
FIRST_CARDS = date(2023, 1, 23)
"""Before it the API has no cards."""

CARDS_AHEAD = timedelta(days=7)

RESULT_AFTER = timedelta(minutes=10)
"""From a race's off time to its result."""

_RACE_IDS = 11_000_000


@dataclass(frozen=True, slots=True)
class RacingDay:
    """A day's races in the order of meetings and times; `poor` when its cards have lost what they had.

    At a `moment` of the day only the races that were over by then have a result.
    """

    when: date
    races: tuple[Race, ...]
    poor: bool = False
    moment: datetime | None = None

    def card_races(self, today: date) -> tuple[Race, ...]:
        """The races that have a card."""
        return self.races if FIRST_CARDS <= self.when <= today + CARDS_AHEAD else ()

    def result_races(self, today: date) -> tuple[Race, ...]:
        """The races that have a result: those that were run, once the day is over."""
        run = tuple(race for race in self.races if not race.abandoned) if self.when < today else ()
        if self.moment is None:
            return run
        return tuple(race for race in run if datetime.fromisoformat(race.starts_at) + RESULT_AFTER <= self.moment)

    def card(self, race: Race, today: date) -> dict[str, Any]:
        """A race's card as it's asked for on a day; the further ahead the less is on it."""
        return card(race, (self.when - today).days, poor=self.poor)

    def cards(self, today: date) -> list[dict[str, Any]]:
        """All cards, as `racecards` has them."""
        return [self.card(race, today) for race in self.card_races(today)]

    def results(self, today: date) -> list[dict[str, Any]]:
        """All results, as `results` has them."""
        return [result(race) for race in self.result_races(today)]

    def at(self, moment: datetime) -> "RacingDay":
        """The day while it goes on; `moment` is aware."""
        return replace(self, moment=moment)

    def poorer(self) -> "RacingDay":
        """The day when its cards are asked for late: no odds, no spotlight, `-` for ratings."""
        return replace(self, poor=True)

    def swapped(self, race_id: str | None = None) -> "RacingDay":
        """The day with the first two of a race the other way about; by default of the first race that has them."""
        return self._amended(race_id, lambda ran: {ran[0].horse: ran[1], ran[1].horse: ran[0]})

    def disqualified(self, race_id: str | None = None) -> "RacingDay":
        """The day with a race's winner disqualified and everybody else a place better."""

        def moved(ran: list[Runner]) -> dict[int, Runner]:
            lost = ran[0]._replace(position="DSQ", beaten="-", behind="-", seconds=None, prize="")
            finishers = [runner for runner in ran if runner.seconds is not None]
            better = {behind.horse: ahead for ahead, behind in pairwise(finishers)}
            return {**better, ran[0].horse: lost}

        return self._amended(race_id, moved)

    def _amended(self, race_id: str | None, finishes: Callable[[list[Runner]], dict[int, Runner]]) -> "RacingDay":
        """The day with one race's finishes changed: by horse, the runner whose finish it gets."""
        found = next((race for race in self.races if race_id == race.id or (race_id is None and _is_clear(race))), None)
        if found is None:
            raise ValueError(f"{self.when} has no race {race_id or 'to amend'}")
        changed = finishes(found.ran)
        runners = tuple(_finish_of(runner, changed.get(runner.horse, runner)) for runner in found.runners)
        amended = found._replace(runners=runners)
        return replace(self, races=tuple(amended if race is found else race for race in self.races))


def racing_day(day: date) -> RacingDay:
    """A day, made anew; ValueError before 2015."""
    if day < FIRST_DAY:
        raise ValueError(f"racing days begin on {FIRST_DAY}, {day} is before it")
    first = _RACE_IDS + (day - FIRST_DAY).days * 100
    chance = chance_of(day, "races")
    used: set[int] = set()
    found: list[Race] = []
    for meeting in meetings(day):
        found += races(chance, meeting, day, first + len(found) + 1, used)
    return RacingDay(day, tuple(found))


def _is_clear(race: Race) -> bool:
    return not race.abandoned and [runner.position for runner in race.ran[:2]] == ["1", "2"]


def _finish_of(runner: Runner, other: Runner) -> Runner:
    return runner._replace(
        position=other.position, beaten=other.beaten, behind=other.behind, seconds=other.seconds, prize=other.prize
    )
