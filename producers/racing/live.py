"""Racing live: what The Racing API says of today, tomorrow and the days before comes to the racing logs by itself."""

import logging
import re
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime, timedelta

import psycopg

from producers.live import Arriving, Live
from producers.places import Place
from producers.racing.api import DayFailed, utc_now
from producers.racing.due import CAUGHT_UP_DAYS, Due
from producers.racing.fetch import Fetched, Fetcher, payloads
from producers.racing.index import RacingIndex
from producers.racing.locators import Ask
from producers.racing.settings import LiveSettings
from producers.records import Records
from producers.sender import Sender
from producers.source import Services
from producers.topics import partitions_of
from schemas.domain import Domain
from schemas.errors import Away, Failed
from schemas.lane import Lane, LaneName
from schemas.racing.tables import REGIONS
from schemas.unit import Unit
from schemas.wire import RawHeaders, oversize

log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_DELIVERY_SECONDS = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 300.0
_TOO_LARGE = 413
_NUMBER = re.compile(r"\d+")


class LiveDays(Live):
    """One answer a step: asked for when it is due, delivered when it says something new, noted when it is delivered.

    `clock` is the time by which days begin and things are due, aware.
    """

    def __init__(
        self, domain: Domain, services: Services, arriving: Arriving, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        super().__init__(domain, services, arriving)
        self._settings = LiveSettings()
        self._clock = clock
        self._index = RacingIndex(services.connection, services.prefix, services.kafka)
        since = arriving.from_now.date() if arriving.from_now else None
        self._due = Due(self._index, self._settings, self._read, since)
        self._fetcher = Fetcher(services.connect, now=clock, tries_level=logging.DEBUG)
        self._senders: dict[LaneName, Sender] = {}
        self._number = 0
        self._indexed: date | None = None
        self._said: dict[Ask | None, set[str]] = {}
        """Causes that have been told: of asks that were refused, under None of those that pass."""

        self._pause = 0.0
        self._resume_at: datetime | None = None

    def step(self) -> float:
        """Ask for what is due, one answer, and deliver it unless the same is kept.

        AccessRefused when the API refuses the credentials. What else it can't give is said, and asked for again later.
        """
        now = self._clock()
        self.arriving.moving()
        if self._indexed != now.date():
            self._index.index(self.arriving.moving)
            self._say_missed(now.date())
            self._indexed = now.date()
        if self._resume_at is not None and 0 < (left := (self._resume_at - now).total_seconds()) <= self._pause:
            return min(left, _LOOK_SECONDS)
        ask = self._due.next(now)
        if ask is None:
            return _LOOK_SECONDS
        answer = self._answer(ask)
        if answer is None:
            return 0.0
        if isinstance(answer, DayFailed):
            return self._put_off(ask, answer)
        self._pause, self._resume_at = 0.0, None
        self._keep(ask, answer)
        self._due.done(ask, self._clock())
        self._said.pop(ask, None)
        if None in self._said and not self._due.failing:
            del self._said[None]
            log.info("The Racing API answers again")
        return 0.0

    def _answer(self, ask: Ask) -> Fetched | DayFailed | None:
        """The API's answer, or why there is none; None when this is to end before it has come."""
        self._number += 1
        while not self.arriving.stop.is_set():
            self.arriving.moving()
            try:
                answer = self._fetcher.take([(self._number, ask)])
            except Failed as error:
                # The limit's database, of which this process knows already that it has the tables.
                if isinstance(error.__cause__, (psycopg.OperationalError, Failed)):
                    raise Away(error.what, why=error.why, mend=error.mend) from error
                raise
            if isinstance(answer, Fetched) and (too_large := oversize(answer.value, _key(ask))):
                return DayFailed(
                    f"{_named(ask)} can't be kept: ask for fewer regions", why=too_large, status=_TOO_LARGE
                )
            if answer is not None:
                return answer
        return None

    def _put_off(self, ask: Ask, failed: DayFailed) -> float:
        """Say why it can't be had, once; in how many seconds to go on."""
        if failed.status is not None and 400 <= failed.status < 500 and failed.status != 429:
            self._say(ask, failed, "asked for again when its schedule says so")
            self._due.done(ask, self._clock())
            return 0.0
        self._due.failed(ask)
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._resume_at = self._clock() + timedelta(seconds=self._pause)
        self._say(None, failed, "asked again every few minutes until it answers; nothing is lost by that")
        return _LOOK_SECONDS

    def _say(self, of: Ask | None, failed: DayFailed, then: str) -> None:
        """Each cause once: of an outage until all is answered that has failed, of one ask until that is."""
        cause = failed.why or failed.what
        # Of days that are not looked at any more nobody will hear again.
        self._said = {one: causes for one, causes in self._said.items() if one is None or self._due.tried(one)}
        said = self._said.setdefault(of, set())
        # Where an answer stops being JSON is of no interest.
        if (kind := f"{failed.status} {_NUMBER.sub('', cause)}") not in said:
            said.add(kind)
            what = "The Racing API doesn't answer as it should" if of is None else failed.what
            log.warning("%s: %s; it is %s", what, cause, then)

    def _keep(self, ask: Ask, fetched: Fetched) -> None:
        """Deliver an answer and note where it stands; one that says what the last one said is noted only."""
        said = fetched.answer
        if ask.date is not None:
            assert ask.fetch in ("racecards", "results")
            (day,) = self._index.days(ask.date, ask.date, [ask.fetch], ask.regions)
            last = day.last(ask.regions, self._clock())
            if last and payloads(self._read(last[0]) or b"") == payloads(fetched.value):
                self._index.confirm(last[0], said.fetched_at)
                return
        named = _named(ask)
        headers = RawHeaders(f"{self.domain.name}.{said.kind}", key_range=named, observed=said.fetched_at.isoformat())
        # A day's card and result share a partition.
        partition = ask.date.toordinal() if ask.date else self._number
        lane = LaneName.DETAIL if ask.fetch == "horse" else LaneName.LOG
        # Until it is noted the log may hold what the index lacks: whoever steps again then looks.
        indexed, self._indexed = self._indexed, None
        place = self._deliver(lane, Unit(headers, _key(ask), fetched.value, partition))
        self._index.add(place, said, None)
        self._indexed = indexed
        if ask.date is not None:
            log.info("%s: %d races, %d runners", named, said.races, said.runners)

    def _deliver(self, lane: LaneName, unit: Unit) -> Place:
        """Send a record and wait until it stands on its log. Failed or Away when it doesn't."""
        self.arriving.moving()
        topics = Lane(self.domain.name, lane, self.services.prefix)
        sender = self._senders.pop(lane, None)
        if sender is None:
            kafka = self.services.kafka
            sender = Sender(kafka, topics.raw, partitions_of(kafka, topics.raw), topics.codec, at_once=True)
        ((_, partition, offset),) = sender.deliver([unit], _DELIVERY_SECONDS)
        self._senders[lane] = sender
        self.arriving.sent(1)
        return Place(log=lane, partition=partition, offset=offset)

    def _read(self, place: Place) -> bytes | None:
        """What a record holds; None when it is no longer there."""
        self.arriving.moving()
        topic = Lane(self.domain.name, place.log, self.services.prefix).raw
        with closing(Records(self.services.kafka, topic)) as records:
            message = records.at(place.partition, place.offset)
        return message.value() if message else None

    def _say_missed(self, today: date) -> None:
        if missed := self._due.missed(today):
            first, last = missed
            regions = self._settings.regions
            of = "" if set(regions) == set(REGIONS) else f" --regions {' '.join(regions)}"
            log.warning(
                "%s to %s were missed and are more than %d days ago: "
                "`rederive replay racing --from %s --to %s --skip-masters%s` fills them",
                first, last, CAUGHT_UP_DAYS, first, last, of,
            )  # fmt: skip

    def close(self) -> None:
        """Give up what is being fetched, leave the broker; what isn't delivered is asked for again."""
        self._fetcher.close()
        for sender in self._senders.values():
            sender.drop()


def _named(ask: Ask) -> str:
    return f"{_key(ask).decode()}/{ask.fetch}"


def _key(ask: Ask) -> bytes:
    return (ask.date.isoformat() if ask.date else ask.horse_id).encode()
