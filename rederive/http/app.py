"""The application: everything that is answered, put together for the settings of a deployment."""

import logging
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from rederive import domains
from rederive.http import captures, coverage, dead_letters, explaining, gaps, health, overview, problems
from rederive.http.cache import Cache
from rederive.http.guard import Guard
from rederive.http.pages import parts as pages
from rederive.http.pages.rendering import Pages
from rederive.http.reads import Reads
from rederive.http.routing import Router
from rederive.http.watching import Watching
from rederive.settings import Settings
from schemas.domain import Domain, Part, load
from schemas.errors import RederiveError

log = logging.getLogger(__name__)

_PARAMETER = re.compile(r"\{[^}]*\}")

_DESCRIPTION = """Reads of what Rederive knows and has derived. Nothing is changed by any of these paths. Times are
ISO 8601 in UTC. Errors say what, why, and what to do next."""


def create_app(settings: Settings, host: str | None = None, *, token: str | None = None) -> FastAPI:
    """The application of these settings; `host` is where it is asked, by default as the settings say.

    With a `token` who shows it may act. It starts no service: those that run are looked at, those that don't are said
    to be away.
    """
    reads = Reads(settings)
    watching = Watching(settings)
    kept: dict[str, Cache[Any]] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        watching.close()
        reads.close()

    app = FastAPI(
        title="Rederive",
        description=_DESCRIPTION,
        version=_version(),
        # Their pages load scripts of other hosts.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=problems.said_everywhere(),
        swagger_ui_oauth2_redirect_url=None,
        separate_input_output_schemas=False,
    )
    app.state.reads, app.state.watching, app.state.settings = reads, watching, settings
    app.state.kept = kept
    pages.install(app, settings, token)
    problems.install(app)
    for part in (health, overview, captures, coverage, gaps, dead_letters, explaining):
        app.include_router(part.router)
    for domain in domains.usable():
        _include(app, domain, domain.routes, Router)
        _include(app, domain, domain.pages, Pages)
    names = [name.strip() for name in settings.dashboard_names.split(",")]
    app.add_middleware(Guard, host=host or settings.dashboard_host, names=names, acts=token is not None)
    return app


def _include(app: FastAPI, domain: Domain, part: Part, kind: type[Router]) -> None:
    """Add paths or pages of a domain; what can't be had is said in the log, and harms no other."""
    if not part:
        return
    try:
        router = load(part)
    except RederiveError as error:
        log.warning("%s", error)
        return
    if why := _why_not(app, domain, part, router, kind):
        log.warning("%s", domains.broken(domain.name, "asked over HTTP", why))
        return
    app.include_router(router, prefix=_below(domain, router), tags=[domain.name])


def _why_not(app: FastAPI, domain: Domain, part: Part, router: object, kind: type[Router]) -> str:
    """Why a router can't be added; empty when it can, and the templates of pages are taken in."""
    if not isinstance(router, kind):
        home = "rederive.http.pages" if kind is Pages else "rederive.http.routing"
        return f"{part} is no {kind.__name__} of {home}"
    # A path with a parameter in the same place is the same path, whatever the parameter is called.
    taken = {_PARAMETER.sub("{}", path) for path in _paths(app.routes)}
    wanted = {_PARAMETER.sub("{}", _below(domain, router) + path) for path in _paths(router.routes)}
    if clash := sorted(taken & wanted):
        return f"the path {clash[0]} is taken"
    if isinstance(router, Pages):
        try:
            app.state.rendering.add(domain.name, router)
        except (ImportError, ValueError) as error:
            return f"the templates of {router.templates} can't be had: {error}"
    return ""


def _below(domain: Domain, router: Router) -> str:
    return f"/{domain.name}" if isinstance(router, Pages) else ""


def _paths(routes: Sequence[BaseRoute]) -> Iterator[str]:
    return (path for one in iter_route_contexts(routes) if (path := getattr(one, "path", None)))


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("rederive")
    except metadata.PackageNotFoundError:
        return "0"
