"""Logging in and out: the token becomes a cookie at once."""

from typing import Annotated

from fastapi import Form, Request
from fastapi.responses import RedirectResponse

from rederive.http.pages.access import COOKIE, MayAct, access_of, check_origin
from rederive.http.pages.rendering import HTML, page
from rederive.http.routing import Query, Router

router = Router(include_in_schema=False, default_response_class=HTML)

_LONGEST = 200


@router.get("/login", response_model=None)
def login(request: Request, token: Annotated[str, Query(max_length=_LONGEST)] = "") -> HTML | RedirectResponse:
    """The form; with the token in the address, as the terminal shows it, there is nothing to fill in."""
    return _begun(request, token) if token else page(request, "login.html")


@router.post("/login", response_model=None)
def log_in(request: Request, token: Annotated[str, Form(max_length=_LONGEST)] = "") -> RedirectResponse:
    """Begin a session."""
    check_origin(request)
    return _begun(request, token)


@router.post("/logout", dependencies=[MayAct], response_model=None)
def log_out(request: Request) -> RedirectResponse:
    """End the session."""
    access_of(request).end(request)
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _begun(request: Request, token: str) -> RedirectResponse:
    session = access_of(request).begin(token.strip())
    answer = RedirectResponse("/", 303)
    answer.set_cookie(COOKIE, session, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer
