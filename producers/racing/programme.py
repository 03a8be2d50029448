"""A day's programme: its races and their off times by its card, and which of them still want a result."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from schemas.racing.tables import MAX_ID

PATIENCE = timedelta(hours=3)
"""After its off time a race's result is waited for so long; one that comes later is found once the day is over."""


@dataclass(frozen=True, slots=True)
class Programme:
    """Races to be run, by id with their off times (None: it can't be read), and the horses of the day.

    `known` is false while there is no card.
    """

    known: bool
    waiting: dict[str, datetime | None]
    horses: frozenset[str]

    @classmethod
    def of(cls, card: bytes | None, result: bytes | None) -> "Programme":
        """From the day's records, each None while there is none."""
        cards, results = list(_races(card, "racecards")), list(_races(result, "results"))
        over = {race.get("race_id") for race in results}
        waiting = {
            race["race_id"]: _moment(race.get("off_dt"))
            for race in cards
            if isinstance(race.get("race_id"), str)
            and race["race_id"] not in over
            and race.get("is_abandoned") is not True
        }
        return cls(card is not None, waiting, frozenset(_horses([*cards, *results])))

    def wants_results(self, now: datetime) -> bool:
        """Whether a race is due or unfinished; without a card nobody knows, so it may be."""
        if not self.known:
            return True
        return any(off is None or off <= now < off + PATIENCE for off in self.waiting.values())


def _races(value: bytes | None, key: str) -> Iterator[dict[str, Any]]:
    for line in (value or b"").splitlines():
        try:
            races = orjson.loads(line)["payload"][key]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(races, list):
            yield from (race for race in races if isinstance(race, dict))


def _horses(races: list[dict[str, Any]]) -> Iterator[str]:
    for race in races:
        runners = race.get("runners")
        for runner in runners if isinstance(runners, list) else ():
            horse = runner.get("horse_id") if isinstance(runner, dict) else None
            if isinstance(horse, str) and 0 < len(horse) <= MAX_ID and "\0" not in horse:
                yield horse


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None
