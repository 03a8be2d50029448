"""What every request has to pass, and what every answer says besides: names, methods, headers."""

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALLOWED = ("GET", "HEAD")
_LARGEST_FORM = 64 * 1024
_LOCAL = ("127.0.0.1", "localhost", "::1")

_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

SAID = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every answer."""


class Guard:
    """Lets through what asks to read, under a name that is this server's own; HEAD is a GET whose body isn't sent.

    With `acts` also forms, of 64 KiB at most: who may send which is said by the pages (rederive.http.pages.access).

    A page of a stranger's whose name was made to resolve to this machine comes under its own name, and is refused.
    """

    def __init__(self, app: ASGIApp, host: str, names: Iterable[str] = (), *, acts: bool = False) -> None:
        self._app = app
        self._methods = (*_ALLOWED, "POST") if acts else _ALLOWED
        self._names = {*_LOCAL, host.lower(), *(name.lower() for name in names)} - {""}
        self._any_address = _address(host) is not None and ipaddress.ip_address(host).is_unspecified

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        method = scope["method"]
        # What comes with the program is kept, and asked whether it is the same.
        kept = "no-cache" if scope["path"].startswith("/static/") else "no-store"
        headed = _with_headers(send, bodiless=method == "HEAD", kept=kept)
        refusal = self._refusal(Headers(scope=scope), method)
        if refusal is not None:
            await refusal(scope, receive, headed)
            return
        await self._app({**scope, "method": "GET" if method == "HEAD" else method}, receive, headed)

    def _refusal(self, headers: Headers, method: str) -> JSONResponse | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return _refused(
                421,
                "this server is not asked under that name",
                "add the name to REDERIVE_DASHBOARD_NAMES, or ask under the name that was given as --host",
            )
        if method not in self._methods:
            return _refused(405, f"nothing is changed here: {method} is not allowed", "use GET", self._methods)
        if method == "POST":
            size = headers.get("content-length", "")
            # Where both are said the chunks count, whatever the length says.
            if not size.isdecimal() or int(size) > _LARGEST_FORM or "transfer-encoding" in headers:
                return _refused(
                    413, "that is no form of this server's", f"send at most {_LARGEST_FORM} bytes, and say so"
                )
        return None

    def _is_own(self, host: str) -> bool:
        name = _name(host)
        # Where it listens on every address, each of them is its name; who asks for an address was led by no DNS.
        return name in self._names or (self._any_address and _address(name) is not None)


def _name(host: str) -> str:
    """The name of a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _refused(status: int, what: str, mend: str, allowed: Iterable[str] = ()) -> JSONResponse:
    content = {"detail": what, "what": what, "why": "", "mend": mend}
    return JSONResponse(content, status, headers={"Allow": ", ".join(allowed)} if allowed else None)


def _with_headers(send: Send, *, bodiless: bool, kept: str = "no-store") -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SAID.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", kept)
        elif bodiless and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return headed
