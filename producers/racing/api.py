"""A client of The Racing API (racing spec, sections 1 and 1.1): answers as the bytes that came, checked to be whole.

    with RacingApi(RacingSettings(), limit) as api:
        day = api.results(date(2025, 10, 14), ["gb", "ire"])

Every call waits for its turn at the rate limit. What passes by itself is tried again, after 2, 4, 8, 16 and 32 s or the
longer time that the server asks for. No message and no log line holds a credential.
"""

import logging
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode

import httpx2
import orjson
import stamina

from producers.racing.settings import CREDENTIALS, PREFIX, RacingSettings
from producers.rate_limit import StoppedError
from schemas.errors import Failed

log = logging.getLogger(__name__)

CARDS_A_PAGE, RESULTS_A_PAGE = 500, 50
_READINGS = 3
_ALWAYS_THERE = "/courses/regions"
_LONGEST_WAIT = 16  # times the first
_TEXT_LIMIT = 200

_Params = list[tuple[str, str]]
Now = Callable[[], datetime]
_Fits = Callable[[Any], bool]


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


class AccessRefused(Failed):
    """The server refuses these credentials, 401 or 403: critical, no further call can succeed."""


class DayFailed(Failed):
    """One call, or the day it belongs to, can't be had: non-critical, others may be. `status` is the last answer's."""

    def __init__(self, what: str, *, why: str = "", mend: str = "", status: int | None = None) -> None:
        super().__init__(what, why=why, mend=mend)
        self.status = status


class Limit(Protocol):
    """What gives the turns; `producers.rate_limit.RateLimit` is one."""

    def acquire(self, stopping: threading.Event) -> None:
        """Wait for the next turn and take it; StoppedError when `stopping` is set."""


@dataclass(frozen=True, slots=True)
class DayAnswer:
    """A day of one source: its pages as they came, in order, and what they hold.

    `races` and `runners` count list items, whatever is in them. `fetched_at` is when the reading began that gave these
    pages, aware, in UTC.
    """

    pages: tuple[bytes, ...]
    races: int
    runners: int
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class _Answer:
    """A body, what it holds, and when its request was started."""

    body: bytes
    value: Any
    started: datetime

    @property
    def total(self) -> int | None:
        """How many races the server says that there are, over all pages."""
        total: int | None = self.value.get("total")
        return total


