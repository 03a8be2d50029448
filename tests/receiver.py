"""Somebody who is notified: an HTTP server that keeps what apprise posts to it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """What was told, as (title, text), in order; `secret` stands in its address."""

    address: str = ""
    secret: str = "hunter2"
    told: list[tuple[str, str]] = field(default_factory=list)

    def titles(self) -> list[str]:
        return [title for title, _ in self.told]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """One that listens meanwhile."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.told.append((said["title"], said["message"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        receiver.address = f"json://someone:{receiver.secret}@127.0.0.1:{server.server_port}"
        try:
            yield receiver
        finally:
            server.shutdown()
