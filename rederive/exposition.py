"""A process's own little server: `/metrics`, `/healthz` and `/readyz`, on a port by the settings."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from rederive import targets
from rederive.measuring import Measured

log = logging.getLogger(__name__)

_PORTS = 256
"""So many are tried from a port on: each process takes the next that is free."""

_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 2.0


@contextmanager
def served(measured: Measured, home: Path, host: str, port: int, labels: dict[str, str]) -> Iterator[None]:
    """Answer meanwhile, on `port` or the next that is free (0: any), and be listed among the targets of the home.

    Work goes on where no port can be had: that is said in the log.
    """
    try:
        server = _bound(host, port)
    except OSError as error:
        log.warning("this process has no metrics: port %d of %s can't be had (%s)", port, host, error.strerror or error)
        yield
        return
    with server:
        server.set_app(_answering(measured))
        server.look = measured.look
        bound = server.server_address[1]
        # On every address: of them this machine's name is the one that others can use.
        name = socket.gethostname() if host in ("", "0.0.0.0", "::") else host
        shown = f"[{name}]:{bound}" if ":" in name else f"{name}:{bound}"
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        log.info("metrics of this process: http://%s/metrics", shown)
        try:
            with targets.listed(home, shown, labels):
                yield
        finally:
            server.shutdown()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    look: Callable[[], None] = staticmethod(lambda: None)
    _looked = 0.0

    def service_actions(self) -> None:
        """Look now and then how the process does, whether somebody asks or not."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            try:
                self.look()
            except Exception:
                # Partitions change hands while they are looked at; what is served must not end with it.
                log.debug("how the process does can't be seen now", exc_info=True)

    def server_bind(self) -> None:
        """Bind, and ask no name server who that is."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - its own
        """Say nothing of requests."""


def _bound(host: str, port: int) -> _Server:
    made = _Server6 if ":" in host else _Server
    for tried in range(port, port + _PORTS if port else 1):
        try:
            return made((host, tried), _Handler)
        except OSError as error:
            last = error
    raise last


def _answering(measured: Measured) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(measured.registry)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        why = measured.why_not() if environ["PATH_INFO"] == "/readyz" else []
        said: object
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics(environ, start)
            case "/healthz":
                status, said = "200 OK", {"status": "ok"}
            case "/readyz":
                status, said = "503 Service Unavailable" if why else "200 OK", {"ready": not why, "why": why}
            case _:
                status, said = "404 Not Found", {"detail": "there are /metrics, /healthz and /readyz"}
        start(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [json.dumps(said).encode()]

    return answer
