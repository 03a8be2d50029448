"""Coverage: a calendar of days or weeks by columns, each with the share of rows in which a column is NULL."""

from fastapi import Request

from rederive import domains
from rederive.http.coverage import Span, coverage, tables
from rederive.http.coverage import found as as_found
from rederive.http.pages.rendering import HTML, page
from rederive.http.routing import Day, Key, Reading, Router, Text

router = Router(prefix="/coverage", include_in_schema=False, default_response_class=HTML)

_SPANS = 42
"""So many days, weeks or months are shown at once."""


@router.get("")
def every_domain(request: Request, reads: Reading) -> HTML:
    """Every table in short."""
    found = [(name, tables(request, name, reads)) for name in (one.name for one in domains.usable())]
    return page(request, "coverage.html", domains=found)


@router.get("/{domain}")
def one_domain(
    request: Request,
    domain: Key,
    reads: Reading,
    table: Text | None = None,
    by: Span = "day",
    before: Day | None = None,
) -> HTML:
    """The calendar of a table."""
    now = coverage(request, domain, reads, table=table, by=by, before=before, limit=_SPANS)
    was = as_found(request, domain, reads, table=now.table, by=by)
    spans = [one for one in now.spans if one.start is not None]
    return page(
        request,
        "coverage_domain.html",
        domain=domain,
        now=now,
        was={} if was is None else {one.start: one for one in was.spans},
        was_whole=was,
        spans=spans[::-1],
        undated=[one for one in now.spans if one.start is None],
        tables=[one.name for one in domains.find(domain).tables],
    )
