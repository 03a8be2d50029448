"""A domain's declared steps: SQL that needs whole tables, after a capture's units and after a rollback."""

from psycopg import Connection

from schemas.domain import Domain
from sinks import planner


def run_steps(connection: Connection, domain: Domain) -> dict[str, int]:
    """Run the domain's steps, a transaction each; rows changed per step. Whole tables are joined, not by index."""
    changed = {}
    for step in domain.steps:
        with connection.transaction():
            planner.as_shipped(connection, local=True)
            changed[step.name] = connection.execute(step.sql).rowcount
    return changed
