"""Racing's sources: the API for days that aren't kept yet, the log for those that are."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from psycopg import Connection

from producers import ledger
from producers.log import LogSource
from producers.racing_api import DayFailed
from producers.racing_fetch import Connect, Fetched, Fetcher
from producers.racing_ledger import Place, RacingLedger
from producers.sender import Delivered
from producers.source import Page, Refusal, Request, Source
from schemas.capture import Capture
from schemas.errors import Failed
from schemas.lane import LaneName
from schemas.plan import Plan, PlanHead, PlannedUnit
from schemas.racing import RACING
from schemas.unit import ENVELOPE_BYTES, MAX_RECORD_BYTES, Unit, UnitHeaders

log = logging.getLogger(__name__)

DAY_KINDS = ("racecards", "results")
CALL_SECONDS = 0.5
_MORE_UNITS = 1_000
_SAME_REFUSALS = 5


class RacingDays(Source):
    """Days of a range: fetched where nothing settled is kept, read again from the log otherwise."""

    def __init__(self, connection: Connection, connect: Connect, prefix: str, kafka: Mapping[str, str]) -> None:
        self._connection, self._connect = connection, connect
        self._log = LogSource(RACING, prefix, kafka)
        self._ledger = RacingLedger(connection, prefix, kafka)
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

    def head(self, request: Request) -> PlanHead:
        """The plan's head before anything is found."""
        return PlanHead(
            domain=RACING.name,
            source="api",
            mode=request.mode,
            derivation_version=RACING.derivation_version,
            columns=request.columns,
            request=request.describe(),
        )

    def pages(self, request: Request) -> Iterator[Page]:
        """A unit per answer to ask for, and per record to read again; the masters first, then a page a month."""
        self._to_fetch = self._to_read = 0
        self._ledger.index()
        if "masters" in request.kinds:
            yield Page([self._fetch(0, "masters", {"regions": list(request.keys)})], {})
        kinds = [kind for kind in DAY_KINDS if kind in request.kinds]
        if request.start is None or request.end is None or not kinds:
            return
        days = self._ledger.days(request.start.date(), last_day(request.end), kinds, request.keys)
        for _, month in groupby(days, key=lambda day: (day.day.year, day.day.month)):
            units: list[PlannedUnit] = []
            for day in month:
                number = self._to_fetch + self._to_read
                if request.refetch or not day.settled:
                    asked = {"date": day.day.isoformat(), "regions": list(request.keys)}
                    units.append(self._fetch(number, day.kind, asked))
                elif not request.only_missing:
                    units += [self._again(number + at, place, day.kind, day.day)
                              for at, (place, _) in enumerate(day.kept)]  # fmt: skip
            yield Page(units, {})

    def _fetch(self, number: int, kind: str, asked: Mapping[str, object]) -> PlannedUnit:
        self._to_fetch += 1
        key_range = f"{asked.get('date', asked.get('horse_id', ''))}/{kind}".lstrip("/")
        lane = LaneName.DETAIL if kind == "horse" else LaneName.LOG
        return PlannedUnit(unit=number, key_range=key_range, picked={"fetch": kind, **asked}, rows=None, lane=lane)

    def _again(self, number: int, place: Place, kind: str, day: date | str) -> PlannedUnit:
        self._to_read += 1
        key_range = f"{day.isoformat() if isinstance(day, date) else day}/{kind}"
        return self._log.unit(number, place.log, place.partition, place.offset, key_range)

    def notes(self, request: Request, found: int) -> tuple[str, ...]:
        """How much must be asked for, and how long that takes; why there is nothing to do, if so."""
        if not found:
            return ("nothing to do: every day of the range is kept",) if request.only_missing else ("nothing to do",)
        seconds = self._to_fetch * CALL_SECONDS
        time = timedelta(seconds=round(seconds))
        ask = f"{self._to_fetch:,} answers to ask for (about {time} at 2 requests a second)"
        notes = [f"{ask}, {self._to_read:,} kept records to read again"]
        if "horse" in request.kinds:
            notes.append("then a request per horse whose detail isn't kept, half a second each")
        return tuple(notes)

    def stale(self, plan: Plan) -> str | None:
        """Kept records that are gone, or days that have been fetched since."""
        if gone := self._log.gone(plan):
            return f"{gone:,} of its {plan.found:,} records are no longer in the log"
        if plan.request["refetch"]:
            return None
        self._ledger.index()
        asked = [unit.picked for unit in plan.units if "date" in unit.picked]
        done = 0
        for picked in asked:
            day = date.fromisoformat(picked["date"])
            (found,) = self._ledger.days(day, day, [picked["fetch"]], picked["regions"])
            done += found.settled
        return f"{done:,} of its {plan.found:,} answers have been kept since" if done else None

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit) -> Unit | Refusal | None:
        """A kept record, or the API's answer: fetched ahead while the one before is on its way."""
        if "offset" in unit.picked:
            return self._log.read(capture_id, columns, unit)
        if self._fetcher is None:
            self._fetcher = Fetcher(self._connect)
            self._catch_up()
        upcoming = ledger.planned(self._connection, capture_id, unit.unit, self._fetcher.ahead)
        fetched = self._fetcher.take(unit, [one for one in upcoming if "fetch" in one.picked])
        if fetched is None:
            return None
        if isinstance(fetched, DayFailed):
            self._count_refusal(fetched, capture_id)
            return Refusal(unit, str(fetched))
        self._answered = True
        if len(fetched.value) + ENVELOPE_BYTES > MAX_RECORD_BYTES:
            return Refusal(
                unit,
                f"its {len(fetched.value):,} bytes are over the limit of {MAX_RECORD_BYTES - ENVELOPE_BYTES:,} bytes "
                "a record; ask for one region at a time (--regions)",
            )
        self._fetched[unit.unit] = fetched
        headers = UnitHeaders(
            kind=f"racing.{fetched.answer.kind}",
            capture=capture_id,
            unit=unit.unit,
            columns=columns,
            key_range=unit.key_range,
            observed=fetched.answer.fetched_at.isoformat(),
        )
        # A day's card and result share a partition.
        day = fetched.answer.day
        return Unit(headers, unit.key_range.split("/")[0].encode(), fetched.value, day.toordinal() if day else None)

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
            self._ledger.index()
        except Failed as error:
            log.warning("what is kept can't be indexed now: %s", error)

    def delivered(self, connection: Connection, capture: Capture, delivered: Sequence[Delivered]) -> None:  # noqa: ARG002
        """Note in the ledger what is kept now."""
        for number, partition, offset in delivered:
            if fetched := self._fetched.pop(number, None):
                lane = LaneName.DETAIL if fetched.answer.kind == "horse" else LaneName.LOG
                self._ledger.add(Place(lane, partition, offset), fetched.answer, capture.capture_id)

    def more(self, connection: Connection, capture: Capture) -> Iterator[Sequence[PlannedUnit]]:
        """Details of the horses that ran, where they were asked for."""
        row = connection.execute(
            "SELECT request -> 'kinds' ? 'horse' FROM rederive.captures WHERE capture_id = %s", [capture.capture_id]
        ).fetchone()
        if row is None or not row[0]:
            return
        self._ledger.index()
        units = [
            self._fetch(0, "horse", {"horse_id": horse}) if place is None else self._again(0, place, "horse", horse)
            for horse, place in self._ledger.horses(capture.capture_id)
        ]
        for at in range(0, len(units), _MORE_UNITS):
            yield units[at : at + _MORE_UNITS]


class RacingLog(LogSource):
    """The racing logs by send time.

    Every later fetch of a day that is read again is read again, too: its values stand above those of the earlier one.
    """

    def __init__(self, connection: Connection, prefix: str, kafka: Mapping[str, str]) -> None:
        super().__init__(RACING, prefix, kafka)
        self._ledger = RacingLedger(connection, prefix, kafka)

    def pages(self, request: Request) -> Iterator[Page]:
        """A unit per record sent in [start, end), then one per later fetch of the same days."""
        number = 0
        for page in super().pages(request):
            number += len(page.units)
            yield page
        if request.limit is not None:
            return
        self._ledger.index()
        kept = self._logs[LaneName.LOG]
        ranges = {partition: self._range(kept, partition, request)[1:] for partition in kept.partitions()}
        places = self._ledger.later({partition: (first, last) for partition, (first, last) in ranges.items()})
        yield Page([self.unit(number + at, one.log, one.partition, one.offset) for at, one in enumerate(places)], {})


def last_day(end: datetime) -> date:
    """The last day before a moment."""
    return (end.astimezone(UTC) - timedelta(microseconds=1)).date()
