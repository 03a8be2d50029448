"""What `rederive compute` gives, line by line."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from schemas.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Computed:
    """An output line without its newline, and what is to be said of an input line: `line` is its number, from 1.

    `error` says what was wrong there, `skip` what was left out and why; any of them may be None.
    """

    output: bytes | None = None
    line: int = 0
    error: str | None = None
    skip: str | None = None


def each_a_unit(
    process: Callable[[bytes, Sequence[str]], Outcome],
) -> Callable[[Iterable[bytes]], Iterator[Computed]]:
    """How a domain computes that says nothing of its own: each line is a raw record's value.

    An output line is a derived row: {"table", "source", "row": {column: value}}.
    """

    def compute(lines: Iterable[bytes]) -> Iterator[Computed]:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield from _answer(number, line.rstrip(b"\n"))

    def _answer(number: int, line: bytes) -> Iterator[Computed]:
        try:
            outcome = process(line, ())
        except ValueError as error:
            yield Computed(line=number, error=str(error))
            return
        for block in outcome.tables:
            whole = block.whole()
            for row in whole.rows:
                said = {"table": whole.table, "source": whole.source, "row": dict(zip(whole.columns, row, strict=True))}
                yield Computed(orjson.dumps(said), number)
        for problem in outcome.skips:
            yield Computed(line=number, skip=f"{problem.reason} {problem.text}".strip())
        for problem in outcome.errors:
            yield Computed(line=number, error=problem.text or problem.reason)

    return compute
