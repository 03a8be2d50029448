"""Templates into answers: one environment for an application, in which everything that is said is escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from jinja2.loaders import BaseLoader, ChoiceLoader

from rederive.http.pages.wording import FILTERS
from rederive.http.routing import Router
from schemas.words import counted

HTML = HTMLResponse
"""What a page answers."""

_MENU = (
    ("/", "Overview"),
    ("/captures", "Captures"),
    ("/coverage", "Coverage"),
    ("/dead-letters", "Dead letters"),
    ("/compare", "Compare"),
    ("/logs", "Logs"),
)


class Pages(Router):
    """Pages of a domain, below `/NAME`: `Domain.pages` names it.

    `templates` is the package with a folder of that name, from which they are had as `NAME/file.html`; `menu` has the
    paths that stand in the bar at the top, each with its word.
    """

    def __init__(self, templates: str, menu: Sequence[tuple[str, str]] = (), **more: Any) -> None:  # noqa: ANN401
        super().__init__(**{"include_in_schema": False, "default_response_class": HTMLResponse, **more})
        self.templates, self.menu = templates, tuple(menu)


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart: its name, and a figure for each of the chart's moments, None where there is none."""

    name: str
    values: Sequence[float | None]
    digits: int = 4


@dataclass(frozen=True, slots=True)
class Chart:
    """Figures over time or over another row of numbers; a table where there is no JavaScript.

    `at` are the moments; `marks` are moments with their names; `bars` draws bars in place of lines.
    """

    title: str
    at: Sequence[Any]
    series: Sequence[Series]
    unit: str = ""
    marks: Sequence[tuple[Any, str]] = ()
    bars: bool = False
    log: bool = False


@dataclass(slots=True)
class Rendering:
    """The templates of an application, and its menu."""

    menu: list[tuple[str, str]] = field(default_factory=lambda: list(_MENU))
    _environment: Environment = field(init=False)
    _of_domains: dict[str, BaseLoader] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = PackageLoader("rederive.http.pages")
        self._environment = Environment(
            # Whatever a template is called: nothing that is stored comes into a page as it is.
            autoescape=True,
            loader=ChoiceLoader([own, PrefixLoader(self._of_domains)]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(counted=counted, url=url)

    def add(self, domain: str, pages: Pages) -> None:
        """Take in the pages of a domain."""
        self._of_domains[domain] = PackageLoader(pages.templates)
        self.menu += [(f"/{domain}/{path}", name) for path, name in pages.menu]

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """A template with these values."""
        return self._environment.get_template(template).render(context)


def page(request: Request, template: str, status: int = 200, /, **context: Any) -> HTMLResponse:  # noqa: ANN401
    """A page: the template, with the menu, whether the reader may act, and these values."""
    state = request.app.state
    access = state.access
    everything = {
        "menu": state.rendering.menu,
        "path": request.url.path,
        "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "offers_actions": access.offered,
        "may_act": access.may_act(request),
        "csrf": access.csrf(request),
        **context,
    }
    return HTMLResponse(state.rendering.render(template, everything), status)


def url(*parts: object, **query: object) -> str:
    """A path of these parts, each escaped, with a query of those values that aren't None."""
    path = "/" + "/".join(quote(str(part), safe=":") for part in parts)
    said = [(name.rstrip("_"), value) for name, value in query.items() if value not in (None, "")]
    return f"{path}?{urlencode(said, doseq=True)}" if said else path
