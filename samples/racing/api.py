"""A stand-in for The Racing API on this machine: made-up days, real rules, faults on demand (racing spec, section 1).

    python -m samples.racing.api --port 8099 --faults 429,500,timeout --every 20

The first line on stdout is the base URL, for RACING_API_BASE_URL. User and password are those of RACING_API_USERNAME
and RACING_API_PASSWORD, `standin` both when these are not set.
"""

import base64
import hmac
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Annotated, NamedTuple, cast
from urllib.parse import urlsplit

from cyclopts import App, Parameter

from samples.racing.days import RacingDay
from samples.racing.faults import KINDS, Fault, Faults
from samples.racing.routes import Answer, Query, Shelf, not_found, respond

USER = PASSWORD = "standin"
GAP = 0.5
"""Seconds between the starts of two requests (racing spec, section 1.1)."""

_BASE = "/v1"
_CUT = 0
_STATUSES = {"401", "403", "404", "422", "429", "500", "503"}
_FAULTS = f"Faults to show in turn, with commas: {', '.join(KINDS)}; 429:3 comes with Retry-After."
_HTML = b"<!doctype html><title>Bad gateway</title><h1>We'll be back soon</h1>"


class Request(NamedTuple):
    """A request in the log: when its first line was read (monotonic), path and query, the status or 0 for none."""

    at: float
    target: str
    status: int

    @property
    def path(self) -> str:
        """The path after the base URL, without query."""
        return urlsplit(self.target).path


class StandIn:
    """The server: `with StandIn() as api: api.base_url`. Faults, days and `gap` may be changed while it runs.

    `today` is the day it believes to be: results end the day before, cards a week after. `gap` is the least number of
    seconds between the starts of two requests, None checks nothing; `tolerance` is what a request may be early by, for
    clients and threads that are late. A request that comes too early is answered 429, without Retry-After.
    """

    def __init__(
        self,
        *,
        username: str = USER,
        password: str = PASSWORD,
        today: date | None = None,
        port: int = 0,
        gap: float | None = None,
        tolerance: float = 0.05,
        faults: Sequence[Fault] = (),
        every: int = 0,
        cycle: Sequence[Fault] = (),
    ) -> None:
        self.shelf = Shelf(today or datetime.now(UTC).date())
        self.faults = Faults(every, cycle)
        self.faults.add(*faults)
        self.gap, self.tolerance = gap, tolerance
        self.too_early = 0
        """How many requests came closer to the one before than `gap`."""
        self._authorization = b"Basic " + base64.b64encode(f"{username}:{password}".encode())
        self._requests: list[Request] = []
        self._last_start = float("-inf")
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="racing-api")
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}{_BASE}"

    def __enter__(self) -> "StandIn":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every connection and all threads; again does nothing."""
        self._server.stop()
        self._thread.join()

    @property
    def requests(self) -> list[Request]:
        """The log so far, in the order of answers."""
        with self._lock:
            return list(self._requests)

    @property
    def counts(self) -> Counter[str]:
        """Requests by path."""
        return Counter(request.path for request in self.requests)

    def asked(self, day: date, path: str = "/") -> list[Request]:
        """The requests for a day, whatever the source, or of one path."""
        found = []
        for request in self.requests:
            start, end = Query(urlsplit(request.target).query).days()
            if request.path.startswith(path) and start and start <= day.isoformat() <= end:
                found.append(request)
        return found

    def put(self, day: RacingDay) -> None:
        """Answer with this day in place of the usual one: `api.put(api.day(when).swapped())`."""
        self.shelf.put(day)

    def day(self, when: date) -> RacingDay:
        """A day as it's answered now."""
        return self.shelf.day(when)

    def is_known(self, authorization: str) -> bool:
        """Whether a header has the right user and password."""
        return hmac.compare_digest(authorization.encode(), self._authorization)

    def is_too_early(self, at: float) -> bool:
        """Note a request's start; whether it is too close to the one before."""
        with self._lock:
            early = self.gap is not None and at - self._last_start < self.gap - self.tolerance
            self._last_start = max(at, self._last_start)
            self.too_early += early
            return early

    def note(self, request: Request) -> None:
        """Put a request into the log."""
        with self._lock:
            self._requests.append(request)


