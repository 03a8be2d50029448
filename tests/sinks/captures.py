"""What tables of captures must say, counted from the rows themselves."""

from collections.abc import Iterable

import psycopg

from schemas.finra.tables import FINRA
from schemas.table import CAPTURE, Table


def miscounted(connection: psycopg.Connection, tables: Iterable[Table] = FINRA.tables) -> list[str]:
    """The captures that a table has rows of and doesn't count, or counts and has no such rows of."""
    found = []
    for table in tables:
        if table.partition and not table.shows:
            names = ", ".join((*table.partition, table.observed, CAPTURE))
            rows = connection.execute(
                f"""SELECT * FROM (SELECT {names}, count(*) AS rows FROM {table.name} GROUP BY {names}) t
                    FULL JOIN {table.captures} USING ({names}, rows)
                    WHERE t IS NULL OR {table.captures.partition(".")[2]} IS NULL"""
            )
            found += [f"{table.name}: {row}" for row in rows]
    return found
