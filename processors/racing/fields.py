"""Reading the fields of one object of an answer: quickly where all is as sent, field by field where something isn't."""

import json
import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from processors.racing.rules import JunkError, integer
from schemas.payload import shown

Parse = Callable[[str | None], Any]

_strip = str.strip
_NULLS: dict[str, str | None] = {"": None, "-": None, "\u2013": None, "N/A": None}
_null_or_text: Callable[[str, str], str | None] = _NULLS.get

# Postgres stores no NUL, and a lone surrogate can't be sent at all.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]").search

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000").search


def says_nothing(value: object) -> bool:
    """Whether a field's value is one of the texts that mean no value."""
    return isinstance(value, str) and _null_or_text(text := value.strip(), text) is None


class Field(NamedTuple):
    """A field of an object and the column that it gives; without `parse` its text is the value.

    `digits`: its text is digits, a JSON number is fine there too.
    """

    column: str
    name: str
    parse: Parse | None = None
    digits: bool = False


def same(*names: str) -> tuple[Field, ...]:
    """Texts that give columns of the same names."""
    return tuple(Field(name, name) for name in names)


def numbers(*names: str) -> tuple[Field, ...]:
    """Integers that give columns of the same names."""
    return tuple(Field(name, name, integer, True) for name in names)


class Reader:
    """Reads the fields of one kind of object, in their order."""

    def __init__(self, *fields: Field) -> None:
        self._fields = fields
        self.columns = tuple(field.column for field in fields)
        self._blank = dict.fromkeys((field.name for field in fields), "")
        self._get = itemgetter(*(field.name for field in fields))
        self._parsers = [(at, field.parse) for at, field in enumerate(fields) if field.parse is not None]

    def read(self, given: dict[str, Any], careful: bool, problems: list[str]) -> list[Any]:
        """The values, None where nothing is said; what a column can't hold is None, and `problems` says so.

        `careful`: there may be characters that can't be stored.
        """
        if not careful:
            try:
                return self._quickly(given)
            except (KeyError, TypeError, JunkError):
                # A missing key, a null, or junk.
                pass
            try:
                said = {name: value for name, value in given.items() if value is not None}
                return self._quickly(self._blank | said)
            except (TypeError, JunkError):
                pass
        return [_value(given, field, problems) for field in self._fields]

    def _quickly(self, given: dict[str, Any]) -> list[Any]:
        """Where every field is a text that fits."""
        texts = list(map(_strip, self._get(given)))
        values: list[Any] = list(map(_null_or_text, texts, texts))
        for at, parse in self._parsers:
            values[at] = parse(values[at])
        return values

    def named(self, column: str) -> tuple[str, ...]:
        """The names of the fields that give a column."""
        return tuple(field.name for field in self._fields if field.column == column)

    def pick(self, *columns: str) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
        """What picks the values of these columns."""
        return itemgetter(*map(self.columns.index, columns))


def _value(given: dict[str, Any], field: Field, problems: list[str]) -> Any:  # noqa: ANN401
    try:
        text = _text(given.get(field.name), field.digits)
        return text if field.parse is None else field.parse(text)
    except JunkError as junk:
        # A field may give several columns.
        if (problem := f"{field.name} {junk}") not in problems:
            problems.append(problem)
        return None


def _text(value: object, digits: bool) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        if _UNSTORABLE(value):
            raise JunkError(f"is {shown(value)}, with characters that can't be stored")
        text = value.strip()
        return _null_or_text(text, text)
    if digits and (type(value) is int or type(value) is float):
        # No bound holds for NaN.
        if abs(value) < 2**64:
            return str(value)
        raise JunkError(f"is {shown(value)}, out of range")
    raise JunkError(f"is {shown(value)}, not a text")


def boolean(given: dict[str, Any], name: str, problems: list[str]) -> bool | None:
    """A real boolean, None where nothing is said."""
    value = given.get(name)
    if value is None or type(value) is bool:
        return value
    _report(name, value, "a boolean", problems)
    return None


def flags(given: dict[str, Any], name: str, careful: bool, problems: list[str]) -> list[str] | None:
    """A list of texts, None when it is empty."""
    return _entries(given, name, str, "a list of texts", careful, problems)


def objects(given: dict[str, Any], name: str, careful: bool, problems: list[str]) -> list[dict[str, Any]] | None:
    """A list of objects, None when it is empty."""
    return _entries(given, name, dict, "a list of objects", careful, problems)


def _entries(
    given: dict[str, Any], name: str, kind: type[Any], wanted: str, careful: bool, problems: list[str]
) -> list[Any] | None:
    value = given.get(name)
    if value is None or value == []:
        return None
    if type(value) is not list or not all(type(each) is kind for each in value):
        _report(name, value, wanted, problems)
        return None
    if not _storable(value, careful):
        problems.append(f"{name} is {shown(value)} that can't be stored as it is")
        return None
    return value


def _storable(value: list[Any], careful: bool) -> bool:
    """Whether a value can be sent on, and jsonb takes it."""
    try:
        # The levels of an outcome: what is sent can't be as deep as what is read.
        encoded = orjson.dumps([[[[[[[[value]]]]]]]])
        if careful:
            json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return not (careful and _NUL(encoded))


def _report(name: str, value: object, wanted: str, problems: list[str]) -> None:
    if type(value) is not str or _null_or_text(text := value.strip(), text) is not None:
        problems.append(f"{name} is {shown(value)}, not {wanted}")
