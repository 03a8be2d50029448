"""What is said when a request can't be answered: one shape for every error, with the words of the command line."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from rederive.http import guard
from schemas.errors import Away, Failed, RederiveError, UsageError

log = logging.getLogger(__name__)

_RETRY_SECONDS = "2"


class Problem(BaseModel):
    """An error: `detail` in one sentence (of wrong parameters a list), and what, why and what to do next."""

    detail: str | list[dict[str, Any]]
    what: str
    why: str = ""
    mend: str = ""


class Refused(Failed):
    """Who asks may not do that: 403."""


class Unknown(Failed):
    """What is asked for isn't there: 404."""


def said_everywhere() -> dict[int | str, dict[str, Any]]:
    """The errors that any path may answer, for OpenAPI."""
    meanings = {404: "It isn't there.", 422: "A parameter is wrong.", 503: "A service doesn't answer now."}
    return {status: {"model": Problem, "description": text} for status, text in meanings.items()}


def install(app: FastAPI) -> None:
    """Have an application say its errors so."""
    app.add_exception_handler(RederiveError, _of_program)
    app.add_exception_handler(RequestValidationError, _of_parameters)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(Exception, _of_bug)


def _of_program(request: Request, error: Exception) -> Response:
    assert isinstance(error, RederiveError)
    match error:
        case UsageError():
            return _said(request, 422, error.what, error.why, error.mend)
        case Unknown():
            return _said(request, 404, error.what, error.why, error.mend)
        case Refused():
            return _said(request, 403, error.what, error.why, error.mend)
        case Away():
            return _said(request, 503, error.what, error.why, error.mend, {"Retry-After": _RETRY_SECONDS})
    return _said(request, 503, error.what, error.why, error.mend)


def _of_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = [{name: one[name] for name in ("loc", "msg", "type")} for one in error.errors()]
    what = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in wrong)
    if "text/html" in request.headers.get("accept", ""):
        return _said(request, 422, what, "", "mend the address of the page")
    problem = Problem(detail=wrong, what=what, mend="/openapi.json says what each path takes")
    return JSONResponse(problem.model_dump(), 422)


def _of_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _said(request, error.status_code, str(error.detail), "", "/openapi.json lists the paths", error.headers)


def _of_bug(request: Request, error: Exception) -> Response:
    log.error("%s %s: unexpected error", request.method, request.url.path, exc_info=error)
    # It is answered outside of the guard.
    headers = {**guard.SAID, "Cache-Control": "no-store"}
    return _said(request, 500, "unexpected error", "", "report it with the traceback in the server's log", headers)


def _said(
    request: Request,
    status: int,
    what: str,
    why: str,
    mend: str,
    headers: Any = None,  # noqa: ANN401
) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        from rederive.http.pages.rendering import page

        answer = page(request, "error.html", status, what=what, why=why, mend=mend)
        answer.headers.update(headers or {})
        return answer
    detail = f"{what}: {why}" if why else what
    return JSONResponse(Problem(detail=detail, what=what, why=why, mend=mend).model_dump(), status, headers=headers)
