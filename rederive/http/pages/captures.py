"""Captures: all of them, and one with what it changed."""

from typing import Any

from fastapi import Request

from rederive import captures as ledger
from rederive import domains
from rederive.cli.capture_text import facts
from rederive.comparison import Comparison
from rederive.http.captures import list_captures, show_capture
from rederive.http.pages.rates import rates_of
from rederive.http.pages.rendering import HTML, page
from rederive.http.reads import Reads
from rederive.http.routing import Key, Reading, Router, Text
from schemas.capture import CaptureState
from schemas.live import LIVE
from schemas.table import Mode
from sinks.comparing import Compared
from store import captures as stored

router = Router(prefix="/captures", include_in_schema=False, default_response_class=HTML)

EXAMPLES = 8
_SAID_ABOVE = ("", "capture", "state", "domain", "units", "rows", "now")


@router.get("")
def captures(
    request: Request,
    reads: Reading,
    domain: Text | None = None,
    state: Text | None = None,
    before: Text | None = None,
) -> HTML:
    """The newest first."""
    asked = CaptureState(state) if state in list(CaptureState) else None
    found = list_captures(reads, domain=domain or None, state=asked, before=before or None, limit=50)
    return page(
        request,
        "captures.html",
        captures=found.captures,
        ways_on=found.ways_on,
        next=found.next,
        before=before,
        domain=domain,
        state=state,
        states=[one.value for one in CaptureState],
        domains=domains.names(),
        rates=rates_of(request).of(found.captures),
    )


@router.get("/{capture}")
def one_capture(request: Request, capture: Key, reads: Reading) -> HTML:
    """A capture: how far it is, what was asked, its problems; what it changed comes when it is asked for."""
    return _shown(request, capture, reads, changes=None)


@router.get("/{capture}/changes")
def changes(request: Request, capture: Key, reads: Reading) -> HTML:
    """The same with what it changed, by column and day."""
    with reads.temporary("what the capture changed") as connection:
        named = ledger.named(connection, capture)
        comparison = Comparison.changes(connection, named)
        found = list(comparison.run(connection, EXAMPLES))
    return _shown(request, named, reads, changes=found)


def _shown(request: Request, capture: str, reads: Reads, changes: list[Compared] | None) -> HTML:
    found = show_capture(capture, reads).model_dump()
    with reads.connection("looking at the capture") as connection:
        rates = rates_of(request).of(stored.listed(connection, limit=1, capture_id=found["capture_id"]))
    shadow = found["mode"] == Mode.SHADOW
    return page(
        request,
        "capture.html",
        found=found,
        facts=[(name, text) for name, text in facts(found) if name not in _SAID_ABOVE],
        rate=rates.get(found["capture_id"]),
        actions=list(_actions(found)),
        changes=changes,
        changes_why=_unchanged(found),
        domain=found["domain"],
        said="What would be served once it is promoted, against what is served now."
        if shadow
        else "What is served now of the rows that it has written, against what would be without it.",
        here_word="promoted" if shadow else "now",
        there_word="served" if shadow else "without it",
        here=request.url.path.removesuffix("/changes"),
    )


def _unchanged(found: dict[str, Any]) -> str:
    if found["dry_run"]:
        return "It is a dry run: it has written nothing."
    if found["state"] in (CaptureState.ROLLED_BACK, CaptureState.ROLLING_BACK):
        return "It is rolled back: nothing of it is left."
    return ""


def _actions(found: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """What can be done with a capture as it stands: the action, its word, whether it takes something away."""
    state, live, dry = found["state"], found["source"] == LIVE, found["dry_run"]
    gone = state in (CaptureState.ROLLED_BACK, CaptureState.ROLLING_BACK)
    unfinished = found["units_done"] < found["units"] or state == CaptureState.CANCELLED
    wanted = {
        "cancel": ("Cancel", True, state == CaptureState.RUNNING and not live),
        "resume": ("Resume", False, not live and not gone and unfinished),
        "retry": ("Retry dead units", False, not live and not gone and found["units_dead"] > 0),
        "verify": ("Verify", False, not dry and not gone),
        "promote": (
            "Promote",
            False,
            not dry
            and ((found["mode"] == Mode.SHADOW and state == CaptureState.COMPLETE) or state == CaptureState.PROMOTING),
        ),
        "rollback": ("Roll back", True, not dry and state != CaptureState.ROLLED_BACK),
    }
    return [(name, word, danger) for name, (word, danger, can) in wanted.items() if can]
