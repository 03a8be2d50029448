"""Which sources a domain's payloads are read from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from psycopg import Connection

from producers.betfair.snapshots import SnapshotTable
from producers.finra.log import FinraLog
from producers.finra.sources import FinraFiles, FinraStored
from producers.log import LogSource
from producers.racing.days import RacingDays, RacingLog
from producers.source import Source
from schemas.errors import UsageError
from schemas.registry import DOMAINS


@dataclass(frozen=True, slots=True)
class Where:
    """What a source may need: a connection and how to make more, how librdkafka clients connect, topics' prefix."""

    connection: Connection
    connect: Callable[[], Connection] = field(repr=False)
    kafka: Mapping[str, str] = field(repr=False)
    prefix: str


def _log(domain: str) -> Callable[[Where], Source]:
    return lambda where: LogSource(DOMAINS[domain], where.prefix, where.kafka)


SOURCES: dict[tuple[str, str], Callable[[Where], Source]] = {
    ("betfair", "table"): lambda where: SnapshotTable(where.connection),
    ("betfair", "log"): _log("betfair"),
    ("racing", "api"): lambda where: RacingDays(where.connection, where.connect, where.prefix, where.kafka),
    ("racing", "log"): lambda where: RacingLog(where.connection, where.prefix, where.kafka),
    ("finra", "files"): lambda where: FinraFiles(where.connection),
    ("finra", "table"): lambda where: FinraStored(where.connection),
    ("finra", "log"): lambda where: FinraLog(where.connection, where.prefix, where.kafka),
}
"""By domain and name of the source."""


def open_source(domain: str, name: str, where: Where) -> Source:
    """The source of that name. UsageError when the domain has none."""
    if (domain, name) not in SOURCES:
        raise UsageError(f"{domain} has no source {name}")
    return SOURCES[domain, name](where)
