"""The server: the application on an address of this machine, until it is told to stop."""

import asyncio
import logging
import socket
import sys
import threading
import webbrowser

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rederive.http.app import create_app
from rederive.settings import Settings
from schemas.errors import Failed

log = logging.getLogger(__name__)

_GRACE_SECONDS = 1
_KEPT_ALIVE_SECONDS = 15
_ASKED_SECONDS = 5
_MOST_AT_ONCE = 200


def serve(settings: Settings, host: str, port: int, *, token: str | None = None, open_page: bool = False) -> None:
    """Answer until SIGTERM or Ctrl+C; with a token who shows it may act. Failed where the address can't be had.

    `open_page` opens the first page in this machine's browser, if there is one.
    """
    listening = _listening(host, port)
    with listening:
        name, bound = listening.getsockname()[:2]
        shown = f"[{name}]" if ":" in name else name
        page = f"http://{shown}:{bound}/"
        log.info("listening on %s (Ctrl+C ends it)", page.rstrip("/"))
        if token is not None:
            page = f"{page}login?token={token}"
            # Not into a log that somebody keeps.
            sys.stderr.write(f"to act, open {page}\n")
        if open_page:
            # A browser of the terminal would take it over until it is left; who connects now is answered soon.
            threading.Thread(target=webbrowser.open, args=[page], daemon=True).start()
        config = uvicorn.Config(
            create_app(settings, host, token=token),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=_KEPT_ALIVE_SECONDS,
            limit_concurrency=_MOST_AT_ONCE,
            h11_max_incomplete_event_size=64 * 1024,
            http=_Impatient,
            ws="none",
        )
        uvicorn.Server(config).run(sockets=[listening])


class _Impatient(H11Protocol):
    """Ends a connection on which no request becomes whole in time: some hundred of them would shut everybody out."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch(waits=True)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch(waits=self.conn.their_state in (h11.IDLE, h11.SEND_BODY))

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch(waits=False)
        super().connection_lost(exc)

    def _watch(self, *, waits: bool) -> None:
        if waits and self._late is None:
            self._late = self.loop.call_later(_ASKED_SECONDS, self.timeout_keep_alive_handler)
        elif not waits and self._late is not None:
            self._late.cancel()
            self._late = None


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise Failed(f"{host} is no address of this machine", why=str(error.strerror), mend="say another --host") from (
            error
        )
    # Only of sockets that name their protocol does asyncio know that answers shouldn't wait for more to send.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(1024)
        opened.set_inheritable(True)
    except (OSError, OverflowError) as error:
        opened.close()
        why = getattr(error, "strerror", "") or str(error)
        mend = "say another --port, 0 takes any; or end what listens there"
        raise Failed(f"port {port} of {host} can't be had", why=why, mend=mend) from error
    return opened
