"""A capture that nothing plans, for benches of what comes after planning."""

import psycopg

from schemas.table import Mode


def running(
    connection: psycopg.Connection, capture: str, domain: str, mode: Mode, version: int = 1, source: str = "table"
) -> str:
    """Make a running capture without units; return its id."""
    connection.execute(
        """INSERT INTO rederive.captures (capture_id, number, domain, source, mode, derivation_version, columns,
               request, digest, who, state)
           VALUES (%s, nextval('rederive.capture_number'), %s, %s, %s, %s, '{}', '{}', '', 'bench', 'running')""",
        [capture, domain, source, mode, version],
    )
    return capture
