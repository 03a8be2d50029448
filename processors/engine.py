"""From a raw record to the messages that answer it: pure, and the same for every domain."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.lane import Lane
from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.unit import ENVELOPE_BYTES, MAX_RECORD_BYTES, Origin, UnitHeaders, texts

MAX_RESULT_BYTES = 1024 * 1024
"""A larger result goes in parts, merged with the last."""

_TEXT_CHARS = 1_000
"""What is kept of a problem's text: it may quote a payload."""

Process = Callable[[bytes, Sequence[str]], Outcome]


@dataclass(frozen=True, slots=True)
class Message:
    """A record to send; `partition` None lets the broker's client choose."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def answer(
    process: Process,
    lane: Lane,
    origin: Origin,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]] | None,
) -> list[Message]:
    """Everything to deliver for one raw record: its outcome, and the record itself to the DLQ when it is dead."""
    given = list(headers or ())
    try:
        said = UnitHeaders.decode(given, default_kind=lane.domain)
        outcome = process(value or b"", said.columns)
        if said.rows is not None and said.rows > outcome.read:
            _add_gone(outcome, said.rows)
        where = said.key_range or str(origin)
        outcome.skips, outcome.errors = _told(outcome.skips, where), _told(outcome.errors, where)
        parts = _parts(outcome)
    except MemoryError:
        # Nothing is wrong with the record: a fresh process may well compute it.
        raise
    except Exception as error:
        # Escapes for what can't be encoded: the reason must get through whatever it quotes.
        reason = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace").decode()
        outcome = Outcome(dead=_cut(reason))
        parts = _parts(outcome)
    if max(map(len, parts)) + len(key or b"") + ENVELOPE_BYTES > MAX_RECORD_BYTES:
        outcome = Outcome(
            outcome.read,
            dead=f"the outcome doesn't fit into a record: {len(outcome.skips):,} skips, {len(outcome.errors):,} errors",
        )
        parts = _parts(outcome)
    messages = list(_results(lane, origin, key, given, parts))
    if outcome.dead is not None:
        messages.append(dead_letter(lane, origin, key, value or b"", given, "agent", outcome.dead))
    return messages


def _told(problems: list[RowProblem], where: str) -> list[RowProblem]:
    """The problems as people read them: texts cut short, rows that have no key named by the record they stand in."""
    return [
        problem
        if len(problem.text) <= _TEXT_CHARS and any(part is not None for part in problem.key)
        else replace(problem, key=_key(problem.key, where), text=_cut(problem.text))
        for problem in problems
    ]


def _key(key: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    return key if any(part is not None for part in key) else (where,)


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]}… ({len(text):,} characters)"


def _add_gone(outcome: Outcome, planned: int) -> None:
    """Planned rows that the source no longer had when the unit was read."""
    for _ in range(planned - outcome.read):
        outcome.skips.append(RowProblem((), "gone", "the planned row is no longer in the source"))
    outcome.read = planned


def dead_letter(
    lane: Lane,
    origin: Origin,
    key: bytes | None,
    value: bytes,
    headers: Iterable[tuple[str, bytes]],
    stage: str,
    reason: str,
) -> Message:
    """The record for the DLQ: bytes, key and headers untouched, with where it stood and what failed added."""
    added = {
        "rederive-origin-topic": origin.topic,
        "rederive-origin-partition": str(origin.partition),
        "rederive-origin-offset": str(origin.offset),
        "rederive-failed-stage": stage,
        "rederive-failure": reason,
    }
    return Message(lane.dlq, None, key, value, [*headers, *((name, text.encode()) for name, text in added.items())])


def _results(
    lane: Lane, origin: Origin, key: bytes | None, given: list[tuple[str, bytes]], parts: list[bytes]
) -> Iterator[Message]:
    found = texts(given)
    copied = [(name, found[name].encode()) for name in ("rederive-capture", "rederive-unit") if name in found]
    for number, part in enumerate(parts, start=1):
        headers = [
            ("rederive-format", b"1"),
            ("rederive-kind", b"outcome"),
            *copied,
            ("rederive-origin-topic", origin.topic.encode()),
            ("rederive-origin-partition", str(origin.partition).encode()),
            ("rederive-origin-offset", str(origin.offset).encode()),
            ("rederive-part", f"{number}/{len(parts)}".encode()),
        ]
        yield Message(lane.derived, origin.partition, key, part, headers)


def _parts(outcome: Outcome) -> list[bytes]:
    """The encoded outcome, in parts when it is large; all but rows stand in the last part."""
    whole = outcome.encode()
    if len(whole) <= MAX_RESULT_BYTES:
        return [whole]
    pieces: list[TableRows] = []
    for block in outcome.tables:
        size = max(1, len(block.rows) * MAX_RESULT_BYTES // len(whole))
        pieces += [replace(block, rows=block.rows[at : at + size]) for at in range(0, len(block.rows), size)]
    last = Outcome(read=outcome.read, skips=outcome.skips, errors=outcome.errors, dead=outcome.dead)
    return [*(Outcome(tables=[piece]).encode() for piece in pieces), last.encode()]