class _Server(ThreadingTCPServer):
    # Stopping waits for every thread: none is left behind.
    daemon_threads = False
    block_on_close = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], api: StandIn) -> None:
        self.api = api
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: object, client_address: object) -> None:
        with self._lock:
            self._open.add(cast(socket.socket, request))
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def shutdown_request(self, request: object) -> None:
        with self._lock:
            self._open.discard(cast(socket.socket, request))
        super().shutdown_request(request)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that has gone is no error
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def stop(self) -> None:
        """End every connection, answers that are held included, and wait for their threads."""
        self.shutdown()
        with self._lock:
            for connection in self._open:
                end(connection)
        self.server_close()


def end(connection: socket.socket) -> None:
    """Wake whoever reads from a connection: it is over."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: _Server

    def parse_request(self) -> bool:
        self.at = time.monotonic()
        return super().parse_request()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, query = url.path.removeprefix(_BASE), Query(url.query)
        self.target = self.path.removeprefix(_BASE)
        api = self.server.api
        if not api.is_known(self.headers.get("Authorization", "")):
            self._send(_refusal(401))
        elif api.is_too_early(self.at):
            self._send(_refusal(429))
        elif not url.path.startswith(f"{_BASE}/"):
            self._send(not_found())
        else:
            fault = api.faults.next(path, *query.days(), self.target)
            if fault is None:
                self._send(respond(api.shelf, path, query))
            else:
                self._fail(fault, path, query)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nothing is printed: a header could hold a password."""

    def _fail(self, fault: Fault, path: str, query: Query) -> None:
        if fault.kind in _STATUSES:
            self._send(_refusal(int(fault.kind)), retry_after=fault.retry_after)
        elif fault.kind == "html":
            self._send(Answer(200, _HTML), content_type="text/html; charset=utf-8")
        elif fault.kind == "list":
            self._send(Answer(200, b"{}" if path == "/courses/regions" else b"[]"))
        elif fault.kind == "broken":
            body = respond(self.server.api.shelf, path, query).body
            self._send(Answer(200, body[: len(body) // 2]))
        elif fault.kind == "cut-body":
            answer = respond(self.server.api.shelf, path, query)
            self._send(answer, shown=len(answer.body) // 2)
            self._close()
        else:
            self._note(_CUT)
            if fault.kind == "timeout":
                # Gives nothing back until the client or the server ends the connection.
                self.connection.recv(1)
            self._close()

    def _close(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        end(self.connection)

    def _note(self, status: int) -> None:
        self.server.api.note(Request(self.at, self.target, status))

    def _send(
        self,
        answer: Answer,
        *,
        content_type: str = "application/json",
        retry_after: int | None = None,
        shown: int | None = None,
    ) -> None:
        # Noted before it is sent: whoever has an answer finds it in the log.
        self._note(answer.status)
        self.send_response(answer.status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.status == 401:
            self.send_header("WWW-Authenticate", "Basic")
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(answer.body[:shown])


def _refusal(status: int) -> Answer:
    return Answer(status, b'{"detail":"status %d"}' % status)


app = App(name="python -m samples.racing.api", help="A stand-in for The Racing API on this machine.")


@app.default
def serve(
    *,
    port: Annotated[int, Parameter(help="0 is any free one.")] = 0,
    faults: Annotated[str, Parameter(help=_FAULTS)] = "",
    every: Annotated[int, Parameter(help="Of so many requests the last one fails.")] = 10,
    today: Annotated[date | None, Parameter(help="The day it believes to be; results end the day before.")] = None,
    gap: Annotated[float | None, Parameter(help="Seconds between requests: sooner ones get 429.")] = None,
) -> None:
    """Serve until Ctrl+C or SIGTERM; the first line on stdout is the base URL."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        api = StandIn(
            username=os.environ.get("RACING_API_USERNAME", USER),
            password=os.environ.get("RACING_API_PASSWORD", PASSWORD),
            today=today,
            port=port,
            gap=gap,
            every=every,
            cycle=[Fault.parse(text) for text in faults.split(",") if text],
        )
    except (ValueError, OSError, OverflowError) as error:  # an unknown fault, a port that is taken or no port
        sys.exit(f"the stand-in can't start: {error}")
    with api:
        sys.stdout.write(f"{api.base_url}\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    app()
