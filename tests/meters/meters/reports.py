"""What people ask about meters."""

from collections.abc import Iterable
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row


def months(connection: Connection) -> Iterable[dict[str, Any]]:
    """The newest totals of each month and meter."""
    return connection.cursor(row_factory=dict_row).execute(
        """SELECT to_char(start, 'YYYY-MM') AS month, meter, kwh, cost FROM meter_totals_latest
           WHERE span = 'month' ORDER BY start, meter"""
    )
