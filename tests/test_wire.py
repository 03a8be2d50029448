"""What is written to the wire is read back the same; anything else is refused with a reason."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from schemas.unit import Origin
from schemas.wire import (
    CARGO_BYTES,
    DERIVED_FORMAT,
    FORMAT,
    DerivedHeaders,
    Failure,
    Pointer,
    RawHeaders,
    decode_derived,
    decode_failure,
    decode_raw,
    encode_again,
    encode_derived,
    encode_failure,
    encode_raw,
    error_class,
    oversize,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters=","), min_size=1, max_size=12)
ORIGINS = st.builds(Origin, TEXTS, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
UNITS = st.none() | st.integers(0, 2**31 - 1)
MOMENTS = st.none() | st.integers(0, 2**63 - 1)
RAW = st.builds(
    RawHeaders,
    TEXTS,
    st.none() | TEXTS,
    UNITS,
    st.lists(NAMES).map(tuple),
    st.none() | st.integers(0, 999_999),
    TEXTS,
    TEXTS,
    MOMENTS,
    st.none() | ORIGINS,
    st.integers(1, 2**31 - 1),
)
DERIVED = st.integers(1, 50).flatmap(
    lambda count: st.builds(
        DerivedHeaders,
        ORIGINS,
        st.none() | TEXTS,
        UNITS,
        st.integers(1, count),
        st.just(count),
        MOMENTS,
        MOMENTS,
        st.none() | ORIGINS,
        st.integers(1, 2**31 - 1),
    )
)
FAILURES = st.builds(
    Failure,
    ORIGINS,
    TEXTS,
    TEXTS,
    TEXTS,
    st.integers(1, 2**31 - 2),
    st.none() | TEXTS,
    UNITS,
    st.none() | ORIGINS,
    st.none() | st.builds(Pointer, st.integers(0, 2**63 - 1), TEXTS),
)
OUR_NAMES = st.sampled_from([name for name, _ in encode_derived(DerivedHeaders(Origin("t", 0, 0), "c", 1))])


@given(RAW)
def test_raw_headers_come_back(said: RawHeaders) -> None:
    assert decode_raw(encode_raw(said), "other") == said


@given(DERIVED)
def test_derived_headers_come_back(said: DerivedHeaders) -> None:
    assert decode_derived(encode_derived(said)) == said


@given(FAILURES, RAW)
def test_a_failure_comes_back_and_leaves_the_record_s_own_headers(failure: Failure, raw: RawHeaders) -> None:
    headers = encode_failure(failure, encode_raw(raw))
    assert decode_failure(headers) == failure
    assert decode_raw(headers, "other") == replace(raw, first=failure.first, attempt=failure.attempt)
    assert encode_failure(failure, headers) == headers, "given up twice it says so once"


@given(FAILURES, RAW, st.lists(st.tuples(st.just("theirs"), st.binary(max_size=5))))
def test_the_next_attempt_has_the_record_s_own_headers(
    failure: Failure, raw: RawHeaders, theirs: list[tuple[str, bytes]]
) -> None:
    own = [*encode_raw(replace(raw, first=failure.first, attempt=failure.attempt)), *theirs]
    again = encode_again(failure, encode_failure(failure, own))
    said = decode_raw(again, "other")
    assert said == replace(
        raw,
        capture=failure.capture if raw.capture is None else raw.capture,
        first=failure.identity,
        attempt=failure.attempt + 1,
    )
    assert [one for one in again if one[0] == "theirs"] == theirs


def test_letters_of_versions_before_are_read() -> None:
    names = ("rederive-origin-topic", "rederive-origin-partition", "rederive-origin-offset", "rederive-failed-stage")
    headers = [*zip(names, (b"t", b"0", b"7", b"agent"), strict=True), ("rederive-failure", b"ValueError: no")]
    assert decode_failure(headers) == Failure(Origin("t", 0, 7), "agent", "ValueError: no")


def test_the_class_of_an_error_is_what_its_reason_begins_with() -> None:
    assert error_class("CheckViolation: new row") == "CheckViolation"
    assert error_class("it came without a capture: what") == ""


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


def test_formats_are_told_apart() -> None:
    derived = encode_derived(DerivedHeaders(Origin("t", 0, 0), "c", 1))
    older = [(name, b"1" if name == "rederive-format" else value) for name, value in derived]
    assert refused(lambda: decode_derived(older)) == "record format 1 is unknown, this program reads 2"
    assert refused(lambda: decode_raw(derived, "x")) == "record format 2 is unknown, this program reads 1"
    for written in (FORMAT, DERIVED_FORMAT):
        failed = encode_failure(Failure(Origin("t", 0, 0), "sink", "why"), [("rederive-format", str(written).encode())])
        assert decode_failure(failed).reason == "why", "dead letters are of either"


def test_the_size_rule_counts_key_and_value() -> None:
    assert oversize(b"x" * CARGO_BYTES) is None
    said = oversize(b"x" * CARGO_BYTES, b"k")
    assert said == f"its {CARGO_BYTES + 1:,} bytes are over the limit of {CARGO_BYTES:,} bytes a record"
