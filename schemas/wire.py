"""The wire: every header of a record, written and read here and nowhere else (docs/records.md).

| record | format | headers | value |
|---|---|---|---|
| raw | 1 | `RawHeaders` | the domain's own |
| derived | 2 | `DerivedHeaders` | an Outcome, whole or a part of it (schemas/derived.py) |
| dead letter | the record's own | the record's own and `Failure` | the record's own bytes |

Decoding gives back what was encoded; anything else is refused by ValueError with a reason.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.unit import Origin

FORMAT = 1
"""Of raw records."""

DERIVED_FORMAT = 2
"""Of derived records; those of format 1 had rows of JSON."""

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""Largest record end to end; a larger payload is refused by name before it is sent."""

ENVELOPE_BYTES = 16 * 1024
"""What a record carries besides its key and value: headers with every column name, and the batch around it."""

CARGO_BYTES = MAX_RECORD_BYTES - ENVELOPE_BYTES
"""What key and value may have together."""

MAX_BATCH_BYTES = MAX_RECORD_BYTES + 1024 * 1024
"""What topics, brokers and fetches must take: a batch's own bytes come on top of its records."""

MAX_PLANNED_ROWS = 1_000_000
_MAX_INT4, _MAX_INT8 = 2**31, 2**63
_PART = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")

Headers = Sequence[tuple[str, bytes]]
Given = Iterable[tuple[str, str | bytes | None]] | None
"""Headers as a Kafka client gives them."""


def oversize(value: bytes, key: bytes | None = None) -> str | None:
    """Why a record of this key and value can't be sent, None when it can."""
    size = len(key or b"") + len(value)
    return None if size <= CARGO_BYTES else f"its {size:,} bytes are over the limit of {CARGO_BYTES:,} bytes a record"


def fits(key: bytes | None, value: bytes, headers: Headers) -> bool:
    """Whether a record can be sent, whoever wrote its headers."""
    said = sum(len(name.encode()) + len(content) + 10 for name, content in headers)
    return len(key or b"") + len(value) + said <= MAX_RECORD_BYTES - 1024


@dataclass(frozen=True, slots=True)
class RawHeaders:
    """What a raw record says of itself unopened.

    `capture` and `unit` (the unit's number in the capture's plan) are None on records of an outside ingester. `columns`
    are the value columns to derive; empty means all. `rows` is how many source rows were planned, None when nobody
    planned. `key_range` and `observed` are for people. `looked` is when a live producer had looked before it found
    these rows, in milliseconds since 1970: none of them had been committed then. A record that is sent again after it
    died says where it stood the `first` time, and which `attempt` this is.
    """

    kind: str
    capture: str | None = None
    unit: int | None = None
    columns: tuple[str, ...] = ()
    rows: int | None = None
    key_range: str = ""
    observed: str = ""
    looked: int | None = None
    first: Origin | None = None
    attempt: int = 1


def encode_raw(said: RawHeaders) -> Headers:
    """As Kafka headers."""
    return _headers(
        {
            "rederive-kind": said.kind,
            "rederive-capture": said.capture,
            "rederive-unit": said.unit,
            "rederive-columns": ",".join(said.columns) or None,
            "rederive-rows": said.rows,
            "rederive-range": said.key_range or None,
            "rederive-observed": said.observed or None,
            "rederive-looked": said.looked,
            **_first(said.first),
            "rederive-attempt": said.attempt if said.attempt > 1 else None,
        }
    )


def decode_raw(headers: Given, default_kind: str) -> RawHeaders:
    """From Kafka headers; unknown ones are passed over, a record without any is of the default kind."""
    found = _texts(headers, FORMAT)
    return RawHeaders(
        kind=found.get("rederive-kind", default_kind),
        capture=found.get("rederive-capture"),
        unit=_number(found, "rederive-unit", _MAX_INT4),
        columns=tuple(filter(None, found.get("rederive-columns", "").split(","))),
        rows=_number(found, "rederive-rows", MAX_PLANNED_ROWS),
        key_range=found.get("rederive-range", ""),
        observed=found.get("rederive-observed", ""),
        looked=_number(found, "rederive-looked", _MAX_INT8),
        first=_read_first(found),
        attempt=_read_attempt(found),
    )


def planned_rows(headers: Given) -> int | None:
    """How many source rows a raw record says were planned, None where it doesn't; nothing else of it is read."""
    said = [value for name, value in headers or () if name == "rederive-rows"]
    return _number({"rederive-rows": _bytes_of(said[-1]).decode()}, "rederive-rows", MAX_PLANNED_ROWS) if said else None


