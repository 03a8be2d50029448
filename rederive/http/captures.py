"""Captures: what ran, what became of it, one with its counts, its problems by reason, and its units."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict

from rederive import captures as ledger
from rederive import domains
from rederive.http.routing import BaseModel, Key, Limit, Moment, Query, Reading, Router, Text, Unknown
from schemas.capture import CaptureState, UnitState
from schemas.errors import Failed
from store import captures as stored
from store import units
from store.captures import Listed
from store.problems import Reason

router = Router(prefix="/api/captures", tags=["captures"])


class CapturePage(BaseModel):
    """Captures, the newest first; `next` is what to say as `before` for those that follow, None at the end."""

    captures: list[Listed]
    ways_on: list[str]
    next: str | None


class DeadUnit(BaseModel):
    """A unit of which nothing could be made."""

    unit: int
    range: str
    failure: str | None


class Shown(BaseModel):
    """A capture: what was asked, its counts, problems by reason with examples, the first dead units, how to go on."""

    model_config = ConfigDict(extra="allow")

    capture_id: str
    number: int
    domain: str
    source: str
    state: str
    mode: str
    dry_run: bool
    derivation_version: int
    columns: list[str]
    request: dict[str, Any]
    digest: str
    created_at: datetime
    finished_at: datetime | None
    who: str
    reason: str
    units: int
    units_done: int
    units_dead: int
    units_removed: int
    rows: int
    updated: int
    unchanged: int
    skipped: int
    errors: int
    to_take_out: dict[str, int]
    way_on: list[str]
    problems: list[Reason]
    dead: list[DeadUnit]


class UnitPage(BaseModel):
    """Units of a capture by number; `next` is what to say as `after` for those that follow, None at the end."""

    units: list[units.Listed]
    next: int | None


@router.get("")
def list_captures(
    reads: Reading,
    domain: Annotated[Text | None, Query(description="Only of this domain.")] = None,
    state: Annotated[CaptureState | None, Query(description="Only those that stand so.")] = None,
    since: Annotated[Moment | None, Query(description="Only those made since.")] = None,
    before: Annotated[Text | None, Query(description="Only those made before this one.")] = None,
    limit: Limit = 50,
) -> CapturePage:
    """Captures, the newest first, with their counts."""
    if domain is not None:
        domains.known(domain)
    with reads.connection("the list of captures") as connection:
        if before is not None and stored.find(connection, before) is None:
            raise Unknown(f"there is no capture {before}", mend="leave `before` out to begin with the newest")
        states = (state,) if state else ()
        found = stored.listed(
            connection, limit=limit + 1, domain=domain, states=states, since=since, before=before
        )  # one more tells whether more follow
        shown = found[:limit]
        ways_on = ledger.said(connection, {one.capture_id: one.state for one in shown})
    return CapturePage(captures=shown, ways_on=ways_on, next=shown[-1].capture_id if len(found) > limit else None)


@router.get("/{capture}")
def show_capture(capture: Key, reads: Reading) -> Shown:
    """One capture, by its id, or `latest`, or `latest:DOMAIN`."""
    with reads.connection("looking at the capture") as connection:
        try:
            named = ledger.named(connection, capture)
            found = ledger.shown(connection, named)
        except Failed as error:
            if error.__cause__ is not None:
                raise
            raise Unknown(error.what, why=error.why, mend=error.mend) from error
    return Shown.model_validate(found)


@router.get("/{capture}/units")
def list_units(
    capture: Key,
    reads: Reading,
    state: Annotated[UnitState | None, Query(description="Only those that stand so.")] = None,
    after: Annotated[int, Query(ge=-1, le=2**31 - 1, description="Only those of a higher number.")] = -1,
    limit: Limit = 100,
) -> UnitPage:
    """The units of a capture, by number."""
    with reads.connection("looking at the units") as connection:
        if stored.find(connection, capture) is None:
            raise Unknown(f"there is no capture {capture}", mend="/api/captures lists all")
        found = units.listed(connection, capture, state=state, after=after, limit=limit + 1)
    return UnitPage(units=found[:limit], next=found[limit - 1].unit if len(found) > limit else None)
