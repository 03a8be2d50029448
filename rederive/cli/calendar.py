"""Gaps as a calendar: a month a line and a day a character, or a year a line and a week a character."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from itertools import groupby
from typing import NamedTuple

from rich.text import Text

from producers.gap import KINDS, Gap

NOTHING, SEVERAL = ".", "*"

_STYLES = {"m": "red", "f": "bold red", "e": "yellow", "n": "yellow", "d": "cyan", "o": "magenta", "h": "bold red"}
_INDENT = 9
_DAY = timedelta(days=1)
_MONTHS = "JFMAMJJASOND"

Signs = Mapping[date, str]


class Line(NamedTuple):
    """A line of a calendar: what it is of, and a character a day or week, or else words."""

    name: str
    signs: str
    drawn: bool = True


def sign_of(kind: str) -> str:
    """What stands in the calendar for a kind of gap."""
    return KINDS[kind].sign if kind in KINDS else kind[:1].upper() or "?"


def calendar(gaps: Iterable[Gap], first: date | None, last: date | None) -> Iterator[Text]:
    """Lines for a terminal: of gaps of weeks, then of gaps of days, each if there are any.

    From `first` to `last`, or as far as the gaps reach.
    """
    of: dict[int, dict[date, set[str]]] = defaultdict(lambda: defaultdict(set))
    for gap in gaps:
        if gap.day is not None:
            of[gap.days][gap.day].add(sign_of(gap.kind))
    for days in sorted(of, reverse=True):
        signs = {day: next(iter(found)) if len(found) == 1 else SEVERAL for day, found in of[days].items()}
        starts, ends = first or min(signs), last or max(signs)
        if days == 1:
            yield Text(" " * _INDENT + "1   5    10   15   20   25   30")
            lines = folded(months(signs, starts, ends))
        else:
            yield Text(" " * _INDENT + _ruler(starts.year))
            lines = years(signs, starts, ends)
        for line in lines:
            signs_of = _coloured(line.signs) if line.drawn else Text(line.signs)
            yield Text(line.name.ljust(_INDENT)).append_text(signs_of)
        yield Text("")


def months(signs: Signs, first: date, last: date) -> Iterator[Line]:
    """A line a month, a character a day; blank outside the range."""
    for _, month in groupby(_days(first, last), key=lambda day: (day.year, day.month)):
        days = list(month)
        drawn = " " * (days[0].day - 1) + "".join(signs.get(day, NOTHING) for day in days)
        yield Line(f"{days[0]:%Y-%m}", drawn)


def years(signs: Signs, first: date, last: date) -> Iterator[Line]:
    """A line a year, a character a week, by its last day; blank outside the range."""
    weekday = next(iter(signs)).weekday()
    start = first + timedelta(days=(weekday - first.weekday()) % 7)
    weeks = [start + timedelta(weeks=n) for n in range((last - start).days // 7 + 1)]
    for year, of_year in groupby(weeks, key=lambda week: week.year):
        found = list(of_year)
        drawn = " " * ((found[0].timetuple().tm_yday - 1) // 7)
        yield Line(f"{year}", drawn + "".join(signs.get(week, NOTHING) for week in found))


def folded(lines: Iterable[Line]) -> Iterator[Line]:
    """Neighbours that are of one character throughout as one line."""
    for sign, group in groupby(lines, key=lambda line: _throughout(line.signs)):
        alike = list(group)
        if not sign or len(alike) < 3:
            yield from alike
        else:
            said = "no gap" if sign == NOTHING else f"{sign} on every day"
            yield Line(f"{alike[0].name} to {alike[-1].name}  ", said, drawn=False)


def _throughout(signs: str) -> str:
    found = set(signs) - {" "}
    return found.pop() if len(found) == 1 else ""


def _days(first: date, last: date) -> Iterator[date]:
    return (first + n * _DAY for n in range((last - first).days + 1))


def _ruler(year: int) -> str:
    """The months' initials, each above the week that its first day is in."""
    ruler = [" "] * 53
    for month, initial in enumerate(_MONTHS, start=1):
        ruler[(date(year, month, 1).timetuple().tm_yday - 1) // 7] = initial
    return "".join(ruler).rstrip()


def _coloured(signs: str) -> Text:
    text = Text()
    for sign, run in groupby(signs):
        text.append("".join(run), _STYLES.get(sign, "dim" if sign == NOTHING else "bold"))
    return text