class _TransientError(Exception):
    """What may pass by itself; `wait_seconds` is what the server asks for."""

    def __init__(self, reason: str, *, status: int | None = None, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.status, self.wait_seconds = status, wait_seconds


class _ChangedError(Exception):
    """The pages of a day don't fit together: it changed while it was read."""


class RacingApi:
    """The calls that a backfill needs. May be shared by threads; counts `requests`, `errors` and `retries`.

    `requests` are those sent, `errors` those of them that failed (404 is an answer), `retries` those sent again. Waits
    end with StoppedError when `stopping` is set. `now` gives the times of answers, `tries_level` is the level at which
    failed tries are logged, `transport` takes the network's place.
    """

    def __init__(
        self,
        settings: RacingSettings,
        limit: Limit,
        *,
        stopping: threading.Event | None = None,
        first_wait_seconds: float = 2.0,
        now: Now = utc_now,
        tries_level: int = logging.WARNING,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.requests = self.errors = self.retries = 0
        self._attempts = settings.max_retries + 1
        self._first_wait = first_wait_seconds
        self._now, self._tries_level = now, tries_level
        self._limit = limit
        self._stopping = stopping or threading.Event()
        self._counting = threading.Lock()
        user, password = settings.username.get_secret_value(), settings.password.get_secret_value()
        self._secrets = (password, b64encode(f"{user}:{password}".encode()).decode())
        self._http = httpx2.Client(
            auth=(user, password), timeout=settings.timeout, transport=transport, headers={"Accept": "application/json"}
        )
        self._base_url = settings.base_url
        self._has_answered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept alive."""
        self._http.close()

    def racecards(self, day: date, regions: Iterable[str]) -> DayAnswer | None:
        """The cards of a day; None when there are none (404). Raises as `results`."""
        params = [("date", day.isoformat()), *(("region_codes", region) for region in regions)]
        return self._day(f"cards of {day}", "/racecards/pro", "racecards", CARDS_A_PAGE, params)

    def results(self, day: date, regions: Iterable[str]) -> DayAnswer | None:
        """The results of a day; None when there are none (404).

        AccessRefused, DayFailed when this day can't be had; Failed and StoppedError from the rate limit.
        """
        only = day.isoformat()
        params = [("start_date", only), ("end_date", only), *(("region", region) for region in regions)]
        return self._day(f"results of {day}", "/results", "results", RESULTS_A_PAGE, params)

    def courses(self, regions: Iterable[str]) -> bytes:
        """The courses of these regions: `{"courses": […]}`. Raises as `results`; 404 is DayFailed too."""
        return self._needed("/courses", [("region_codes", region) for region in regions], _list_under("courses"))

    def regions(self) -> bytes:
        """The regions, a bare list. Raises as `courses`."""
        return self._needed(_ALWAYS_THERE, [], lambda value: isinstance(value, list))

    def horse(self, horse_id: str) -> bytes | None:
        """One horse's details; None when the API has none (404). Raises as `results`."""
        path = f"/horses/{quote(horse_id, safe='')}/pro"
        answer = self._ask(path, [], lambda value: isinstance(value, dict))
        if answer is None:
            self._check_address()
        return answer.body if answer else None

    def _check_address(self) -> None:
        """AccessRefused when the page that is always there isn't: then 404 says nothing of a day, nor of a horse."""
        if self._has_answered or self._ask(_ALWAYS_THERE, [], lambda value: isinstance(value, list)):
            return
        raise AccessRefused(
            f"The Racing API isn't at {self._base_url}",
            why=f"status 404, for GET {_ALWAYS_THERE} too",
            mend=f"see that {PREFIX}BASE_URL is right",
        )

    def _needed(self, path: str, params: _Params, fits: _Fits) -> bytes:
        answer = self._ask(path, params, fits)
        if answer is None:
            raise DayFailed(
                f"GET {path}: there is no such page", why="404", mend=f"see that {PREFIX}BASE_URL is right", status=404
            )
        return answer.body

    def _day(self, what: str, path: str, key: str, limit: int, params: _Params) -> DayAnswer | None:
        reason = ""
        for _ in range(_READINGS):
            try:
                return self._pages(path, key, limit, params)
            except _ChangedError as error:
                reason = str(error)
                log.warning("%s: %s; reading from the first page again", what, reason)
        raise DayFailed(
            f"the {what} can't be read as a whole",
            why=f"read {_READINGS} times, and the pages never fit together: {reason}",
            mend="ask for the day again later",
        )

    def _pages(self, path: str, key: str, limit: int, params: _Params) -> DayAnswer | None:
        """All pages of a day, read once. _ChangedError when they don't fit together."""
        pages: list[_Answer] = []
        races: list[Any] = []
        while True:
            page = self._ask(
                path, [*params, ("limit", str(limit)), ("skip", str(limit * len(pages)))], _list_under(key)
            )
            if page is None:
                if pages:
                    raise _ChangedError(f"page {len(pages) + 1} is gone")
                self._check_address()
                return None
            _check_next(page, pages, races, key)
            pages.append(page)
            races += page.value[key]
            if len(page.value[key]) < limit or (page.total is not None and limit * len(pages) >= page.total):
                break
        if page.total is not None and page.total != len(races):
            raise _ChangedError(f"{len(races)} races came, the total says {page.total}")
        return DayAnswer(
            tuple(page.body for page in pages), len(races), sum(map(_runners, races)), fetched_at=pages[0].started
        )

    def _ask(self, path: str, params: _Params, fits: _Fits) -> _Answer | None:
        """One answer, tried again while that may help; None is 404."""
        call = f"GET {path}?{urlencode(params)}" if params else f"GET {path}"
        wait = 0.0
        try:
            for attempt in stamina.retry_context(
                on=_again,
                attempts=self._attempts,
                timeout=None,
                wait_initial=self._first_wait,
                wait_max=self._first_wait * _LONGEST_WAIT,
                wait_jitter=0,
            ):
                with attempt:
                    if attempt.num > 1:
                        self._pause(wait)
                    try:
                        return self._once(call, path, params, fits)
                    except _TransientError as error:
                        wait = max(attempt.next_wait, error.wait_seconds)
                        if attempt.num < self._attempts:
                            log.log(
                                self._tries_level,
                                "%s: %s; try %d of %d in %g s", call, error, attempt.num + 1, self._attempts, wait,
                            )  # fmt: skip
                        raise
        except _TransientError as error:
            raise DayFailed(
                f"{call} failed",
                why=f"tried {self._attempts} times; last: {error}",
                mend="see that the API answers, then ask again",
                status=error.status,
            ) from error
        raise AssertionError("unreachable")

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(min(seconds, threading.TIMEOUT_MAX)):
            raise StoppedError
        with self._counting:
            self.retries += 1

    def _once(self, call: str, path: str, params: _Params, fits: _Fits) -> _Answer | None:
        self._limit.acquire(self._stopping)
        started = self._now()
        with self._counting:
            self.requests += 1
        try:
            try:
                response = self._http.get(self._base_url + path, params=httpx2.QueryParams(urlencode(params)))
            except httpx2.RequestError as error:
                raise _TransientError(f"{type(error).__name__}: {error}".rstrip(": ")) from error
            if response.status_code == 404:
                return None
            answer = _Answer(*self._read(call, response, fits), started)
            self._has_answered = True
            return answer
        except (_TransientError, Failed):
            with self._counting:
                self.errors += 1
            raise

    def _read(self, call: str, response: httpx2.Response, fits: _Fits) -> tuple[bytes, Any]:
        """The body and what it holds, by the status policy of section 1.1."""
        status = response.status_code
        if response.is_success:
            return response.content, _parsed(response, fits)
        if status == 429 or status >= 500:
            wait = _retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC))
            raise _TransientError(f"status {status}", status=status, wait_seconds=wait)
        said = self._said(response)
        if status == 401:
            raise AccessRefused(
                "The Racing API refuses the credentials", why=f"status 401: {said}", mend=f"correct {CREDENTIALS}"
            )
        if status == 403:
            raise AccessRefused(
                f"The Racing API does not let this user do {call}",
                why=f"status 403: {said}",
                mend=f"see what the account of {CREDENTIALS} includes: results older than 12 months are an add-on",
            )
        raise DayFailed(f"{call} was refused", why=f"status {status}: {said}", status=status)

    def _said(self, response: httpx2.Response) -> str:
        """The start of the server's own words, in one line; credentials that it may repeat are left out."""
        text = " ".join(response.content[:10_000].decode(errors="replace").split())
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text if len(text) <= _TEXT_LIMIT else text[:_TEXT_LIMIT] + "…"


