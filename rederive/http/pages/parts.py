"""What the pages add to an application: their paths, what is kept for them, the files that they load."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from rederive.http.pages import (
    capture_actions,
    captures,
    comparing,
    coverage,
    dead_letters,
    explaining,
    jobs,
    login,
    logs,
    overview,
    replaying,
)
from rederive.http.pages.access import Access
from rederive.http.pages.jobs import Jobs
from rederive.http.pages.overview import Trends
from rederive.http.pages.rates import Rates
from rederive.http.pages.rendering import Rendering
from rederive.settings import Settings

_STATIC = Path(__file__).parent / "static"
_PARTS = (
    overview, captures, capture_actions, replaying, coverage, dead_letters, explaining, comparing, logs, jobs, login,
)  # fmt: skip


def install(app: FastAPI, settings: Settings, token: str | None) -> None:
    """Add the pages, on which whoever has the token may act; without one nobody may."""
    state = app.state
    state.rendering, state.access = Rendering(), Access(token)
    state.trends, state.rates, state.jobs = Trends(), Rates(), Jobs(settings)
    app.mount("/static", StaticFiles(directory=_STATIC))
    for part in _PARTS:
        app.include_router(part.router)
