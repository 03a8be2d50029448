"""A capture against another one, or against what is served."""

from fastapi import Request

from rederive.comparison import Comparison
from rederive.http.captures import list_captures
from rederive.http.pages.rendering import HTML, page
from rederive.http.routing import Reading, Router, Text
from schemas.capture import CaptureState
from sinks.comparing import Compared

router = Router(prefix="/compare", include_in_schema=False, default_response_class=HTML)

_EXAMPLES = 8
_OFFERED = 100


@router.get("")
def compare(
    request: Request, reads: Reading, one: Text | None = None, other: Text | None = None, go: Text | None = None
) -> HTML:
    """The choice, and once it is made the comparison."""
    offered = [
        capture
        for capture in list_captures(reads, limit=_OFFERED).captures
        if not capture.dry_run and capture.state not in (CaptureState.ROLLED_BACK, CaptureState.ROLLING_BACK)
    ]
    found: list[Compared] | None = None
    comparison = None
    if one and go:
        with reads.temporary("the comparison") as connection:
            comparison = Comparison.of(connection, one, other or None)
            found = list(comparison.run(connection, _EXAMPLES))
    return page(
        request,
        "compare.html",
        offered=offered,
        one=one,
        other=other,
        changes=found,
        equal=found is not None and all(each.equal for each in found),
        left_out=comparison.left_out if comparison else (),
        domain=comparison.domain.name if comparison else "",
        said=f"{one} against {other or 'what is served'}" if found is not None else "",
        here_word="here",
        there_word="there" if other else "served",
        words=["captures", "compare", *([one] if one else []), *([other] if other else [])],
    )
