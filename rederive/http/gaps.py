"""Gaps: what is missing of a domain in a range of days, and the commands that fill it."""

import threading
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated

from fastapi import Request

from producers.gap import Gap
from producers.source import end_of, start_of
from rederive import domains
from rederive.endpoints import running
from rederive.gaps import fill_command, usual_request
from rederive.gaps import gaps as look
from rederive.http.cache import Cache
from rederive.http.routing import BaseModel, Day, Key, Query, Router, Text, Unknown, cache_of
from rederive.replayer import Replayer
from rederive.settings import Endpoints, Settings
from schemas.errors import Away, UsageError

router = Router(prefix="/api/domains/{domain}/gaps", tags=["coverage"])

FRESH_SECONDS, STALE_SECONDS = 30.0, 30.0
MOST_DAYS = 366

_one_at_a_time = threading.BoundedSemaphore(1)


class GapNow(BaseModel):
    """Something that is missing of a day; `by_plan` says that a plan closes it, `mend` the command where none does."""

    kind: str
    day: date | None
    days: int
    part: str
    count: int
    of: str
    why: str
    by_plan: bool
    mend: str


class KindTotal(BaseModel):
    """All gaps of a kind, and the command that fills just these; empty where no plan does."""

    kind: str
    gaps: int
    count: int
    fill: str


class Gaps(BaseModel):
    """What is missing, by day."""

    domain: str
    totals: list[KindTotal]
    gaps: list[GapNow]


@router.get("")
def gaps(
    request: Request,
    domain: Key,
    from_: Annotated[Day, Query(alias="from", description="First UTC day.")],
    to: Annotated[Day, Query(description="Last UTC day, included; 366 days at most.")],
    key: Annotated[list[Text] | None, Query(description="Only these: the domain's own names.")] = None,
    outdated: Annotated[bool, Query(description="Rows, too, that an older derivation version has computed.")] = False,
) -> Gaps:
    """What is missing, as `rederive gaps` lists it. Formulas are run to find it out: one asks at a time."""
    if domain not in domains.names():
        raise Unknown(f"there is no domain {domain}", why=f"known are {', '.join(domains.names())}")
    if not timedelta(0) <= to - from_ < timedelta(days=MOST_DAYS):
        raise UsageError(f"from {from_} to {to} is no range of 1 to {MOST_DAYS} days", mend="both ends belong to it")
    kept: Cache[Sequence[Gap]] = cache_of(request, "gaps", FRESH_SECONDS, STALE_SECONDS)
    keys = tuple(key or ())
    found = kept.get(
        (domain, from_, to, keys, outdated),
        lambda: _found(request.app.state.settings, domain, from_, to, keys, outdated=outdated),
    )
    words = ["--from", str(from_), "--to", str(to), *(word for one in keys for word in ("--key", one))]
    words += ["--outdated"] if outdated else []
    kinds = dict.fromkeys(gap.kind for gap in found)
    return Gaps(
        domain=domain,
        totals=[_total(domain, kind, [gap for gap in found if gap.kind == kind], words) for kind in kinds],
        gaps=[GapNow.model_validate(gap.describe()) for gap in found],
    )


def _found(
    settings: Settings, name: str, first: date, last: date, keys: tuple[str, ...], *, outdated: bool
) -> Sequence[Gap]:
    bootstrap, url = running(settings)
    if url is None or bootstrap is None:
        away = "database" if url is None else "Kafka"
        raise Away(f"no {away} runs", mend="`rederive local start`, or name the services in the settings")
    if not _one_at_a_time.acquire(timeout=5.0):
        raise Away("gaps are being looked for already", mend="try again in a moment")
    try:
        domain = domains.find(name)
        replayer = Replayer(settings.at(Endpoints(bootstrap, url)), url)
        asked = usual_request(domain, start_of(first), end_of(last), keys=keys)
        return look(replayer, domain, asked, outdated=outdated)
    finally:
        _one_at_a_time.release()


def _total(domain: str, kind: str, found: Sequence[Gap], words: Sequence[str]) -> KindTotal:
    by_plan = any(gap.fill for gap in found)
    return KindTotal(
        kind=kind,
        gaps=len(found),
        count=sum(gap.count for gap in found),
        fill=fill_command(domain, kind, words) if by_plan else "",
    )
