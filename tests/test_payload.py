"""What others have written is read, or the reason why it can't be is true."""

from math import inf, isnan
from typing import Any

import pytest

from schemas.payload import aware, read_json, shown


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e400", 10**400),
        ("-15e399", -15 * 10**399),
        ("1" + "0" * 400, 10**400),
        ("1e4299", 10**4299),
        ("1e4300", inf),
        ("-1e5000", -inf),
        ("1e999999999999", inf),
        ("9" * 4300, int("9" * 4300)),
        ("-" + "9" * 4300, -int("9" * 4300)),
        ("9" * 4301, inf),
        ("-" + "9" * 4301, -inf),
        ("1e-5000", 0.0),
        ("Infinity", inf),
        ('"1e5000"', "1e5000"),
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
    ],
)
def test_a_number_is_the_same_however_it_is_written(text: str | bytes, value: Any) -> None:
    found = read_json(text)
    assert (found, type(found)) == (value, type(value))
    assert isnan(read_json("NaN"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{oops", "not JSON: Expecting property name"),
        (b'"\xff"', "not JSON: no UTF-8 text, invalid start byte at byte 1"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply to be read"),
        (b"", "not JSON: "),
    ],
)
def test_why_a_text_is_not_read_is_true(text: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_json(text)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "is null, not ISO 8601 text with an offset"),
        (True, "is true, not ISO 8601 text"),
        (5, "is 5, not ISO 8601 text"),
        ("yesterday", "is 'yesterday', not ISO 8601 text"),
        ("2026-02-06T12:00:00", "is '2026-02-06T12:00:00', without an offset"),
        ("2026-02-30T12:00:00Z", "day is out of range for month"),
        ("2026-02-06T25:00:00+00:00", r"hour must be in 0\.\.23"),
        ("2026-13-06", r"month must be in 1\.\.12"),
        ("10000-01-01T00:00:00Z", "outside the years 1 to 9999"),
        ("-12000-01-01T00:00:00Z", "outside the years 1 to 9999"),
        ("9999-12-31T23:00:00-05:00", "in UTC outside the years 1 to 9999"),
        ("2026-02-06☃12:00:00Z", "not ISO 8601 text"),
    ],
)
def test_why_a_text_is_no_time_is_true(value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        aware(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (False, "false"),
        (10**400, "a huge integer"),
        ("\ud800", r"'\ud800'"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_a_value_is_shown_as_json_has_it(value: object, text: str) -> None:
    assert shown(value) == text
