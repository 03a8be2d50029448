"""Whether the server lives, whether work gets on, and figures for Prometheus."""

from datetime import datetime
from typing import Literal

from fastapi import Request
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from rederive import targets
from rederive.http.cache import Cache
from rederive.http.routing import BaseModel, Reading, Response, Router, cache_of
from rederive.metrics import exposition, of_database
from rederive.pulse import LanePulse
from rederive.status import Status

router = Router(tags=["health"])

_PATIENCE_SECONDS = 60.0
_FRESH_SECONDS, _STALE_SECONDS = 5.0, 60.0


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether both services answer and every lane has got on lately or has nothing to do; `why` it isn't so."""

    ready: bool
    at: datetime
    why: list[str]


class TargetsNow(BaseModel):
    """Addresses of processes, with what is known of them, as Prometheus' http_sd reads it."""

    targets: list[str]
    labels: dict[str, str]


@router.get("/healthz")
def alive() -> Alive:
    """Whether the process lives: nothing but that."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Ready}})
def ready(request: Request, response: Response) -> Ready:
    """Whether there is progress, or nothing to do: 503 where what waits has waited for a minute without any."""
    status = request.app.state.watching.status()
    why = list(_why_not(status))
    response.status_code = 503 if why else 200
    return Ready(ready=not why, at=status.at, why=why)


def _why_not(status: Status) -> list[str]:
    away = [f"{service} is {state}" for service, state, _ in status.services if state != "running"]
    return [*away, *(why for one in status.lanes if (why := _stands_still(one, status.at)))]


def _stands_still(pulse: LanePulse, now: datetime) -> str:
    """Why a lane isn't ready; empty when it is, or when nobody here has ever worked on it."""
    oldest, progressed = pulse.oldest, pulse.progressed
    waiting = pulse.agents.lag + pulse.sinks.lag
    if not waiting or oldest is None or (now - oldest).total_seconds() < _PATIENCE_SECONDS:
        return ""
    if progressed is not None and (now - progressed).total_seconds() < _PATIENCE_SECONDS:
        return ""
    if progressed is None and not any(name for seen in (pulse.agents, pulse.sinks) for name in seen.holders):
        return ""
    return f"{pulse.lane.domain}, {pulse.lane.name}: {waiting:,} records wait, and nothing gets on"


@router.get("/metrics", response_class=Response)
def metrics(request: Request, reads: Reading) -> Response:
    """Figures in the text format of Prometheus; what is counted in the database may be some seconds old."""
    kept: Cache[list[Metric]] = cache_of(request, "metrics", _FRESH_SECONDS, _STALE_SECONDS)

    def count() -> list[Metric]:
        with reads.connection("the metrics") as connection:
            return of_database(connection)

    text = exposition(request.app.state.watching.status, lambda: kept.get("", count))
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@router.get("/metrics/targets")
def list_targets(request: Request) -> list[TargetsNow]:
    """Where the processes of this home that live now have metrics of their own."""
    return [TargetsNow.model_validate(one) for one in targets.found(request.app.state.settings.home)]
