"""The table of problems: rows of units that gave no derived row, each with its reason."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from psycopg import Connection

from schemas.outcome import RowProblem
from store.rows import cause, row, rows


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason and cause with how many rows it has, the first five of them and the first one's message."""

    reason: str
    count: int
    keys: list[Any]
    message: str

    def describe(self) -> dict[str, Any]:
        """As one JSON object."""
        return asdict(self)


def replace(connection: Connection, capture_id: str, problems: dict[int, Sequence[RowProblem]]) -> None:
    """Write the problems of units, by number, in the place of those they had."""
    connection.execute(
        "DELETE FROM rederive.problems WHERE capture_id = %s AND unit = ANY(%s)", [capture_id, list(problems)]
    )
    written = [
        {"unit": unit, "ordinal": n, "key": p.key, "reason": p.reason, "message": p.text.replace("\0", "")}
        for unit, found in problems.items()
        for n, p in enumerate(found)
    ]
    if written:
        connection.execute(
            """INSERT INTO rederive.problems (capture_id, unit, ordinal, key, reason, message)
               SELECT %s, v.* FROM jsonb_to_recordset(%s::jsonb)
                   AS v(unit int, ordinal int, key jsonb, reason text, message text)""",
            [capture_id, orjson.dumps(written).decode()],
        )


@dataclass(frozen=True, slots=True)
class Noted:
    """Why a row gave no derived row, and in which capture."""

    capture_id: str
    reason: str
    message: str


def of_key(connection: Connection, domain: str, key: Sequence[str]) -> Noted | None:
    """The newest problem of a row, by its key's parts as text; of captures that write, and weren't taken back."""
    return row(
        connection,
        Noted,
        """SELECT p.capture_id, p.reason, coalesce(p.message, '') AS message
           FROM rederive.problems p JOIN rederive.captures c USING (capture_id)
                JOIN rederive.units u USING (capture_id, unit)
           WHERE c.domain = %s AND NOT c.dry_run AND c.state NOT IN ('rolling-back', 'rolled-back')
             AND u.state <> 'removed' AND jsonb_typeof(p.key) = 'array'
             AND ARRAY(SELECT jsonb_array_elements_text(p.key)) = %s::text[]
           ORDER BY c.number DESC LIMIT 1""",
        [domain, list(key)],
    )


def by_reason(connection: Connection, capture_id: str) -> list[Reason]:
    """Skips and errors of a capture by reason and cause."""
    return rows(
        connection,
        Reason,
        f"""SELECT reason, count(*), (array_agg(key ORDER BY unit, ordinal))[1:5] AS keys,
                   (array_agg(message ORDER BY unit, ordinal))[1] AS message
            FROM rederive.problems WHERE capture_id = %s
            GROUP BY reason, {cause("message")} ORDER BY count(*) DESC, reason, 4""",
        [capture_id],
    )
