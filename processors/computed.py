"""What `rederive compute` gives, line by line."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from schemas.outcome import Outcome, RowProblem


@dataclass(frozen=True, slots=True)
class Computed:
    """An output line without its newline, and what is to be said of an input line: `line` is its number, from 1.

    `error` says what was wrong there, `skip` what was left out and why; any of them may be None.
    """

    output: bytes | None = None
    line: int = 0
    error: str | None = None
    skip: str | None = None


def as_one_unit(
    process: Callable[[bytes, Sequence[str]], Outcome],
) -> Callable[[Iterable[bytes]], Iterator[Computed]]:
    """How a domain computes that says nothing of its own: all lines together are the value of one raw record.

    An output line is a derived row: {"table", "source", "row": {column: value}}. What is said of rows names their keys.
    """

    def compute(lines: Iterable[bytes]) -> Iterator[Computed]:
        try:
            outcome = process(b"".join(lines), ())
        except ValueError as error:
            yield Computed(error=str(error))
            return
        for block in outcome.tables:
            for row in block.rows():
                said = {"table": block.table, "source": block.source, "row": dict(zip(block.columns, row, strict=True))}
                yield Computed(orjson.dumps(said))
        for problem in outcome.skips:
            yield Computed(skip=_said(problem))
        for problem in outcome.errors:
            yield Computed(error=_said(problem))

    return compute


def _said(problem: RowProblem) -> str:
    return f"{', '.join(map(str, problem.key))}: {problem.text or problem.reason}"