def _again(error: Exception) -> bool | float:
    # stamina sleeps deaf to `stopping`, so it is told not to wait: the wait is at the start of the next attempt
    return 0.0 if isinstance(error, _TransientError) else False


def _list_under(key: str) -> _Fits:
    return lambda value: isinstance(value, dict) and isinstance(value.get(key), list) and _is_count(value.get("total"))


def _is_count(total: object) -> bool:
    return total is None or (isinstance(total, int) and not isinstance(total, bool) and total >= 0)


def _parsed(response: httpx2.Response, fits: _Fits) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        value = orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        raise _TransientError(f"unreadable JSON: {error}", status=response.status_code) from error
    if not fits(value):
        raise _TransientError("JSON of another shape", status=response.status_code)
    return value


def _check_next(page: _Answer, pages: list[_Answer], races: list[Any], key: str) -> None:
    """_ChangedError when `page` doesn't go on where the pages before it have stopped."""
    if pages and page.total != pages[0].total:
        raise _ChangedError(f"the total was {pages[0].total} and is {page.total}")
    if again := _race_ids(races) & _race_ids(page.value[key]):
        raise _ChangedError(f"race {min(again)} came on two pages")


def _race_ids(races: list[Any]) -> set[str]:
    return {race["race_id"] for race in races if isinstance(race, dict) and isinstance(race.get("race_id"), str)}


def _runners(race: object) -> int:
    runners = race.get("runners") if isinstance(race, dict) else None
    return len(runners) if isinstance(runners, list) else 0


def _retry_after(header: str, now: datetime) -> float:
    """Seconds from now until the server wants to be asked again; 0 when it doesn't say, or not readably."""
    if header.strip().isascii() and header.strip().isdecimal():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
