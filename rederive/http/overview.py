"""How everything is now, and which domains there are."""

from datetime import datetime
from typing import Any

from fastapi import Request
from pydantic import ConfigDict

from rederive import domains
from rederive.http.routing import BaseModel, Router
from schemas.domain import Domain
from schemas.table import Column
from store.captures import Listed
from store.cursors import Reached
from store.latencies import Quantiles
from store.producers import Holder

router = Router(prefix="/api", tags=["overview"])


class ServiceNow(BaseModel):
    """A service, how it is, where it is looked for (never with a password)."""

    service: str
    state: str
    where: str


class Partition(BaseModel):
    """Where a group stands in a partition, and who has it."""

    partition: int
    committed: int
    end: int
    member: str | None
    seconds_behind: float


class GroupNow(BaseModel):
    """A consumer group on its topic."""

    group: str
    topic: str
    records_behind: int
    seconds_behind: float
    partitions: list[Partition]


class LaneNow(BaseModel):
    """A lane: how far its agents and sinks are, how fast and late live rows are; milliseconds by stage."""

    domain: str
    lane: str
    agents: GroupNow
    sinks: GroupNow
    seconds_behind: float
    rows_per_second: float
    latencies: dict[str, Quantiles]
    computed_at: datetime | None
    merged_at: datetime | None
    progressed_at: datetime | None


class LagNow(BaseModel):
    """A group's lag in short."""

    group: str
    records_behind: int
    members: int


class TroubleNow(BaseModel):
    """What is wrong, of which domain (empty: of the deployment), and what mends it."""

    domain: str
    what: str
    mend: str


class StatusNow(BaseModel):
    """Services, unfinished captures, lanes, producers, what is wrong; None where what knows it is away."""

    model_config = ConfigDict(extra="allow")

    at: datetime
    services: list[ServiceNow]
    captures: list[Listed] | None
    ways_on: list[str]
    lag: list[LagNow]
    lanes: list[LaneNow]
    producers: list[Holder] | None
    reached: list[Reached] | None
    troubles: list[TroubleNow]


class ColumnNow(BaseModel):
    """A column and its Postgres type."""

    name: str
    type: str


class TableNow(BaseModel):
    """A derived table: what identifies a row, what describes it, what is derived, how rows are written."""

    name: str
    key: list[ColumnNow]
    attributes: list[ColumnNow]
    values: list[ColumnNow]
    mode: str
    partition: list[str]


class DomainNow(BaseModel):
    """A domain that is installed."""

    name: str
    derivation_version: int
    sources: list[str]
    scopes: dict[str, list[str]]
    live: bool
    tables: list[TableNow]


@router.get("/status")
def status(request: Request) -> StatusNow:
    """How everything is, as of `at`, which is two seconds ago at most unless somebody has just begun to ask."""
    found = request.app.state.watching.status()
    return StatusNow.model_validate({**found.describe(), "ways_on": found.ways_on})


@router.get("/domains")
def list_domains() -> list[DomainNow]:
    """The domains that are installed and can be used, with their tables."""
    return [DomainNow.model_validate(_described(domain)) for domain in domains.usable()]


def _described(domain: Domain) -> dict[str, Any]:
    def columns(some: tuple[Column, ...]) -> list[dict[str, str]]:
        return [{"name": one.name, "type": one.type} for one in some]

    return {
        "name": domain.name,
        "derivation_version": domain.derivation_version,
        "sources": list(domain.sources),
        "scopes": {name: list(of) for name, of in domain.scopes.items()},
        "live": bool(domain.live),
        "tables": [
            {
                "name": table.name,
                "key": columns(table.key),
                "attributes": columns(table.attributes),
                "values": columns(table.values),
                "mode": table.policy.value,
                "partition": list(table.partition),
            }
            for table in domain.tables
        ],
    }
