"""Replays: what to recompute, what that would do, and then the command; and plans that fill what is missing."""

import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import Request
from fastapi.responses import RedirectResponse

from rederive import domains
from rederive.gaps import fill_command
from rederive.http.gaps import gaps as look_for_gaps
from rederive.http.pages.access import MayAct, MayPreview, access_of
from rederive.http.pages.command_options import Option, options, words
from rederive.http.pages.jobs import began, environment, jobs_of
from rederive.http.pages.rendering import HTML, page
from rederive.http.routing import Day, Key, Query, Router, Text, Unknown
from rederive.settings import Settings
from schemas.errors import Away, Failed

router = Router(include_in_schema=False, default_response_class=HTML)

From = Annotated[Day, Query(alias="from")]

_PLAN_SECONDS = 60
_MOST_PLAN_BYTES = 256 * 1024 * 1024
_UNITS = 20
_one_at_a_time = threading.BoundedSemaphore(1)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a replay would do, as `rederive plan` says it; or why it can't be done."""

    plan: Mapping[str, Any] | None
    said: str


@router.get("/replay", dependencies=[MayPreview])
def choose(request: Request) -> HTML:
    """Which domain."""
    return page(request, "replay.html", domains=[domain.name for domain in domains.usable() if domain.sources])


@router.get("/replay/{domain}", dependencies=[MayPreview])
def ask(request: Request, domain: Key) -> HTML:
    """What to recompute; with anything said, what that would do."""
    every = _options("replay", domain)
    said = {one.field: " ".join(request.query_params.getlist(one.field)) for one in every}
    planned = None
    if "preview" in request.query_params:
        planned = _planned(request.app.state.settings, domain, words(_options("plan", domain), said, asks=False))
    return page(
        request,
        "replay_domain.html",
        domain=domain,
        options=every,
        said=said,
        planned=planned,
        units=_UNITS,
        words=["replay", domain, *words(every, said)],
    )


@router.post("/replay/{domain}", dependencies=[MayAct])
async def replay(request: Request, domain: Key) -> RedirectResponse:
    """Begin it."""
    form = await request.form()
    said = {name: value for name, value in form.items() if isinstance(value, str)}
    line = ["replay", domain, *words(_options("replay", domain), said)]
    return began(jobs_of(request).begin(line, f"Replay {domain}"))


@router.get("/coverage/{domain}/gaps")
def gaps(
    request: Request,
    domain: Key,
    from_: From,
    to: Day,
    column: Text | None = None,
) -> HTML:
    """What is missing in a range of days, with the plan that fills it."""
    found = look_for_gaps(request, domain, from_, to)
    fields = {one.field for one in _options("replay", domain)} if access_of(request).offered else set()
    again = {"from": from_, "to": to, "preview": "yes", **({"columns": column} if column else {})}
    return page(
        request,
        "gaps.html",
        domain=domain,
        found=found,
        first=from_,
        last=to,
        column=column,
        again={name.replace("from", "from_"): value for name, value in again.items() if name in {*fields, "preview"}},
        replays=bool(fields),
    )


@router.get("/coverage/{domain}/fill", dependencies=[MayPreview])
def preview_filling(request: Request, domain: Key, kind: Text, from_: From, to: Day) -> HTML:
    """What filling a kind of gap would do."""
    found = look_for_gaps(request, domain, from_, to)
    return page(
        request,
        "fill.html",
        domain=domain,
        kind=kind,
        first=from_,
        last=to,
        gaps=[one for one in found.gaps if one.kind == kind],
        total=next((one for one in found.totals if one.kind == kind), None),
        line=fill_command(domain, kind, _range(from_, to)),
    )


@router.post("/coverage/{domain}/fill", dependencies=[MayAct])
def fill(request: Request, domain: Key, kind: Text, from_: From, to: Day) -> RedirectResponse:
    """Plan and apply."""
    _known(domain)
    line = ["gaps", domain, *_range(from_, to), "--only", kind, "--fill"]
    return began(jobs_of(request).begin(line, f"Fill {kind} of {domain}", into=["apply", "-"]))


def _range(first: object, last: object) -> list[str]:
    return ["--from", str(first), "--to", str(last)]


def _known(domain: str) -> str:
    if domain not in domains.names():
        raise Unknown(f"there is no domain {domain}", why=f"known are {', '.join(domains.names())}")
    return domain


def _options(command: str, domain: str) -> tuple[Option, ...]:
    return options(command, _known(domain))


def _planned(settings: Settings, domain: str, said: list[str]) -> Planned:
    """What `rederive plan` says: the words of a form mean what they mean on the command line, whatever the domain."""
    if not _one_at_a_time.acquire(timeout=5.0):
        raise Away("a plan is being made already", mend="try again in a moment")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rederive", "plan", domain, *said],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PLAN_SECONDS,
            env=environment(settings),
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(
            "the plan takes too long for a page", mend=f"`rederive plan {domain}` on the command line, or fewer days"
        ) from None
    finally:
        _one_at_a_time.release()
    text = done.stderr.decode("utf-8", "replace")
    if done.returncode or len(done.stdout) > _MOST_PLAN_BYTES:
        return Planned(None, text)
    return Planned(orjson.loads(done.stdout), text)
