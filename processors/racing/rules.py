"""How texts of The Racing API become values (racing spec, section 2).

Each parser takes a stripped text that says something, or None, and gives None where the rules see no value. JunkError
means that the text can't be a value of the column: it is to be reported.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from math import isfinite

from schemas.payload import OUTSIDE_YEARS, aware, lies_outside, shown
from schemas.racing.tables import MAX_ID

INT4 = 2**31

_INTEGER = re.compile(r"[+-]?[0-9]+").fullmatch
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
_LENGTHS = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)L?").fullmatch
_DIGITS = re.compile(r"[0-9]+").search
_DISTANCE = re.compile(r"(?:([0-9]{1,4})?(½)?m)?(?:([0-9]{1,4})?(½)?f)?(?:([0-9]{1,5})y)?").fullmatch
_CLOCK = re.compile(r"([0-9]{1,2})[:.]([0-9]{2})").fullmatch
_CLAIM = re.compile(r"(.*?)\s*\(([0-9]{1,3})\)").fullmatch
_COUNTRY = re.compile(r"\(([A-Z]{2,3})\)\s*$").search

_NOT_FINISHED = frozenset(("F", "U", "PU", "BD", "RO", "DSQ", "VO", "RR", "CO", "SU", "UR", "DIED"))
_NOT_FINISHED_STARTS = tuple(_NOT_FINISHED - {"DIED"})

_KEPT = 8_192
"""How many different texts of a kind are remembered: a day repeats a few hundred."""


class JunkError(ValueError):
    """A value that its column can't hold, in words."""


def _at_most(text: str | None, limit: int) -> str | None:
    if text is not None and len(text) > limit:
        raise JunkError(f"is {shown(text)}, longer than {limit} characters")
    return text


def identifier(text: str | None) -> str | None:
    """An id: at most 50 characters."""
    # Called for each id of each runner: the usual case must cost nothing.
    if text is None or len(text) <= MAX_ID:
        return text
    return _at_most(text, MAX_ID)


@lru_cache(_KEPT)
def integer(text: str | None) -> int | None:
    """An integer, else None: "66" is 66, "4.0" is None."""
    if text is None or not _INTEGER(text):
        return None
    return _int4(text)


def _int4(text: str) -> int:
    # int() refuses thousands of digits, zeros in front too.
    sign, digits = text[:1] if text[0] in "+-" else "", text.lstrip("+-0") or "0"
    if len(digits) > 10 or not -INT4 <= (number := int(sign + digits)) < INT4:
        raise JunkError(f"is {shown(text)}, not an integer of 32 bits")
    return number


@lru_cache(_KEPT)
def decimal(text: str | None) -> float | None:
    """A number, else None; one trailing L is allowed: "0.5L" is 0.5."""
    return None if text is None else _float(text.removesuffix("L"))


@lru_cache(_KEPT)
def money(text: str | None) -> float | None:
    """A prize: currency sign and commas dropped: "£301,272" is 301272.0, "€9,500" is 9500.0."""
    if text is None:
        return None
    amount = text[1:].lstrip() if text[0] in "£$€" else text
    return _float(amount.replace(",", ""))


@lru_cache(_KEPT)
def prize_won(text: str | None) -> float | None:
    """As `money`, to two decimals and below a hundred million: what numeric(10,2) holds."""
    amount = money(text)
    if amount is None:
        return None
    if abs(rounded := round(amount, 2)) >= 10**8:
        raise JunkError(f"is {shown(text)}, not below 100,000,000")
    return rounded


def _float(text: str) -> float | None:
    if not _NUMBER(text):
        return None
    number = float(text)
    if not isfinite(number):
        raise JunkError(f"is {shown(text)}, not a finite number")
    return number


@lru_cache(_KEPT)
def position(text: str | None) -> int | None:
    """The finishing position; None for who didn't finish: "2" is 2, "1st" is 1, "PU" is None."""
    if text is None:
        return None
    if _INTEGER(text):
        return _int4(text)
    upper = text.upper()
    if upper in _NOT_FINISHED or upper.startswith(_NOT_FINISHED_STARTS):
        return None
    found = _DIGITS(upper)
    return _int4(found[0]) if found else None


