"""The wire: every header and body of a record, written and read here and nowhere else (docs/records.md).

| record | headers | value |
|---|---|---|
| raw | `RawHeaders` | the domain's own |
| derived | `DerivedHeaders` | an Outcome, whole or a part of it |
| dead letter | the record's own and `Failure` | the record's own bytes |

Decoding gives back what was encoded; anything else is refused by ValueError with a reason.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.unit import Origin

FORMAT = 1
MAX_RECORD_BYTES = 16 * 1024 * 1024
"""Largest record end to end; a larger payload is refused by name before it is sent."""

ENVELOPE_BYTES = 16 * 1024
"""What a record carries besides its key and value: headers with every column name, and the batch around it."""

CARGO_BYTES = MAX_RECORD_BYTES - ENVELOPE_BYTES
"""What key and value may have together."""

MAX_BATCH_BYTES = MAX_RECORD_BYTES + 1024 * 1024
"""What topics, brokers and fetches must take: a batch's own bytes come on top of its records."""

PART_BYTES = 1024 * 1024
"""A larger outcome goes in parts, merged with the last."""

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


@dataclass(frozen=True, slots=True)
class RawHeaders:
    """What a raw record says of itself unopened.

    `capture` and `unit` (the unit's number in the capture's plan) are None on records of an outside ingester. `columns`
    are the value columns to derive; empty means all. `rows` is how many source rows were planned, None when nobody
    planned. `key_range` and `observed` are for people.
    """

    kind: str
    capture: str | None = None
    unit: int | None = None
    columns: tuple[str, ...] = ()
    rows: int | None = None
    key_range: str = ""
    observed: str = ""


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
        }
    )


def decode_raw(headers: Given, default_kind: str) -> RawHeaders:
    """From Kafka headers; unknown ones are passed over, a record without any is of the default kind."""
    found = _texts(headers)
    return RawHeaders(
        kind=found.get("rederive-kind", default_kind),
        capture=found.get("rederive-capture"),
        unit=_number(found, "rederive-unit", _MAX_INT4),
        columns=tuple(filter(None, found.get("rederive-columns", "").split(","))),
        rows=_number(found, "rederive-rows", MAX_PLANNED_ROWS),
        key_range=found.get("rederive-range", ""),
        observed=found.get("rederive-observed", ""),
    )


@dataclass(frozen=True, slots=True)
class DerivedHeaders:
    """What a derived record answers: the raw record at `origin`, with that one's capture and unit.

    It is part `part` of `parts`; the first has number 1.
    """

    origin: Origin
    capture: str | None
    unit: int | None = None
    part: int = 1
    parts: int = 1


def encode_derived(said: DerivedHeaders) -> Headers:
    """As Kafka headers."""
    return _headers(
        {
            "rederive-kind": "outcome",
            "rederive-capture": said.capture,
            "rederive-unit": said.unit,
            **_origin(said.origin),
            "rederive-part": f"{said.part}/{said.parts}",
        }
    )


def decode_derived(headers: Given) -> DerivedHeaders:
    """From Kafka headers."""
    found = _texts(headers)
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
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record is a dead letter: where its raw record stands, the stage that gave it up, the reason."""

    origin: Origin
    stage: str
    reason: str


def encode_failure(failure: Failure, headers: Headers = ()) -> Headers:
    """The record's own headers, untouched, with the failure behind them; one that it had before gives way."""
    added = {
        **_origin(failure.origin),
        "rederive-failed-stage": failure.stage,
        "rederive-failure": failure.reason,
    }
    own = [(name, value) for name, value in headers if name not in added]
    return [*own, *((name, _bytes(value)) for name, value in added.items())]


def decode_failure(headers: Given) -> Failure:
    """From a dead letter's headers."""
    found = _texts(headers)
    return Failure(_read_origin(found), _said(found, "rederive-failed-stage"), _said(found, "rederive-failure"))


