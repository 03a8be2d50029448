"""What is written to the wire is read back the same; anything else is refused with a reason."""

from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.unit import Origin
from schemas.wire import (
    CARGO_BYTES,
    PART_BYTES,
    DerivedHeaders,
    Failure,
    RawHeaders,
    decode_derived,
    decode_failure,
    decode_outcome,
    decode_raw,
    encode_derived,
    encode_failure,
    encode_outcome,
    encode_raw,
    joined,
    oversize,
    parts,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters=","), min_size=1, max_size=12)
ORIGINS = st.builds(Origin, TEXTS, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
UNITS = st.none() | st.integers(0, 2**31 - 1)
RAW = st.builds(
    RawHeaders,
    TEXTS,
    st.none() | TEXTS,
    UNITS,
    st.lists(NAMES).map(tuple),
    st.none() | st.integers(0, 999_999),
    TEXTS,
    TEXTS,
)
DERIVED = st.integers(1, 50).flatmap(
    lambda count: st.builds(DerivedHeaders, ORIGINS, st.none() | TEXTS, UNITS, st.integers(1, count), st.just(count))
)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | NUMBERS | TEXTS
OUR_NAMES = st.sampled_from([name for name, _ in encode_derived(DerivedHeaders(Origin("t", 0, 0), "c", 1))])
PROBLEMS = st.lists(st.builds(RowProblem, st.lists(VALUES, max_size=3).map(tuple), TEXTS, TEXTS), max_size=3)
BLOCKS = st.builds(
    TableRows,
    TEXTS,
    st.lists(NAMES, max_size=3).map(tuple),
    st.lists(st.lists(VALUES, max_size=3), max_size=3),
    st.integers(0, 5),
    st.dictionaries(NAMES, VALUES, max_size=2),
)
OUTCOMES = st.builds(
    Outcome, st.integers(0, 2**31), st.lists(BLOCKS, max_size=3), PROBLEMS, PROBLEMS, st.none() | TEXTS
)


@given(RAW)
def test_raw_headers_come_back(said: RawHeaders) -> None:
    assert decode_raw(encode_raw(said), "other") == said


@given(DERIVED)
def test_derived_headers_come_back(said: DerivedHeaders) -> None:
    assert decode_derived(encode_derived(said)) == said


@given(st.builds(Failure, ORIGINS, TEXTS, TEXTS), RAW)
def test_a_failure_comes_back_and_leaves_the_record_s_own_headers(failure: Failure, raw: RawHeaders) -> None:
    headers = encode_failure(failure, encode_raw(raw))
    assert decode_failure(headers) == failure
    assert decode_raw(headers, "other") == raw
    assert encode_failure(failure, headers) == headers, "given up twice it says so once"


@given(OUTCOMES)
def test_outcomes_come_back(outcome: Outcome) -> None:
    assert decode_outcome(encode_outcome(outcome)) == outcome


def refused(read: Callable[[], object]) -> str:
    """Why it is refused; empty when it is read."""
    try:
        read()
    except ValueError as error:
        return str(error) or "without a reason"
    return ""


@given(st.lists(st.tuples(TEXTS | OUR_NAMES, st.binary(max_size=12))))
def test_odd_headers_are_read_or_refused_with_a_reason(headers: list[tuple[str, bytes]]) -> None:
    for read in (lambda: decode_raw(headers, "x"), lambda: decode_derived(headers), lambda: decode_failure(headers)):
        assert refused(read) == "" or any(word in refused(read) for word in ("rederive-", "format", "no offset"))


JSON = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@given(st.binary(max_size=40) | JSON.map(orjson.dumps))
def test_odd_bodies_are_refused_with_a_reason(value: bytes) -> None:
    with pytest.raises(ValueError, match="the value is no outcome"):
        decode_outcome(value)


FIELDS = st.sampled_from(["read", "tables", "skips", "errors", "dead"])


@given(FIELDS, st.integers(1, 3) | st.just("x") | st.just([1]) | st.just([{}]))
def test_a_body_with_one_odd_field_is_refused_or_means_the_same(field: str, odd: object) -> None:
    body = orjson.dumps(orjson.loads(encode_outcome(Outcome(read=3))) | {field: odd})
    why = refused(lambda: decode_outcome(body))
    assert "the value is no outcome" in why if why else getattr(decode_outcome(body), field) == odd


def test_a_large_outcome_goes_in_parts_and_comes_back_whole() -> None:
    rows = [[number, "x" * 1000] for number in range(5 * PART_BYTES // 2000)]
    whole = Outcome(len(rows) + 1, [TableRows("t", ("k", "v"), rows, 1)], [RowProblem((7,), "no_payload")])
    pieces = parts(whole)
    assert len(pieces) > 2
    back = joined(pieces)
    assert [row for block in back.tables for row in block.rows] == rows
    assert (back.read, back.skips) == (whole.read, whole.skips)


def test_the_size_rule_counts_key_and_value() -> None:
    assert oversize(b"x" * CARGO_BYTES) is None
    said = oversize(b"x" * CARGO_BYTES, b"k")
    assert said == f"its {CARGO_BYTES + 1:,} bytes are over the limit of {CARGO_BYTES:,} bytes a record"
