"""Racing's sources: the API for days that aren't kept yet, the log for those that are."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, ClassVar

from psycopg import Connection

from producers.log import LogSource
from producers.places import Place
from producers.racing.api import DayFailed
from producers.racing.fetch import Fetched, Fetcher
from producers.racing.index import RacingIndex
from producers.racing.locators import Ask
from producers.source import Page, Refusal, Request, Services, Source, Split
from schemas.capture import Capture
from schemas.domain import Domain
from schemas.errors import Failed
from schemas.lane import LaneName
from schemas.plan import Plan, PlannedUnit
from schemas.racing.tables import Kind
from schemas.table import Mode, Table
from schemas.unit import Delivered, Unit
from schemas.words import counted, verb
from store import units
from store.units import Known

log = logging.getLogger(__name__)

DAY_KINDS: tuple[Kind, ...] = ("racecards", "results")
CALL_SECONDS = 0.5
_MORE_UNITS = 1_000
_SAME_REFUSALS = 5


class RacingDays(Source[Ask | Place]):
    """Days of a range: fetched where nothing settled is kept, read again from the log otherwise."""

    locator: ClassVar[Any] = Ask | Place

    def __init__(self, domain: Domain, services: Services) -> None:
        super().__init__(domain, services)
        self._log = LogSource(domain, services)
        self._index = RacingIndex(services.connection, services.prefix, services.kafka, dry=services.dry)
        self._fetcher: Fetcher | None = None
        self._fetched: dict[int, Fetched] = {}
        self._to_fetch = self._to_read = 0
        self._answered = False
        self._refusals: list[int] = []

    def close(self) -> None:
        """Give up what is being fetched, leave the broker."""
        if self._fetcher is not None:
            self._fetcher.close()
        self._log.close()

    def span(self, request: Request) -> str:
        """The race days."""
        return request.days("without race days")

    def pages(self, request: Request) -> Iterator[Page[Ask | Place]]:
        """A unit per answer to ask for, and per record to read again; the masters first, then a page a month."""
        self._to_fetch = self._to_read = 0
        self._index.index()
        if "masters" in request.kinds:
            yield Page([self._fetch(0, Ask(fetch="masters", regions=request.keys))])
        kinds = [kind for kind in DAY_KINDS if kind in request.kinds]
        if request.start is None or request.end is None or not kinds:
            return
        days = self._index.days(request.start.date(), last_day(request.end), kinds, request.keys)
        for _, month in groupby(days, key=lambda day: (day.day.year, day.day.month)):
            found: list[PlannedUnit[Ask | Place]] = []
            for day in month:
                number = self._to_fetch + self._to_read
                if request.refetch or not day.settled:
                    found.append(self._fetch(number, Ask(fetch=day.kind, date=day.day, regions=request.keys)))
                elif not request.only_missing:
                    found += [self._again(number + at, place, day.kind, day.day)
                              for at, (place, _) in enumerate(day.kept)]  # fmt: skip
            yield Page(found)

    def _fetch(self, number: int, ask: Ask) -> PlannedUnit[Ask | Place]:
        self._to_fetch += 1
        key_range = f"{ask.date or ask.horse_id}/{ask.fetch}".lstrip("/")
        lane = LaneName.DETAIL if ask.fetch == "horse" else LaneName.LOG
        return PlannedUnit(unit=number, key_range=key_range, locator=ask, lane=lane)

    def _again(self, number: int, place: Place, kind: str, day: date | str) -> PlannedUnit[Ask | Place]:
        self._to_read += 1
        key_range = f"{day.isoformat() if isinstance(day, date) else day}/{kind}"
        return PlannedUnit(unit=number, key_range=key_range, locator=place)

    def notes(self, request: Request, found: int) -> tuple[str, ...]:
        """How much must be asked for, and how long that takes; why there is nothing to do, if so."""
        if not found:
            return ("nothing to do: every day of the range is kept",) if request.only_missing else ("nothing to do",)
        seconds = self._to_fetch * CALL_SECONDS
        time = timedelta(seconds=round(seconds))
        masters = ", 1 of them the masters" if "masters" in request.kinds else ""
        ask = f"{counted(self._to_fetch, 'answer')} to ask for{masters} (about {time} at 2 requests a second)"
        notes = [f"{ask}, {self._to_read:,} kept records to read again"]
        if "horse" in request.kinds:
            notes.append("then a request per horse whose detail isn't kept, half a second each")
        return tuple(notes)

    def stale(self, plan: Plan[Ask | Place]) -> str | None:
        """Kept records that are gone, or days that have been fetched since."""
        if gone := self._log.gone(plan):
            return f"{gone:,} of its {counted(plan.found, 'record')} {verb(gone, 'is', 'are')} no longer in the log"
        if plan.request["refetch"]:
            return None
        self._index.index()
        done = 0
        for ask in (unit.locator for unit in plan.units if isinstance(unit.locator, Ask)):
            if ask.date is not None:
                (found,) = self._index.days(ask.date, ask.date, [ask.fetch], ask.regions)
                done += found.settled
        return (
            f"{done:,} of its {counted(plan.found, 'answer')} {verb(done, 'has', 'have')} been kept since"
            if done
            else None
        )

    def holding(self, units: Sequence[Known], table: Table, key: Mapping[str, Any], observed: str) -> Sequence[Known]:  # noqa: ARG002
        """All of them: those of answers that were fetched then, or on which the day's races stand, come first."""
        places = set(self._index.observed(observed)) if observed else set()
        return sorted(units, key=lambda unit: _place(unit) not in places)

    def read(
        self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[Ask | Place]
    ) -> Unit | Refusal | Split | None:
        """A kept record, or the API's answer: fetched ahead while the one before is on its way."""
        if isinstance(unit.locator, Place):
            return self._log.read(capture_id, columns, unit)
        if self._fetcher is None:
            self._fetcher = Fetcher(self.services.connect)
            self._catch_up()
        upcoming = units.planned(self.connection, capture_id, unit.unit, self._fetcher.ahead, self.located)
        asked = [(one.unit, one.locator) for one in (unit, *upcoming) if isinstance(one.locator, Ask)]
        fetched = self._fetcher.take(asked)
        if fetched is None:
            return None
        if isinstance(fetched, DayFailed):
            self._count_refusal(fetched, capture_id)
            return Refusal(unit, str(fetched))
        self._answered = True
        day = fetched.answer.day
        made = self.record(
            capture_id,
            columns,
            unit,
            fetched.value,
            kind=f"{self.domain.name}.{fetched.answer.kind}",
            key=unit.key_range.split("/")[0].encode(),
            observed=fetched.answer.fetched_at.isoformat(),
            # A day's card and result share a partition.
            partition=day.toordinal() if day else None,
        )
        if isinstance(made, Refusal):
            return Refusal(unit, f"{made.reason}; ask for one region at a time (--regions)")
        self._fetched[unit.unit] = fetched
        return made

    def _count_refusal(self, failed: DayFailed, capture_id: str) -> None:
        """Failed when the API has refused everything so far in the same way: it is not the days, and asking is vain."""
        if self._answered or failed.status is None or not 400 <= failed.status < 500:
            self._refusals = []
            return
        if self._refusals and self._refusals[0] != failed.status:
            self._refusals = []
        self._refusals.append(failed.status)
        if len(self._refusals) == _SAME_REFUSALS:
            raise Failed(
                f"the first {_SAME_REFUSALS} answers were all refused with status {failed.status}: nothing more is "
                "asked for",
                why=f"{failed.what}: {failed.why}" if failed.why else failed.what,
                mend=f"mend the cause, then `rederive captures retry {capture_id}` asks for all of them again",
            )

    def _catch_up(self) -> None:
        """Index what an earlier run of the capture has sent, and died before it noted that: reports count it."""
        try:
            self._index.index()
        except Failed as error:
            log.warning("what is kept can't be indexed now: %s", error)

    def delivered(self, connection: Connection, capture: Capture, delivered: Sequence[Delivered]) -> None:  # noqa: ARG002
        """Note in the index what is kept now."""
        for number, partition, offset in delivered:
            if fetched := self._fetched.pop(number, None):
                lane = LaneName.DETAIL if fetched.answer.kind == "horse" else LaneName.LOG
                self._index.add(Place(log=lane, partition=partition, offset=offset), fetched.answer, capture.capture_id)

    def more(self, connection: Connection, capture: Capture) -> Iterator[Sequence[PlannedUnit[Ask | Place]]]:
        """Details of the horses that ran, where they were asked for."""
        if "horse" not in capture.request.get("kinds", ()):
            return
        self._index.index()
        known = {unit.key_range.removesuffix("/horse") for unit in units.of_capture(connection, capture.capture_id)}
        due = [
            self._fetch(0, Ask(fetch="horse", horse_id=horse))
            if place is None
            else self._again(0, place, "horse", horse)
            for horse, place in self._index.horses(capture.capture_id)
            if horse not in known
        ]
        for at in range(0, len(due), _MORE_UNITS):
            yield due[at : at + _MORE_UNITS]


