"""What cards and results have in common: races of an answer, their runners, and what becomes of junk."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from processors.racing.masters import Masters
from processors.racing.rows import Rows
from schemas.outcome import Outcome, RowProblem
from schemas.payload import shown
from schemas.racing.tables import SKIPS
from schemas.words import counted


@dataclass(frozen=True, slots=True)
class Line:
    """One answer of the API: a line of a raw record's value.

    `date` is the day asked for, `observed` when the answer was fetched, ISO 8601 in UTC. `careful`: texts may hold
    characters that can't be stored. A payload of None: no data.
    """

    kind: str
    date: str | None
    observed: str
    payload: Any
    careful: bool


class Gathered:
    """The rows of one source and what went wrong, while a unit is read."""

    def __init__(self, rows: Rows, outcome: Outcome) -> None:
        self.rows, self.outcome = rows, outcome
        self.masters = Masters(rows)
        self.put = {table: rows.putter(table) for table in rows.columns}
        self._listed: set[str] = set()

    def field_size(self, race_id: str) -> int | None:
        """Distinct runners of a race so far, 0 for an empty list; None where no list of runners came."""
        return len(self.rows.runners.get(race_id, ())) if race_id in self._listed else None

    def races(self, line: Line, name: str) -> Iterator[dict[str, Any]]:
        """The races of an answer; ValueError when it has no list of that name."""
        if line.payload is None:
            return
        found = line.payload.get(name) if isinstance(line.payload, dict) else None
        if not isinstance(found, list):
            raise ValueError(f"the payload is no answer of {line.kind}: that is an object with a list {name}")
        for race in found:
            if type(race) is dict:
                yield race
            else:
                self.error((None,), f"a race is {shown(race)}, not an object")

    def runners(self, race_id: str, race: dict[str, Any], problems: list[str]) -> Iterator[dict[str, Any]]:
        """The runners of a race."""
        found = race.get("runners")
        if type(found) is not list:
            if found is not None:
                problems.append(f"runners is {shown(found)}, not a list")
            return
        self._listed.add(race_id)
        for runner in found:
            if type(runner) is dict:
                yield runner
            else:
                self.error((race_id, None), f"a runner is {shown(runner)}, not an object")

    def without_race(self, race: dict[str, Any], problems: list[str]) -> None:
        """A race that has no usable id is left out, with its runners."""
        if problem := _problem_of("race_id", problems):
            runners = race.get("runners")
            count = len(runners) if type(runners) is list else 0
            self.error((None,), f"{problem}: the race and its {counted(count, 'runner')} are left out")
        else:
            self._skip((None,), "race_without_id")

    def without_horse(self, race_id: str, problems: list[str]) -> None:
        """A runner that has no usable horse is left out."""
        if problem := _problem_of("horse_id", problems):
            self.error((race_id, None), f"{problem}: the runner is left out")
        else:
            self._skip((race_id, None), "runner_without_horse")

    def errors(self, key: tuple[Any, ...], problems: list[str]) -> None:
        """Report the fields of a row that were junk, if any."""
        if problems:
            self.error(key, "; ".join(problems))

    def error(self, key: tuple[Any, ...], text: str) -> None:
        """Report what is wrong with a row."""
        self.outcome.errors.append(RowProblem(key, "error", text))

    def _skip(self, key: tuple[Any, ...], reason: str) -> None:
        self.outcome.skips.append(RowProblem(key, reason, SKIPS[reason]))


def race_day(date: str | None, line: Line) -> str:
    """When a race was, for what it says of masters: its date, else the day asked for, else the fetch."""
    day = date or line.date
    return f"{day}T00:00:00+00:00" if day else line.observed


def _problem_of(field: str, problems: list[str]) -> str | None:
    return next((problem for problem in problems if problem.startswith(f"{field} ")), None)