@dataclass(frozen=True, slots=True)
class DerivedHeaders:
    """What a derived record answers: the raw record at `origin`, with that one's capture and unit, and which attempt.

    It is part `part` of `parts`; the first has number 1. `looked` is the raw record's own, `sent` its Kafka timestamp;
    both only where it came without a capture: how long it takes to be visible is measured by them.
    """

    origin: Origin
    capture: str | None
    unit: int | None = None
    part: int = 1
    parts: int = 1
    looked: int | None = None
    sent: int | None = None
    first: Origin | None = None
    attempt: int = 1


def encode_derived(said: DerivedHeaders) -> Headers:
    """As Kafka headers."""
    return _headers(
        {
            "rederive-kind": "outcome",
            "rederive-capture": said.capture,
            "rederive-unit": said.unit,
            **_origin(said.origin),
            "rederive-part": f"{said.part}/{said.parts}",
            "rederive-looked": said.looked,
            "rederive-sent": said.sent,
            **_first(said.first),
            "rederive-attempt": said.attempt if said.attempt > 1 else None,
        },
        DERIVED_FORMAT,
    )


def decode_derived(headers: Given) -> DerivedHeaders:
    """From Kafka headers."""
    found = _texts(headers, DERIVED_FORMAT)
    stated = _PART.fullmatch(_said(found, "rederive-part"))
    part, parts = (int(stated[1]), int(stated[2])) if stated else (0, 0)
    if not 1 <= part <= parts:
        raise ValueError(f"header rederive-part is {found['rederive-part']}, no part of a whole")
    return DerivedHeaders(
        origin=_read_origin(found),
        capture=found.get("rederive-capture"),
        unit=_number(found, "rederive-unit", _MAX_INT4),
        part=part,
        parts=parts,
        looked=_number(found, "rederive-looked", _MAX_INT8),
        sent=_number(found, "rederive-sent", _MAX_INT8),
        first=_read_first(found),
        attempt=_read_attempt(found),
    )


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a dead letter has in place of a value that doesn't fit: size and SHA-256 of what stands at the origin."""

    size: int
    sha256: str

    @classmethod
    def to(cls, value: bytes) -> "Pointer":
        """The pointer to a value."""
        return cls(len(value), hashlib.sha256(value).hexdigest())


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record is a dead letter: where its raw record stands, the stage that gave it up, the reason.

    `error` is the exception's class, empty where there was none. `attempt` counts from 1; of the second and later ones
    `first` is where the record stood the first time. `capture` is the one that the record counts in, which of what came
    live is its day's. `version` is the derivation version of the formulas, None in letters of earlier versions of the
    program. `pointer` stands for a value that is left out.
    """

    origin: Origin
    stage: str
    reason: str
    error: str = ""
    attempt: int = 1
    capture: str | None = None
    version: int | None = None
    first: Origin | None = None
    pointer: Pointer | None = None

    @property
    def identity(self) -> Origin:
        """The place by which all attempts are one."""
        return self.first or self.origin


def encode_failure(failure: Failure, headers: Headers = ()) -> Headers:
    """The record's own headers, untouched, with the failure behind them; one that it had before gives way."""
    pointer = failure.pointer
    added = {
        **_origin(failure.origin),
        **_first(failure.first),
        "rederive-attempt": failure.attempt,
        "rederive-failed-stage": failure.stage,
        "rederive-failed-error": failure.error or None,
        "rederive-failed-capture": failure.capture,
        "rederive-failed-version": failure.version,
        "rederive-failed-bytes": pointer.size if pointer else None,
        "rederive-failed-digest": pointer.sha256 if pointer else None,
        "rederive-failure": failure.reason,
    }
    own = [(name, value) for name, value in headers if name not in _OF_FAILURES]
    return [*own, *((name, _bytes(value)) for name, value in added.items() if value is not None)]


def decode_failure(headers: Given) -> Failure:
    """From a dead letter's headers; those of versions before say less."""
    found = _texts(headers, FORMAT, DERIVED_FORMAT)
    size, sha256 = _number(found, "rederive-failed-bytes", _MAX_INT8), found.get("rederive-failed-digest")
    return Failure(
        origin=_read_origin(found),
        stage=_said(found, "rederive-failed-stage"),
        reason=_said(found, "rederive-failure"),
        error=found.get("rederive-failed-error", ""),
        attempt=_read_attempt(found),
        capture=found.get("rederive-failed-capture"),
        version=_number(found, "rederive-failed-version", _MAX_INT4),
        first=_read_first(found),
        pointer=None if size is None or sha256 is None else Pointer(size, sha256),
    )


