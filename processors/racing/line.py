"""`rederive compute racing`: answers of the API in, folded rows out (racing spec, section 13)."""

from collections.abc import Iterable, Iterator

import orjson

from processors.computed import Computed
from processors.racing.fold import Fold
from processors.racing.process import Unit
from schemas.outcome import RowProblem
from schemas.racing.tables import RACING


def compute(lines: Iterable[bytes]) -> Iterator[Computed]:
    """Skips and errors of each line as it is read, then the rows of all, in the order of tables and keys.

    A row is {"table", "key", "row"}: key and merged columns by name. Never raises: a line that can't be
    read is an error.
    """
    folds = {table.name: Fold(table) for table in RACING.tables}
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        unit = Unit()
        try:
            unit.add(line)
        except ValueError as error:
            yield Computed(line=number, error=str(error))
            continue
        for block in unit.blocks():
            folds[block.table].add(block)
        for problem in unit.said.skips:
            yield Computed(line=number, skip=_said(problem))
        for problem in unit.said.errors:
            yield Computed(line=number, error=_said(problem))
    for name, fold in folds.items():
        for key, row in fold.rows():
            yield Computed(output=orjson.dumps({"table": name, "key": key, "row": row}))


def _said(problem: RowProblem) -> str:
    """The problem with the key of its row, as far as that is known."""
    key = "/".join(part for part in problem.key if part is not None)
    return f"{key}: {problem.text}" if key else problem.text
