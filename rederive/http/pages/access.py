"""Who may change something: whoever has shown the token that `rederive dashboard --actions` prints.

A cookie that no script can read and no other site's request carries names the session; each form carries what only the
session's own pages know.
"""

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastapi import Depends, Request

from rederive.http.problems import Refused

COOKIE = "rederive"
_HOURS = 12.0
_MOST_SESSIONS = 100


@dataclass(slots=True)
class Access:
    """Sessions of an application. Without a token nothing can be changed, whatever anybody shows."""

    token: str | None = field(default=None, repr=False)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _sessions: dict[str, float] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def offered(self) -> bool:
        """Whether there are actions at all."""
        return self.token is not None

    def begin(self, token: str) -> str:
        """A new session's name, for whoever has the token. Refused for another one."""
        if self.token is None:
            raise Refused("nothing can be changed here", mend="start it with `rederive dashboard --actions`")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise Refused(
                "that is not the token", mend="it stands in the terminal where `rederive dashboard --actions` runs"
            )
        session = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._sessions) >= _MOST_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[session] = time.monotonic()
        return session

    def end(self, request: Request) -> None:
        """End the session that a request comes with."""
        with self._lock:
            self._sessions.pop(request.cookies.get(COOKIE, ""), None)

    def may_act(self, request: Request) -> bool:
        """Whether a request comes with a session."""
        begun = self._sessions.get(request.cookies.get(COOKIE, ""))
        return begun is not None and time.monotonic() - begun < 3600 * _HOURS

    def csrf(self, request: Request) -> str:
        """What the forms of a request's session carry; empty without one."""
        if not self.may_act(request):
            return ""
        return hmac.new(self._key, request.cookies[COOKIE].encode(), hashlib.sha256).hexdigest()

    def check_session(self, request: Request) -> None:
        """Refused unless a request comes from a page of this server's, with a session."""
        if not self.offered:
            raise Refused("nothing can be changed here", mend="start it with `rederive dashboard --actions`")
        check_origin(request)
        if not self.may_act(request):
            raise Refused("log in first", why="the request names no session", mend="/login takes the token")

    def check_form(self, request: Request, csrf: str) -> None:
        """Refused unless a form was made for the session that a request comes with."""
        if not hmac.compare_digest(csrf.encode(), self.csrf(request).encode()):
            raise Refused("the form is not one of this session's", mend="open the page again, and send it from there")


def check_origin(request: Request) -> None:
    """Refused for what a page of another origin sends, were it one of another port of this machine."""
    site, origin = (request.headers.get(name) for name in ("sec-fetch-site", "origin"))
    own = request.headers.get("host", "")
    # Where no referrer is sent, browsers name no origin of their own page's either; what they say of its site they do.
    named = origin is None or urlsplit(origin).netloc == own or (origin == "null" and site == "same-origin")
    if site not in (None, "same-origin", "none") or not named:
        raise Refused("another site's page has sent this", why=f"it comes from {origin or site}")


def access_of(request: Request) -> Access:
    """The sessions of the application that a request came to."""
    found: Access = request.app.state.access
    return found


async def acting(request: Request) -> None:
    """Let through only forms of those who may act: what every path that changes something depends on."""
    access = access_of(request)
    # Before anything of its body is read.
    access.check_session(request)
    form = await request.form(max_files=0, max_fields=200)
    csrf = form.get("csrf", "")
    access.check_form(request, csrf if isinstance(csrf, str) else "")


def logged_in(request: Request) -> None:
    """Refused for whoever may not act: what shows what an action would do costs something, too."""
    access = access_of(request)
    if not access.offered:
        raise Refused("nothing can be changed here", mend="start it with `rederive dashboard --actions`")
    if not access.may_act(request):
        raise Refused("log in first", mend="/login takes the token that the terminal shows")


MayAct = Depends(acting)
"""A dependency of paths that change something."""

MayPreview = Depends(logged_in)
"""A dependency of paths that show what an action would do."""