def counted_in(headers: Given) -> tuple[str | None, int | None]:
    """The capture and the unit that a dead letter's own headers name, as far as they can be read."""
    found = {name: _bytes_of(value).decode("utf-8", "replace") for name, value in headers or ()}
    try:
        unit = _number(found, "rederive-unit", _MAX_INT4)
    except ValueError:
        unit = None
    return found.get("rederive-capture"), unit


def encode_again(failure: Failure, headers: Given) -> Headers:
    """A dead record's own headers, for its next attempt: what is said of the failure is gone, its first place is said.

    One that came live names its day's capture, whenever it is sent again.
    """
    pairs = [(name, _bytes_of(value)) for name, value in headers or ()]
    own = [(name, value) for name, value in pairs if name not in _OF_FAILURES]
    named = any(name == "rederive-capture" for name, _ in own)
    added = {
        "rederive-capture": None if named else failure.capture,
        **_first(failure.identity),
        "rederive-attempt": failure.attempt + 1,
    }
    return [*own, *((name, _bytes(value)) for name, value in added.items() if value is not None)]


_ERROR = re.compile(r"([A-Z]\w*): ", re.ASCII)


def error_class(reason: str) -> str:
    """The exception's class that a reason begins with, empty where it begins with none."""
    found = _ERROR.match(reason)
    return found[1] if found else ""


def _headers(values: dict[str, object], written: int = FORMAT) -> Headers:
    said = {"rederive-format": written, **values}
    return [(name, _bytes(value)) for name, value in said.items() if value is not None]


def _bytes_of(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _bytes(value: object) -> bytes:
    # Escapes for what can't be encoded: a reason must get through whatever it quotes.
    return str(value).encode("utf-8", "backslashreplace")


def _texts(headers: Given, *read: int) -> dict[str, str]:
    """Headers as texts; of a repeated name the last. ValueError for a format that isn't among those to read."""
    found = {
        name: value if isinstance(value, str) else (value or b"").decode("utf-8", "replace")
        for name, value in headers or ()
    }
    stated = found.get("rederive-format", str(read[0]))
    if stated not in map(str, read):
        raise ValueError(f"record format {stated} is unknown, this program reads {' and '.join(map(str, read))}")
    return found


def _said(found: dict[str, str], name: str) -> str:
    if name not in found:
        raise ValueError(f"header {name} is missing")
    return found[name]


def _number(found: dict[str, str], name: str, limit: int) -> int | None:
    """A header's number, None when it isn't there."""
    text = found.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) < limit):
        raise ValueError(f"header {name} is {text}, not a number below {limit:,}")
    return int(text)


def _origin(origin: Origin) -> dict[str, object]:
    return {
        "rederive-origin-topic": origin.topic,
        "rederive-origin-partition": origin.partition,
        "rederive-origin-offset": origin.offset,
    }


_FIRST = ("rederive-first-topic", "rederive-first-partition", "rederive-first-offset")

_OF_FAILURES = {
    *_FIRST,
    "rederive-origin-topic",
    "rederive-origin-partition",
    "rederive-origin-offset",
    "rederive-attempt",
    "rederive-failed-stage",
    "rederive-failed-error",
    "rederive-failed-capture",
    "rederive-failed-version",
    "rederive-failed-bytes",
    "rederive-failed-digest",
    "rederive-failure",
}


def _first(origin: Origin | None) -> dict[str, object]:
    return dict(zip(_FIRST, (origin.topic, origin.partition, origin.offset), strict=True)) if origin else {}


def _read_first(found: dict[str, str]) -> Origin | None:
    """Where a record stood the first time, None when this is the first."""
    if not any(name in found for name in _FIRST):
        return None
    topic, partition, offset = _FIRST
    return _place(_said(found, topic), _number(found, partition, _MAX_INT4), _number(found, offset, _MAX_INT8))


def _read_attempt(found: dict[str, str]) -> int:
    return max(_number(found, "rederive-attempt", _MAX_INT4) or 1, 1)


def _read_origin(found: dict[str, str]) -> Origin:
    topic = _said(found, "rederive-origin-topic")
    partition = _number(found, "rederive-origin-partition", _MAX_INT4)
    offset = _number(found, "rederive-origin-offset", _MAX_INT8)
    return _place(topic, partition, offset)


def _place(topic: str, partition: int | None, offset: int | None) -> Origin:
    if partition is None or offset is None:
        raise ValueError("the headers name no partition or no offset of an origin")
    return Origin(topic, partition, offset)
