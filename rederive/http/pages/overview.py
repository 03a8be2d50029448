"""The first page: services, what is wrong, captures, lag, latencies, workers."""

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fastapi import Request

from rederive import domains
from rederive.http.captures import list_captures
from rederive.http.pages.rates import rates_of
from rederive.http.pages.rendering import HTML, page
from rederive.http.routing import Reading, Router
from rederive.pulse import seconds
from rederive.status import Status
from schemas.errors import Failed

router = Router(include_in_schema=False, default_response_class=HTML)

_KEPT = 90
_CAPTURES = 8


@dataclass(slots=True)
class Trends:
    """Rows/s of the lanes as they were at the last looks."""

    _lanes: dict[str, deque[float]] = field(default_factory=dict)
    _total: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _at: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def noted(self, status: Status) -> tuple[list[float], dict[str, list[float]]]:
        """Take in how it is now; the rates of all lanes together, and of each by its topic, the newest last."""
        with self._lock:
            if status.at != self._at:
                self._at = status.at
                self._total.append(sum(one.rate for one in status.lanes))
                for one in status.lanes:
                    self._lanes.setdefault(one.lane.raw, deque(maxlen=_KEPT)).append(one.rate)
            return list(self._total), {name: list(rates) for name, rates in self._lanes.items()}


@router.get("/")
def overview(request: Request, reads: Reading) -> HTML:
    """How everything is."""
    status: Status = request.app.state.watching.status()
    kept: Trends = request.app.state.trends
    trend, trends = kept.noted(status)
    try:
        captures, ready = list_captures(reads, limit=_CAPTURES).captures, True
    except Failed:
        # What is away is said by the status.
        captures, ready = [], False
    groups = [seen for one in status.lanes for seen in (one.agents, one.sinks)]
    return page(
        request,
        "overview.html",
        status=status,
        captures=captures,
        ready=ready,
        rates=rates_of(request).of(captures),
        domains=domains.names(),
        total_rate=sum(one.rate for one in status.lanes),
        trend=trend,
        trends=trends,
        waiting=sum(seen.lag for seen in groups),
        oldest=max((seconds(one.oldest, status.at) for one in status.lanes), default=0.0),
        letters=sum(status.letters.values()),
        latencies=_latencies(status),
        visible=_visible(status),
        workers=[
            (seen.group, member, " ".join(str(place.partition) for place in places), sum(p.lag for p in places))
            for seen in groups
            for member, places in sorted(seen.holders.items(), key=lambda item: item[0] or "")
            if member is not None
        ],
        producers=status.figures.producers if status.figures else [],
    )


def _latencies(status: Status) -> list[dict[str, Any]]:
    return [
        {
            "domain": one.lane.domain,
            "lane": one.lane.name,
            "stage": stage,
            "rows": of.rows,
            "p50": of.p50,
            "p95": of.p95,
            "p99": of.p99,
        }
        for one in status.lanes
        for stage, of in one.latencies.items()
    ]


def _visible(status: Status) -> str:
    found = [of.p95 for one in status.lanes for stage, of in one.latencies.items() if stage == "visible"]
    return f"{max(found):,.0f} ms" if found else ""