@lru_cache(_KEPT)
def position_text(text: str | None) -> str | None:
    """The position or code as sent, in upper case: a non-finisher isn't lost."""
    return text and text.upper()


@lru_cache(_KEPT)
def distance_beaten(text: str | None) -> str | None:
    """Lengths as text: ".5" is "0.5L", "10.50" is "10.5L", "0" stays, words such as "nk" pass."""
    if text is None or len(text) > 20 or not (found := _LENGTHS(text)):
        return _at_most(text, 20)
    lengths = format(Decimal(found[1]).normalize(), "f")
    return "0" if lengths == "0" else _at_most(f"{lengths}L", 20)


def starting_price(text: str | None) -> str | None:
    """A price as sent, with its suffix for favourites: "13/8F"."""
    return _at_most(text, 20)


@lru_cache(_KEPT)
def metres(text: str | None) -> int | None:
    """A card's distance in metres, by 1609 a mile, 201 a furlong, 0.9144 a yard: "1m2f" is 2011."""
    if text is None or not (found := _DISTANCE(text)):
        return None
    miles, half_mile, furlongs, half_furlong, yards = found.groups()
    exact = 1609 * (int(miles or 0) + bool(half_mile) / 2) + 201 * (int(furlongs or 0) + bool(half_furlong) / 2)
    return int(exact + int(yards or 0) * 0.9144)


def furlongs(text: str | None) -> str | None:
    """Furlongs as text: "10f" is "10", "8.0" stays."""
    return text and (text.removesuffix("f").rstrip() or None)


@lru_cache(_KEPT)
def day(text: str | None) -> str | None:
    """A date, YYYY-MM-DD."""
    if text is None:
        return None
    try:
        if len(text) == 10 and text[4] == text[7] == "-":
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise JunkError(f"is {shown(text)}, {OUTSIDE_YEARS if lies_outside(text) else 'not a date'}")


@lru_cache(_KEPT)
def moment(text: str | None) -> str | None:
    """A time with its offset, as sent: ISO 8601."""
    return text and _moment(text).isoformat()


@lru_cache(_KEPT)
def clock(text: str | None) -> str | None:
    """The local time of day of a time with its offset, HH:MM:SS."""
    return text and _moment(text).time().isoformat("seconds")


def _moment(text: str) -> datetime:
    try:
        return aware(text)
    except ValueError as error:
        raise JunkError(str(error)) from None


@lru_cache(_KEPT)
def afternoon(text: str | None) -> str | None:
    """A course clock without am and pm as HH:MM:SS: before 10 means afternoon, "1:44" is "13:44:00"."""
    if text is None or not (found := _CLOCK(text)):
        return None
    hour, minute = int(found[1]), int(found[2])
    hour += 12 if hour < 10 else 0
    return f"{hour:02}:{minute:02}:00" if hour < 24 and minute < 60 else None


@lru_cache(_KEPT)
def region(text: str | None) -> str | None:
    """A country's code in lower case, at most 10 characters; UK is gb."""
    code = text and text.lower()
    return "gb" if code == "uk" else _at_most(code, 10)


def name_region(name: str | None) -> str | None:
    """The country within a name: "Horse (IRE)" is "ire", "One Two (Three)" None."""
    # Most names on cards have none: the search must not cost.
    if name is None or "(" not in name or not (found := _COUNTRY(name)):
        return None
    return region(found[1])


@lru_cache(_KEPT)
def rider(name: str | None) -> str | None:
    """A jockey's name without the claim; None for a non-runner's: "Luke Scott(3)" is "Luke Scott"."""
    if name is None or name.upper().startswith("NON-RUNNER"):
        return None
    found = _CLAIM(name)
    return (found[1] or None) if found else name


@lru_cache(_KEPT)
def claim(name: str | None) -> int | None:
    """The claim in brackets behind a jockey's name, in pounds; None for a non-runner's."""
    if name is None or name.upper().startswith("NON-RUNNER"):
        return None
    found = _CLAIM(name)
    return int(found[2]) if found else None
