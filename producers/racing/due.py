"""What is to be asked of The Racing API next: schedules, held against what is kept and when it was asked for."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta

from producers.places import Place
from producers.racing.index import Day, RacingIndex
from producers.racing.locators import Ask
from producers.racing.programme import Programme
from producers.racing.schedule import Schedule
from producers.racing.settings import LiveSettings
from schemas.racing.tables import Kind

CAUGHT_UP_DAYS = 14
"""So many days back what was missed is asked for."""

_DAY = timedelta(days=1)
_KINDS: tuple[Kind, ...] = ("racecards", "results")

_Days = Mapping[tuple[date, Kind], Day]


class Due:
    """Asks that are due, of the UTC day that it is, of the next, and of days before.

    An ask is due when its schedule has named a time since it was asked for last. That is known from the index, so a
    producer that begins again repeats nothing; a time still to come, which a clock that was wrong has left, counts for
    nothing. `read` reads a record, `since` is the first day that is caught up with.
    """

    def __init__(
        self, index: RacingIndex, settings: LiveSettings, read: Callable[[Place], bytes | None], since: date | None
    ) -> None:
        self._index, self._settings, self._read, self._since = index, settings, read, since
        self._tried: dict[Ask, datetime] = {}
        self._failed: dict[Ask, int] = {}
        self._failures = 0
        self._programmes: dict[date, tuple[tuple[Place | None, ...], Programme]] = {}
        self._shown: tuple[Programme, ...] = ()
        self._horses: deque[str] = deque()

    def next(self, now: datetime) -> Ask | None:
        """What to ask for now: what hasn't failed first, then what failed longest ago; None when nothing is due."""
        today = now.date()
        first = self._first(today)
        amended = today - self._settings.amended_days * _DAY
        days = {
            (day.day, day.kind): day
            for day in self._index.days(min(first, amended), today + _DAY, _KINDS, self._settings.regions)
        }
        self._tried = {ask: at for ask, at in self._tried.items() if (ask.date, ask.fetch) in days}
        due = [*self._scheduled(days, first, amended, now), *self._details(days, now)]
        self._failed = {ask: at for ask, at in self._failed.items() if ask in due}
        return min(due, key=lambda ask: self._failed.get(ask, 0), default=None)

    def done(self, ask: Ask, now: datetime) -> None:
        """It has been answered, or refused for good: what it asks for is due again with its schedule."""
        self._failed.pop(ask, None)
        if ask.fetch == "horse":
            self._horses = deque(horse for horse in self._horses if horse != ask.horse_id)
            return
        self._tried[ask] = now

    def failed(self, ask: Ask) -> None:
        """It stays due, behind all others."""
        self._failures += 1
        self._failed[ask] = self._failures

    def tried(self, ask: Ask) -> bool:
        """Whether it has been asked for by this process, and is of a day that is still looked at."""
        return ask in self._tried

    @property
    def failing(self) -> bool:
        """Whether something that is due has failed."""
        return bool(self._failed)

    def missed(self, today: date) -> tuple[date, date] | None:
        """Days since the last settled one that are too long ago to be caught up with by themselves."""
        if self._since is not None:
            return None
        _, settled = self._index.ends(self._settings.regions, today)
        last = today - (CAUGHT_UP_DAYS + 1) * _DAY
        return (settled + _DAY, last) if settled and settled < last else None

    def _first(self, today: date) -> date:
        """The first day to catch up with: none before anything was kept at all."""
        kept, _ = self._index.ends(self._settings.regions, today)
        first = today if kept is None else max(kept, today - CAUGHT_UP_DAYS * _DAY)
        return first if self._since is None else max(first, min(self._since, today))

    def _scheduled(self, days: _Days, first: date, amended: date, now: datetime) -> Iterator[Ask]:
        today, settings = now.date(), self._settings
        yield from self._if_due(today, "racecards", settings.cards, days, now)
        for ask in self._if_due(today, "results", settings.results, days, now):
            if self._programme(today, days, now).wants_results(now):
                yield ask
        yield from self._if_due(today + _DAY, "racecards", settings.cards, days, now)
        for (day, kind), found in days.items():
            if first <= day < today and not found.settled:
                yield from self._if_due(day, kind, settings.missed, days, now)
            elif amended <= day < today and kind == "results" and found.kept:
                yield from self._if_due(day, kind, settings.amended, days, now)

    def _if_due(self, day: date, kind: Kind, schedule: Schedule, days: _Days, now: datetime) -> Iterator[Ask]:
        ask = Ask(fetch=kind, date=day, regions=self._settings.regions)
        last = days[day, kind].last(ask.regions, now)
        said = (last[1].fetched_at, last[1].confirmed_at) if last else ()
        times = [at for at in (*said, self._tried.get(ask)) if at is not None and at <= now]
        if not times or max(times) < schedule.last(now):
            yield ask

    def _programme(self, day: date, days: _Days, now: datetime) -> Programme:
        """What the day's last records say, read when they are others than before."""
        lasts = [days[day, kind].last(self._settings.regions, now) for kind in _KINDS]
        places = tuple(last[0] if last else None for last in lasts)
        known = self._programmes.get(day)
        if known is None or known[0] != places:
            self._programmes = {at: one for at, one in self._programmes.items() if at >= now.date()}
            known = places, Programme.of(*(self._read(place) if place else None for place in places))
            self._programmes[day] = known
        return known[1]

    def _details(self, days: _Days, now: datetime) -> Iterator[Ask]:
        """The first horse of today and tomorrow whose detail isn't kept, where details are wanted."""
        if not self._settings.horses:
            return
        shown = tuple(self._programme(day, days, now) for day in (now.date(), now.date() + _DAY))
        if shown != self._shown:
            horses = sorted(shown[0].horses | shown[1].horses)
            kept = self._index.details_kept(horses)
            self._horses = deque(horse for horse in horses if horse not in kept)
            self._shown = shown
        if self._horses:
            yield Ask(fetch="horse", horse_id=self._horses[0])
