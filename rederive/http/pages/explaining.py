"""One value: what wrote it, from which record and inputs, computed again, and its rivals."""

from fastapi import Request

from rederive.http.explaining import explain
from rederive.http.pages.rendering import HTML, page
from rederive.http.routing import Key, Reading, Router, Text

router = Router(prefix="/explain", include_in_schema=False, default_response_class=HTML)

_INPUTS = 60


@router.get("/{domain}")
def one_value(
    request: Request, domain: Key, reads: Reading, key: Text, column: Text, table: Text | None = None
) -> HTML:
    """As `rederive explain` says it."""
    found = explain(request, domain, reads, key=key, column=column, table=table)
    inputs = sorted(found.inputs, key=lambda one: not one["used"])
    return page(
        request,
        "explain.html",
        domain=domain,
        found=found,
        key="/".join(found.key.values()),
        inputs=inputs[:_INPUTS],
        more=max(0, len(inputs) - _INPUTS),
        words=["explain", domain, found.table, "/".join(found.key.values()), found.column],
    )
