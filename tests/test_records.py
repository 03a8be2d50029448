"""The record contract between agent and sink, without a broker."""

import hashlib
from collections.abc import Sequence

import pytest

from processors.engine import Message, answer
from schemas.derived import PART_BYTES, decode_outcome
from schemas.lane import Lane, LaneName
from schemas.live import LiveDay
from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.table import Column, Mode, Table
from schemas.unit import Origin
from schemas.wire import Failure, Pointer, RawHeaders, decode_derived, decode_failure, decode_raw, encode_raw, fits
from sinks.parts import Parts

TEXTS = Table("t", (Column("k", "int8"),), (), (Column("v", "text"),), "seen", Mode.FILL)
LANE = Lane("betfair", LaneName.REPLAY, "p.")
ORIGIN = Origin(LANE.raw, 1, 42)
DAY = LiveDay.of("betfair", 0, 4)
HEADERS = encode_raw(RawHeaders("betfair.snapshots", "betfair-20260206-1", 3, ("home_risk",), rows=2))


def large(value: bytes, columns: Sequence[str]) -> Outcome:  # noqa: ARG001
    """About two and a half parts."""
    rows = [[number, "x" * 1000] for number in range(5 * PART_BYTES // 2000)]
    return Outcome(len(rows) + 1, [TableRows.of(TEXTS, ("k", "v"), rows)], [RowProblem((7,), "no_payload")])


def test_a_large_result_goes_in_parts_and_comes_back_whole() -> None:
    messages = answer(large, LANE, ORIGIN, b"key", b"", HEADERS)
    assert len(messages) > 2
    assert all(len(message.value) <= 1.1 * PART_BYTES for message in messages)
    assert {(message.topic, message.partition) for message in messages} == {(LANE.derived, 1)}
    assembly = Parts()
    whole = [assembly.take(10 + at, m.headers, m.value) for at, m in enumerate(messages)]
    assert whole[:-1] == [None] * (len(messages) - 1)
    (result,) = whole[-1:]
    assert result is not None
    assert (result.origin, result.capture_id, result.unit) == (ORIGIN, "betfair-20260206-1", 3)
    expected = large(b"", ())
    assert [row for block in result.outcome.tables for row in block.rows()] == expected.tables[0].rows()
    assert (result.outcome.read, result.outcome.skips) == (expected.read, expected.skips)


def test_the_safe_offset_never_passes_an_unfinished_result() -> None:
    messages = answer(large, LANE, ORIGIN, None, b"", HEADERS)
    other = answer(lambda *_: Outcome(read=2), LANE, Origin(LANE.raw, 1, 43), None, b"", HEADERS)
    assembly = Parts()
    assert assembly.take(5, messages[0].headers, messages[0].value) is None
    assert assembly.take(6, other[0].headers, other[0].value) is not None
    assert (assembly.next_offset, assembly.safe_offset) == (7, 5)
    # The agent died here; the next one sends the whole result again.
    finished = [assembly.take(7 + at, m.headers, m.value) for at, m in enumerate(messages)]
    assert finished[-1] is not None
    assert assembly.safe_offset == assembly.next_offset == 7 + len(messages)


def test_parts_whose_beginning_is_missing_are_passed_over() -> None:
    messages = answer(large, LANE, ORIGIN, None, b"", HEADERS)
    assembly = Parts()
    assert [assembly.take(at, m.headers, m.value) for at, m in enumerate(messages[1:])] == [None] * len(messages[1:])
    assert assembly.safe_offset == len(messages) - 1


def dead(messages: list[Message]) -> tuple[Outcome, Message]:
    outcome, letter = messages
    return decode_outcome(outcome.value), letter


@pytest.mark.parametrize("failure", [ValueError("no unit"), RuntimeError("a bug"), RecursionError()])
def test_what_cannot_be_computed_is_dead_and_keeps_its_bytes(failure: Exception) -> None:
    def process(*_: object) -> Outcome:
        raise failure

    headers = [*HEADERS, ("x-theirs", b"\xff")]
    outcome, letter = dead(answer(process, LANE, ORIGIN, b"key", b"\x00raw", headers, DAY))
    assert outcome.dead is not None
    assert type(failure).__name__ in outcome.dead
    assert (letter.topic, letter.key, letter.value) == ("p.betfair.dlq", b"key", b"\x00raw")
    assert letter.headers[: len(headers)] == headers
    assert decode_failure(letter.headers) == Failure(
        ORIGIN, "agent", outcome.dead, type(failure).__name__, 1, "betfair-20260206-1", 4
    )


def test_what_dies_again_says_which_attempt_and_where_it_was_first() -> None:
    first = Origin(LANE.raw, 0, 3)
    headers = encode_raw(RawHeaders("k", "c", 0, first=first, attempt=2))
    outcome, letter = answer(lambda *_: Outcome(dead="no"), LANE, ORIGIN, None, b"", headers)
    answered, failure = decode_derived(outcome.headers), decode_failure(letter.headers)
    assert (answered.origin, answered.first, answered.attempt) == (ORIGIN, first, 2)
    assert (failure.origin, failure.first, failure.attempt, failure.error) == (ORIGIN, first, 2, "")


def test_a_live_record_s_letter_names_its_day() -> None:
    _, letter = answer(lambda *_: Outcome(dead="no"), LANE, ORIGIN, None, b"", [], DAY, 0)
    assert decode_failure(letter.headers).capture == "betfair-live-19700101-v4"
    assert decode_raw(letter.headers, "").capture is None


@pytest.mark.parametrize(("key", "headers"), [(1, 0), (1, 14), (14, 0), (14, 14)])
def test_a_letter_that_does_not_fit_points_to_its_record(key: int, headers: int) -> None:
    """It is sent whatever it is, else the agent would meet it again and again."""
    million = 1024 * 1024
    value = b"v" * (15 * million)
    given = [("theirs", b"h" * (headers * million))]
    _, letter = answer(lambda *_: Outcome(dead="no"), LANE, ORIGIN, b"k" * (key * million), value, given, DAY)
    failure = decode_failure(letter.headers)
    assert letter.value == b""
    assert failure.pointer == Pointer(len(value), hashlib.sha256(value).hexdigest())
    assert fits(letter.key, letter.value, letter.headers)
    assert (letter.key is None) == (key + headers > 15)


def test_an_unknown_format_is_dead() -> None:
    headers = [("rederive-format", b"9")]
    outcome, _ = dead(answer(lambda *_: Outcome(), LANE, ORIGIN, None, b"", headers))
    assert outcome.dead == "ValueError: record format 9 is unknown, this program reads 1"


def test_rows_that_have_gone_since_the_plan_are_skipped_by_name() -> None:
    (message,) = answer(lambda *_: Outcome(read=1), LANE, ORIGIN, None, b"", HEADERS)
    outcome = decode_outcome(message.value)
    assert (outcome.read, [skip.reason for skip in outcome.skips]) == (2, ["gone"])


def test_no_memory_is_nobody_s_fault() -> None:
    def process(*_: object) -> Outcome:
        raise MemoryError

    with pytest.raises(MemoryError):
        answer(process, LANE, ORIGIN, None, b"", HEADERS)


def test_headers_come_back_as_they_were_written() -> None:
    said = RawHeaders("k", "c", 0, ("a", "b"), 5, "first..last", "2026-02-06T12:00:00+00:00")
    assert decode_raw(encode_raw(said), "other") == said
    assert decode_raw(None, "betfair") == RawHeaders("betfair")