def _place(unit: Known) -> Place | None:
    """Where a unit's record is kept."""
    if "offset" in unit.locator:
        return Place.model_validate(unit.locator)
    if unit.partition is None or unit.record_offset is None:
        return None
    return Place(log=unit.lane, partition=unit.partition, offset=unit.record_offset)


class RacingLog(LogSource):
    """The racing logs by send time.

    Every later fetch of a day that is read again is read again, too: its values stand above those of the earlier one.
    """

    def __init__(self, domain: Domain, services: Services) -> None:
        super().__init__(domain, services)
        self._index = RacingIndex(services.connection, services.prefix, services.kafka, dry=services.dry)

    def source_words(self, request: Request) -> list[str]:
        """Days that aren't kept are asked for."""
        return [] if request.mode is Mode.SUPERSEDE else ["--mode", request.mode.value]

    def pages(self, request: Request) -> Iterator[Page[Any]]:
        """A unit per record of the ranges, then one per later fetch of the same days."""
        number = 0
        for page in super().pages(request):
            number += len(page.units)
            yield page
        ranges = {one.partition: (one.first, one.last) for one in self.ranges(request) if one.log is LaneName.LOG}
        if request.limit is not None or request.places or request.dated or not ranges:
            return
        self._index.index()
        places = self._index.later(ranges)
        yield Page([self.again(number + at, one) for at, one in enumerate(places)])


def last_day(end: datetime) -> date:
    """The last day before a moment."""
    return (end.astimezone(UTC) - timedelta(microseconds=1)).date()
