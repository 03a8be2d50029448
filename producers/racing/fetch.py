"""Fetch planned answers of the Racing API, the next ones while the last is on its way."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import date
from queue import SimpleQueue

import orjson
import stamina
from psycopg import Connection

from producers.racing.api import DayFailed, Now, RacingApi, utc_now
from producers.racing.index import Answer
from producers.racing.locators import Ask
from producers.racing.settings import RacingSettings
from producers.rate_limit import RateLimit
from schemas.racing.tables import BOOKMAKERS

Connect = Callable[[], Connection]

_IN_FLIGHT = 2
"""Requests on their way at most: a day's card and its result. It keeps the pace where an answer takes a second."""

_PATIENCE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer as it stands in a raw record: JSON Lines, one a page (docs/records.md)."""

    answer: Answer
    value: bytes


class Fetcher:
    """Answers by unit, fetched in order by two threads that share the API's rate limit. `close` it in the end.

    `now` and `tries_level` are as for `RacingApi`.
    """

    ahead = _IN_FLIGHT - 1

    def __init__(self, connect: Connect, *, now: Now = utc_now, tries_level: int = logging.WARNING) -> None:
        settings = RacingSettings()
        # The client says itself what it tries again, and when.
        stamina.instrumentation.set_on_retry_hooks(())
        self._stopping = threading.Event()
        self._limit = RateLimit(connect, settings.limit_name())
        self._now = now
        self._api = RacingApi(settings, self._limit, stopping=self._stopping, now=now, tries_level=tries_level)
        self._asked: SimpleQueue[tuple[Ask, Future[Fetched]] | None] = SimpleQueue()
        self._futures: dict[int, Future[Fetched]] = {}
        for number in range(_IN_FLIGHT):
            # Daemons: nobody waits at the end for a server that doesn't answer, which a pool's threads make one do.
            threading.Thread(target=self._serve, name=f"fetch {number}", daemon=True).start()

    def take(self, units: Sequence[tuple[int, Ask]]) -> Fetched | DayFailed | None:
        """The first unit's answer, or why there is none; None when it hasn't come in 0.2 s: ask again.

        The others are asked for meanwhile. Failed when nothing more can be had at all.
        """
        for number, ask in units:
            if number not in self._futures:
                self._futures[number] = Future()
                self._asked.put((ask, self._futures[number]))
        number, _ = units[0]
        wait([self._futures[number]], _PATIENCE_SECONDS)
        if not self._futures[number].done():
            return None
        try:
            return self._futures.pop(number).result()
        except DayFailed as error:
            return error

    def close(self) -> None:
        """End the waits of the threads; what they were fetching is dropped, whenever it comes."""
        self._stopping.set()
        for _ in range(_IN_FLIGHT):
            self._asked.put(None)
        self._api.close()

    def _serve(self) -> None:
        while (asked := self._asked.get()) is not None and not self._stopping.is_set():
            ask, future = asked
            try:
                future.set_result(self._fetch(ask))
            except BaseException as error:
                future.set_exception(error)
        # Here, because a database that hangs would hold up whoever waits for the limit's lock.
        self._limit.close()

    def _fetch(self, ask: Ask) -> Fetched:
        kind = ask.fetch
        fetched_at = self._now()
        regions = ask.regions
        day: date | None = None
        races = runners = 0
        payloads: list[bytes] | None
        if kind == "masters":
            bookmakers = [
                {"code": code, "name": name, "type": type_, "is_active": True} for code, name, type_ in BOOKMAKERS
            ]
            payloads = [
                self._api.courses(regions), self._api.regions(), orjson.dumps({"bookmakers": bookmakers})
            ]  # fmt: skip
        elif kind == "horse":
            payload = self._api.horse(ask.horse_id)
            payloads = None if payload is None else [payload]
        else:
            day = ask.date
            assert day is not None
            found = self._api.racecards(day, regions) if kind == "racecards" else self._api.results(day, regions)
            payloads = None if found is None else list(found.pages)
            if found is not None:
                fetched_at, races, runners = found.fetched_at, found.races, found.runners
        said = {
            "kind": kind,
            "date": day.isoformat() if day else None,
            "regions": regions,
            "horse_id": ask.horse_id or None,
            "observed": fetched_at.isoformat(),
        }
        value = b"\n".join(_line(said, payload) for payload in payloads or [b"null"])
        answer = Answer(kind, day, regions, fetched_at, races, runners, len(value), said["horse_id"])  # type: ignore[arg-type]
        return Fetched(answer, value)


_PAYLOAD = b',"payload":'


def payloads(value: bytes) -> list[bytes]:
    """The payloads of a record that was made here, as they stand in it: what the API said, whenever it was asked.

    Of a record in another spelling they may be empty.
    """
    return [line.partition(_PAYLOAD)[2] for line in value.split(b"\n")]


def _line(said: Mapping[str, object], payload: bytes) -> bytes:
    """One line of a raw record: the payload's own bytes, but for line ends, which JSON has only between its tokens."""
    head = orjson.dumps({name: value for name, value in said.items() if value is not None})
    return head[:-1] + _PAYLOAD + payload.replace(b"\r", b" ").replace(b"\n", b" ") + b"}"
