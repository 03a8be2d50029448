"""From a raw record to the messages that answer it: pure, and the same for every domain."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.derived import parts
from schemas.lane import Lane
from schemas.live import LiveDay
from schemas.outcome import Outcome, RowProblem
from schemas.unit import Origin
from schemas.wire import (
    DerivedHeaders,
    Failure,
    Headers,
    Pointer,
    RawHeaders,
    decode_raw,
    encode_derived,
    encode_failure,
    fits,
    oversize,
)

log = logging.getLogger(__name__)

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
    headers: Headers


def answer(
    process: Process,
    lane: Lane,
    origin: Origin,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]] | None,
    live: LiveDay | None = None,
    sent: int | None = None,
) -> list[Message]:
    """Everything to deliver for one raw record: its outcome, and the record itself to the DLQ when it is dead.

    A record without a capture belongs to that of the day `live`, which has the derivation version of what computes;
    `sent` is its Kafka timestamp in milliseconds.
    """
    given = list(headers or ())
    said, failed = RawHeaders(lane.domain), ""
    try:
        said = decode_raw(given, lane.domain)
        outcome = process(value or b"", said.columns)
        if not isinstance(outcome, Outcome):
            # A domain is whoever's.
            raise TypeError(f"its formulas gave {type(outcome).__name__}, no Outcome")
        _check_read(outcome)
        if said.rows is not None and said.rows > outcome.read:
            _add_gone(outcome, said.rows)
        where = said.key_range or str(origin)
        outcome.skips, outcome.errors = _told(outcome.skips, where), _told(outcome.errors, where)
        encoded = parts(outcome)
    except MemoryError:
        # Nothing is wrong with the record: a fresh process may well compute it.
        raise
    except (Exception, SystemExit) as error:
        # ValueError is a formula's word for a record that it can't read; whatever else is a bug, and says where. A
        # library's sys.exit would come again with the record, in one agent after the other.
        log.error("%s: nothing can be made of it: %s", origin, error, exc_info=not isinstance(error, ValueError))
        failed = type(error).__name__
        outcome = Outcome(dead=_cut(f"{failed}: {error}".encode("utf-8", "backslashreplace").decode()))
        encoded = parts(outcome)
    if oversize(max(encoded, key=len), key):
        outcome = Outcome(
            outcome.read,
            dead=f"the outcome doesn't fit into a record: {len(outcome.skips):,} skips, {len(outcome.errors):,} errors",
        )
        encoded = parts(outcome)
    answered = DerivedHeaders(
        origin, said.capture, said.unit, parts=len(encoded), first=said.first, attempt=said.attempt
    )
    if said.capture is None and live is not None:
        answered = replace(answered, capture=live.capture_id, unit=None, looked=said.looked, sent=sent)
    messages = list(_answers(lane, key, answered, encoded))
    if outcome.dead is not None:
        version = None if live is None else live.version
        failure = Failure(origin, "agent", outcome.dead, failed, said.attempt, answered.capture, version, said.first)
        messages.append(_letter(lane, key, value or b"", given, failure))
    return messages


def _letter(lane: Lane, key: bytes | None, value: bytes, headers: Headers, failure: Failure) -> Message:
    """The record itself, and why it is dead; of one that doesn't fit with that, what stands for it."""
    encoded = encode_failure(failure, headers)
    if not fits(key, value, encoded):
        # It must get through whatever it is: an agent that can't send it would meet it again and again.
        failure = replace(failure, pointer=Pointer.to(value))
        value, encoded = b"", encode_failure(failure, headers)
    if not fits(key, value, encoded):
        key, encoded = None, encode_failure(failure)
    return Message(lane.dlq, None, key, value, encoded)


def _check_read(outcome: Outcome) -> None:
    """ValueError when so many rows can't have been read: what was planned beyond them would count as gone."""
    problems = len(outcome.skips) + len(outcome.errors)
    if type(outcome.read) is not int or outcome.read < problems:
        raise ValueError(f"its formulas say read={outcome.read!r} of {problems:,} skips and errors")


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


def _answers(lane: Lane, key: bytes | None, said: DerivedHeaders, parts: list[bytes]) -> Iterator[Message]:
    for number, part in enumerate(parts, start=1):
        yield Message(lane.derived, said.origin.partition, key, part, encode_derived(replace(said, part=number)))
