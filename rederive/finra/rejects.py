"""Rejected rows by reason, with examples (finra spec, sections 1.3 and 1.4)."""

from dataclasses import dataclass

from psycopg import Connection

from rederive.finra.partitions import Partitions
from schemas.finra.tables import REASONS


@dataclass(frozen=True, slots=True)
class Rejected:
    """One rejected row: its capture, file and line, every reason, and its text."""

    capture_id: str
    source: str
    line_number: int
    detail: str
    text: str


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason, how many rows it has rejected, and the first of the newest capture's."""

    stage: str
    code: str
    meaning: str
    rows: int
    examples: list[Rejected]


def rejects(connection: Connection, asked: Partitions, *, examples: int) -> list[Reason]:
    """The rejected rows of what is asked for, the most frequent reason first; `examples` of each reason at most.

    A line of a file counts once for a reason, however many captures have rejected it; its example is the first's, which
    has the file's own text.
    """
    where, parameters = asked.of_core()
    found: dict[tuple[str, str], Reason] = {}
    for stage, code, rows, *row in connection.execute(
        f"""SELECT stage, reason_code, rows, capture_id, source_locator, line_number, reason_detail, raw_json ->> 'text'
            FROM (SELECT *, count(*) OVER (PARTITION BY stage, reason_code) AS rows,
                         row_number() OVER (PARTITION BY stage, reason_code
                                            ORDER BY source_locator, line_number) AS place
                  FROM (SELECT DISTINCT ON (partition_key, source_locator, line_number, stage, reason_code) *
                        FROM core_rejects WHERE {where}
                        ORDER BY partition_key, source_locator, line_number, stage, reason_code,
                                 created_at, capture_id) lines) r
            WHERE place <= greatest(%(examples)s, 1) ORDER BY rows DESC, stage, reason_code, place""",
        {**parameters, "examples": examples},
    ):
        reason = found.setdefault((stage, code), Reason(stage, code, REASONS.get(code, ""), rows, []))
        if len(reason.examples) < examples:
            reason.examples.append(Rejected(*row))
    return list(found.values())
