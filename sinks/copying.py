"""Binary COPY of what was encoded (sinks/encoding.py)."""

from collections.abc import Sequence

from psycopg import Connection


def copy(connection: Connection, target: str, names: str, encoding: Sequence[bytes]) -> None:
    """Copy into a table or temporary table; `names` are the columns, in SQL and in their order."""
    with connection.cursor().copy(f"COPY {target} ({names}) FROM STDIN (FORMAT BINARY)") as copying:
        for piece in encoding:
            copying.write(piece)
