"""Racing: a unit of API answers in, rows of thirteen tables out (racing spec, sections 2, 4, 5 and 6)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC

import orjson

from processors.racing import card as racing_card
from processors.racing import reference as racing_reference
from processors.racing import result as racing_result
from processors.racing.races import Gathered, Line
from processors.racing.rows import Block, Rows
from processors.racing.rules import JunkError, day
from schemas.outcome import Outcome, TableRows
from schemas.payload import aware, read_json, shown
from schemas.racing.tables import CARD, KINDS, RACING, REFERENCE, RESULT

_ADDERS: dict[str, tuple[int, dict[str, tuple[str, ...]], Callable[[Gathered, Line], None]]] = {
    "racecards": (CARD, racing_card.COLUMNS, racing_card.add_cards),
    "results": (RESULT, racing_result.COLUMNS, racing_result.add_results),
    "masters": (REFERENCE, racing_reference.COLUMNS, racing_reference.add_masters),
    "horse": (REFERENCE, racing_reference.COLUMNS, racing_reference.add_horse),
}


def process(value: bytes, columns: Sequence[str]) -> Outcome:
    """The outcome of a unit: JSON Lines of answers, blank lines passed over; an empty value is a unit of no rows.

    A line is {"kind", "date", "observed", "payload"}. Rows of one table, key and source are folded into one, whose
    observation is the latest. A field that its column can't hold is None and an error of its row, which is written all
    the same. `read` is the number of rows, skips and errors. Of single `columns` there are the rows of tables that have
    any of them. ValueError when a line is no such answer, or for columns that no table has.
    """
    if unknown := sorted(set(columns).difference(RACING.in_scope(()))):
        raise ValueError(f"racing derives no column {', '.join(map(repr, unknown))}")
    unit = Unit()
    for number, text in enumerate(value.split(b"\n"), start=1):
        if text and not text.isspace():
            try:
                unit.add(text)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    return _only(unit.outcome(), columns) if columns else unit.outcome()


def _only(outcome: Outcome, columns: Sequence[str]) -> Outcome:
    """An outcome's rows with the named value columns; tables that have none of them are left out."""
    tables = []
    for rows in outcome.tables:
        table = RACING.table(rows.table)
        values = {column.name for column in table.values}
        if not values.isdisjoint(columns):
            left = [name for name in rows.columns if name not in values or name in columns]
            tables.append(replace(rows, batch=rows.batch.select(left)))
    outcome.read += sum(map(len, tables)) - sum(map(len, outcome.tables))
    outcome.tables = tables
    return outcome


class Unit:
    """What the lines of a unit give, by source; `said` has the skips and errors."""

    def __init__(self) -> None:
        self.said = Outcome()
        self._gathered: dict[int, Gathered] = {}

    def add(self, text: bytes) -> None:
        """Gather what a line gives; ValueError when it is no answer."""
        line = _line(text)
        source, columns, add = _ADDERS[line.kind]
        if source not in self._gathered:
            self._gathered[source] = Gathered(Rows(source, columns), self.said)
        add(self._gathered[source], line)

    def blocks(self) -> Iterator[Block]:
        """The rows of every source, table by table."""
        for gathered in self._gathered.values():
            yield from gathered.rows.blocks()

    def outcome(self) -> Outcome:
        """All of it."""
        outcome = self.said
        outcome.tables = [
            TableRows.of(RACING.table(block.table), block.columns, block.rows, block.source) for block in self.blocks()
        ]
        outcome.read = sum(map(len, outcome.tables)) + len(outcome.skips) + len(outcome.errors)
        return outcome


def _line(text: bytes) -> Line:
    # A NUL in a text can only come escaped.
    careful = b"\\u0000" in text
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        # A lone surrogate or a number out of range is a field's problem.
        given, careful = read_json(text), True
    if not isinstance(given, dict):
        raise ValueError("not a JSON object")
    if "kind" not in given:
        raise ValueError(f"there is no kind: one of {', '.join(KINDS)}")
    if (kind := given["kind"]) not in KINDS:
        raise ValueError(f"kind is {shown(kind)}, not one of {', '.join(KINDS)}")
    if "payload" not in given:
        raise ValueError("no payload; null says that there is no data")
    if "observed" not in given:
        raise ValueError("there is no observed: when the answer was fetched")
    return Line(kind, _date(given.get("date")), _observed(given["observed"]), given["payload"], careful)


def _date(value: object) -> str | None:
    try:
        return day(value) if value is None or isinstance(value, str) else _not_text(value)
    except JunkError as junk:
        raise ValueError(f"date {junk}") from None


def _observed(value: object) -> str:
    """As ISO 8601 in UTC: such texts sort as the times do."""
    try:
        return aware(value).astimezone(UTC).isoformat()
    except ValueError as error:
        raise ValueError(f"observed {error}") from None


def _not_text(value: object) -> str:
    raise JunkError(f"is {shown(value)}, not a text")