def encode_outcome(outcome: Outcome) -> bytes:
    """As the JSON value of a derived record. TypeError when it holds what JSON has no word for."""
    return orjson.dumps(
        {
            "read": outcome.read,
            "tables": [_block(block) for block in outcome.tables],
            "skips": [(p.key, p.reason, p.text) for p in outcome.skips],
            "errors": [(p.key, p.reason, p.text) for p in outcome.errors],
            "dead": outcome.dead,
        }
    )


def decode_outcome(value: bytes) -> Outcome:
    """From a derived record's value. Of rows just the frame is looked at: whoever writes them looks closer."""
    try:
        body = orjson.loads(value)
        return Outcome(
            read=_is(int, body["read"]),
            tables=[
                TableRows(
                    _is(str, t["table"]),
                    tuple(_is(str, name) for name in t["columns"]),
                    _is(list, t["rows"]),
                    _is(int, t["source"]),
                    _is(dict, t.get("shared", {})),
                )
                for t in body["tables"]
            ],
            skips=[RowProblem(tuple(_is(list, k)), _is(str, r), _is(str, t)) for k, r, t in body["skips"]],
            errors=[RowProblem(tuple(_is(list, k)), _is(str, r), _is(str, t)) for k, r, t in body["errors"]],
            dead=None if body["dead"] is None else _is(str, body["dead"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the value is no outcome: {type(error).__name__}: {error}") from None


def parts(outcome: Outcome) -> list[bytes]:
    """The encoded outcome, in parts when it is large; all but rows stand in the last part."""
    whole = encode_outcome(outcome)
    if len(whole) <= PART_BYTES:
        return [whole]
    pieces: list[TableRows] = []
    for block in outcome.tables:
        size = max(1, len(block.rows) * PART_BYTES // len(whole))
        pieces += [replace(block, rows=block.rows[at : at + size]) for at in range(0, len(block.rows), size)]
    last = replace(outcome, tables=[])
    return [*(encode_outcome(Outcome(tables=[piece])) for piece in pieces), encode_outcome(last)]


def joined(pieces: Iterable[bytes]) -> Outcome:
    """The outcome of which these are all parts, in order."""
    decoded = [decode_outcome(piece) for piece in pieces]
    return replace(decoded[-1], tables=[block for piece in decoded for block in piece.tables])


def _block(block: TableRows) -> dict[str, Any]:
    written = {"table": block.table, "source": block.source, "columns": block.columns, "rows": block.rows}
    return {**written, "shared": block.shared} if block.shared else written


def _is(kind: type, value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if type(value) is not kind:
        raise TypeError(f"{value!r:.60} is no {kind.__name__}")
    return value


def _headers(values: dict[str, object]) -> Headers:
    said = {"rederive-format": FORMAT, **values}
    return [(name, _bytes(value)) for name, value in said.items() if value is not None]


def _bytes(value: object) -> bytes:
    # Escapes for what can't be encoded: a reason must get through whatever it quotes.
    return str(value).encode("utf-8", "backslashreplace")


def _texts(headers: Given) -> dict[str, str]:
    """Headers as texts; of a repeated name the last. ValueError for a format that this program doesn't read."""
    found = {
        name: value if isinstance(value, str) else (value or b"").decode("utf-8", "replace")
        for name, value in headers or ()
    }
    stated = found.get("rederive-format", str(FORMAT))
    if stated != str(FORMAT):
        raise ValueError(f"record format {stated} is unknown, this program reads {FORMAT}")
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


def _read_origin(found: dict[str, str]) -> Origin:
    topic = _said(found, "rederive-origin-topic")
    partition = _number(found, "rederive-origin-partition", _MAX_INT4)
    offset = _number(found, "rederive-origin-offset", _MAX_INT8)
    if partition is None or offset is None:
        raise ValueError("the headers name no partition or no offset of an origin")
    return Origin(topic, partition, offset)
