"""Which write policy a table has."""

from typing import Any

from psycopg import Connection

from schemas.domain import Domain
from schemas.table import Mode, Table
from sinks.insert.policy import Insert
from sinks.merge.policy import Merge
from sinks.policy import Policy

_POLICIES: dict[Mode, Policy[Any]] = {Mode.FILL: Merge(), Mode.SUPERSEDE: Merge(), Mode.INSERT: Insert()}


def policy_of(table: Table) -> Policy[Any]:
    """The table's policy."""
    return _POLICIES[table.policy]


def prepare(connection: Connection, domain: Domain) -> None:
    """Make what a connection needs to write a domain's tables, once and outside any transaction."""
    for table in domain.tables:
        policy_of(table).prepare(connection, table)


def make(connection: Connection, domain: Domain) -> None:
    """Make the domain's tables and what they need beside them, where they are missing."""
    for table in domain.tables:
        policy_of(table).make(connection, table)
