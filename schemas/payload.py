"""Reading what others have written: JSON, times, and how a value is shown in a message. One wording for all domains."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from math import isinf
from typing import Any

TOO_DEEP = "nested too deeply to be read"
"""What is said of JSON whose reading leaves the stack."""

OUTSIDE_YEARS = "outside the years 1 to 9999"

_MOST_DIGITS = 4_300
_SHOWN_CHARS = 40
_LONG_YEAR = re.compile(r"[+-]?[0-9]{5,}-").match
_LIKE_A_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}(:?[0-9]{2}){0,2}([.,][0-9]+)?(Z|[+-][0-9:]+)?)?"
).fullmatch


def read_json(text: bytes | str) -> Any:  # noqa: ANN401 - whatever it holds
    """The value of a JSON text; NaN and Infinity are read, lone surrogates too. ValueError says why there is none.

    A number beyond the range of float64 is the same however it is written, 1e400 or with all its digits, as a database
    gives it: an integer, or infinite where that would have more than 4,300 digits.
    """
    try:
        return json.loads(text.decode() if isinstance(text, bytes) else text, parse_int=_integer, parse_float=_float)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not JSON: no UTF-8 text, {error.reason} at byte {error.start:,}") from None
    except ValueError as error:
        raise ValueError(sendable(f"not JSON: {error}")) from None


def _integer(digits: str) -> int | float:
    # int() refuses more.
    return int(digits) if len(digits.lstrip("-")) <= _MOST_DIGITS else float(digits)


def _float(text: str) -> int | float:
    number = float(text)
    if not isinf(number):
        return number
    exact = Decimal(text)
    return int(exact) if exact.adjusted() < _MOST_DIGITS else number


def aware(value: object) -> datetime:
    """A time of ISO 8601 text with an offset; ValueError goes on where the name of the field ends."""
    if type(value) is not str or not value.isascii():
        raise ValueError(f"is {shown(value)}, not ISO 8601 text with an offset")
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        if _LONG_YEAR(value):
            raise ValueError(f"is {shown(value)}, {OUTSIDE_YEARS}") from None
        why = str(error) if _LIKE_A_TIME(value) else "not ISO 8601 text with an offset"
        raise ValueError(f"is {shown(value)}, {why}") from None
    if found.utcoffset() is None:
        raise ValueError(f"is {shown(value)}, without an offset")
    if found.year in (1, 9999):
        try:
            found.astimezone(UTC)
        except OverflowError:
            raise ValueError(f"is {shown(value)}, in UTC {OUTSIDE_YEARS}") from None
    return found


def told(place: tuple[int | str, ...], message: str, whole: str) -> str:
    """One of pydantic's errors as people read it; `whole` is what it is called that has no place."""
    said = message.removeprefix("Value error, ")
    return f"{'.'.join(map(str, place)) or whole}{'' if said.startswith('is ') else ':'} {said}"


def lies_outside(text: str) -> bool:
    """Whether a text that is no date is one of a year of five digits or more."""
    return bool(_LONG_YEAR(text))


def shown(value: object) -> str:
    """A value for a message: short, one line, sendable whatever it holds."""
    if isinstance(value, str):
        return ascii(value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}…")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return str(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 2**64 else "a huge integer"
    return "a list" if isinstance(value, list) else "an object"


def sendable(text: str) -> str:
    """The text with characters that can't be sent on escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
