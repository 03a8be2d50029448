"""Which table a domain's payloads are read again from."""

from collections.abc import Callable

from psycopg import Connection

from producers.betfair import SnapshotTable
from producers.source import Source

TABLES: dict[str, Callable[[Connection], Source]] = {"betfair": SnapshotTable}
