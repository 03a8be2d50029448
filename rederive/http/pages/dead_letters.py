"""Dead letters: those of each domain, one with its payload, and sending again or dropping."""

import logging
from typing import Annotated

from fastapi import Request
from fastapi.responses import RedirectResponse

from rederive import domains
from rederive.dlq import OPEN, Asked, State, origin_of
from rederive.http.dead_letters import Offset, Partition, list_letters, opened, show_letter
from rederive.http.pages.access import MayAct, MayPreview
from rederive.http.pages.jobs import began, jobs_of
from rederive.http.pages.rendering import HTML, page
from rederive.http.routing import Key, Query, Reading, Router, Text
from schemas.errors import Away, Failed, UsageError

log = logging.getLogger(__name__)

router = Router(prefix="/dead-letters", include_in_schema=False, default_response_class=HTML)

_STATES = Annotated[list[Text] | None, Query()]
_PAGE = 100


@router.get("")
def every_domain(request: Request, reads: Reading) -> HTML:
    """How many each domain has, the open ones first."""
    letters = request.app.state.watching.status().letters
    counts = []
    for name in domains.names():
        held = letters.get(name, 0)
        try:
            counts.append((name, held, list_letters(request, name, reads, limit=1).total if held else 0))
        except Away:
            raise
        except Failed as error:
            # Of a domain that can't be loaded only their number is known.
            log.warning("%s", error)
            counts.append((name, held, held))
    return page(request, "letters.html", counts=counts)


@router.get("/{domain}")
def one_domain(
    request: Request,
    domain: Key,
    reads: Reading,
    state: _STATES = None,
    capture: Text | None = None,
    reason: Text | None = None,
    after: Text | None = None,
) -> HTML:
    """The letters, the oldest first."""
    states = [State(one) for one in state or () if one in list(State)]
    found = list_letters(
        request,
        domain,
        reads,
        capture=capture or None,
        reason=reason or None,
        state=states or None,
        after=after or None,
        limit=_PAGE,
    )
    return page(
        request,
        "letters_domain.html",
        domain=domain,
        found=found,
        states=list(State),
        chosen=states or list(OPEN),
        capture=capture,
        reason=reason,
    )


@router.get("/{domain}/requeue", dependencies=[MayPreview])
def preview_requeue(
    request: Request,
    domain: Key,
    reads: Reading,
    origin: Text = "",
    capture: Text = "",
    reason: Text = "",
    force: Text = "",
) -> HTML:
    """What would be sent again, and what is refused."""
    words = _words("requeue", domain, origin, capture, reason)
    words += ["--force"] if force else []
    asked = Asked(
        capture=capture or None, text=reason or None, origin=origin_of(origin) if origin else None, states=OPEN
    )
    with reads.connection("the dead letters") as connection, opened(request, domain, connection) as dlq:
        done = dlq.requeue(asked, force=bool(force), dry_run=True)
    return page(
        request,
        "letters_requeue.html",
        domain=domain,
        done=done,
        words=words,
        said={"origin": origin, "capture": capture, "reason": reason, "force": force},
    )


@router.post("/{domain}/requeue", dependencies=[MayAct])
async def requeue(request: Request, domain: Key) -> RedirectResponse:
    """Send them again, and finish their captures."""
    said = await _said(request)
    words = _words("requeue", domain, said["origin"], said["capture"], said["reason"])
    words += ["--force"] if said["force"] else []
    return began(jobs_of(request).begin(words, f"Requeue dead letters of {domain}"))


@router.post("/{domain}/drop", dependencies=[MayAct])
async def drop(request: Request, domain: Key) -> RedirectResponse:
    """Give one up, with a reason."""
    said = await _said(request)
    if not said["origin"] or not said["why"].strip():
        raise UsageError("a letter is dropped for a reason", mend="say why nobody wants it any more")
    words = [*_words("drop", domain, said["origin"], "", ""), f"--why={said['why'].strip()}"]
    return began(jobs_of(request).begin(words, f"Drop a dead letter of {domain}"))


@router.get("/{domain}/{partition}/{offset}")
def one_letter(request: Request, domain: Key, partition: Partition, offset: Offset, reads: Reading) -> HTML:
    """One with its headers and its payload as text."""
    found = show_letter(request, domain, partition, offset, reads, encoding="text")
    return page(
        request,
        "letter.html",
        domain=domain,
        found=found,
        letter=found.letter,
        open=found.letter.state in OPEN,
        words=_words("requeue", domain, found.letter.origin, "", ""),
        drops=_words("drop", domain, found.letter.origin, "", ""),
    )


async def _said(request: Request) -> dict[str, str]:
    form = await request.form()
    names = ("origin", "capture", "reason", "force", "why")
    return {name: value if isinstance(value := form.get(name, ""), str) else "" for name in names}


def _words(action: str, domain: str, origin: str, capture: str, reason: str) -> list[str]:
    """The command line. UsageError where a place is none: what is said there would be taken for an option."""
    if domain not in domains.names():
        domains.known(domain)
    if origin:
        origin_of(origin)
    pairs = (("--origin", origin), ("--capture", capture), ("--reason", reason))
    said = [word for name, value in pairs if value for word in _pair(name, value)]
    return ["dlq", action, domain, *said]


def _pair(name: str, value: str) -> list[str]:
    return [f"{name}={value}"] if value.startswith("-") else [name, value]
