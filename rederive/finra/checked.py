"""A run's captures as checks see them: statements over them, and each finding with its capture."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from processors.finra.checks import Check
from rederive.finra.written import Run
from schemas.finra.partition import partition_key
from schemas.finra.versions import get_current_version

RUN = "unnest(%(captures)s::text[], %(weeks)s::date[], %(tiers)s::text[]) r(capture_id, week_ending, tier)"
"""The run's captures as rows (capture_id, week_ending, tier), in statements of `Store.rows`."""


@dataclass(frozen=True, slots=True)
class Found:
    """A check, of which capture and partition it is."""

    capture_id: str
    partition_key: str
    check: Check


@dataclass(slots=True)
class Store:
    """A run's captures, and the statements over them."""

    connection: Connection
    run: Run
    parameters: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        partitions = self.run.partitions
        self.parameters = {
            "captures": list(partitions),
            "weeks": [week for week, _ in partitions.values()],
            "tiers": [tier for _, tier in partitions.values()],
            "version": get_current_version("venue_share"),
        }

    def rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement over `RUN`."""
        return iter(self.connection.execute(statement, self.parameters))

    def found(self, capture_id: str, check: Check) -> Found:
        """A check of one of the run's captures."""
        return Found(capture_id, partition_key(*self.run.partitions[capture_id]), check)
