"""A domain's declared steps: SQL that needs whole tables, after a capture's units and after a rollback."""

from psycopg import Connection

from schemas.domain import Domain


def run_steps(connection: Connection, domain: Domain) -> dict[str, int]:
    """Run the domain's steps, a transaction each; rows changed per step."""
    changed = {}
    for step in domain.steps:
        with connection.transaction():
            changed[step.name] = connection.execute(step.sql).rowcount
    return changed
