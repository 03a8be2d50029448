"""Which rows of a file, or of what is stored, a value was computed from (finra spec, sections 1 and 6). Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from processors.finra.normalize import cleaned, normalize
from processors.finra.parse import RAW_SCHEMA, Parsed, parse
from processors.finra.process import batch_of, frame_of
from processors.rebuilding import rebuilt
from schemas.finra import tables
from schemas.finra.file import read_header
from schemas.finra.partition import partition_key
from schemas.finra.units import (
    Batch,
    FileUnit,
    FinraUnit,
    RawUnit,
    StoredRow,
    TierSplitUnit,
    decode,
)
from schemas.payload import read_json
from schemas.provenance import Input, Traced, Wanted

_OF_UNIT = "what the unit is"
_CORE = (tables.QUALITY.name, tables.MANIFEST.name)
_OF_SYMBOL = {
    tables.SYMBOL_SUMMARY.name,
    tables.CONCENTRATION.name,
    tables.TIER_VOLUME_SHARE.name,
    tables.ROLLING.name,
    tables.SNAPSHOT.name,
}
_OF_VENUE = (tables.VENUE_VOLUME.name, tables.SYMBOL_VENUE_VOLUME.name)
_WHOLE_TIER = ("market_share_pct", "rank")
_WHOLE_SYMBOL = ("total_symbol_volume", "venue_share")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that a unit reads: where it stands, what it is of, and why it was rejected, if it was."""

    line: int
    path: str
    value: Any
    symbol: str
    mpid: str = ""
    number: int | None = None
    rejected: str = ""


def trace(value: bytes, wanted: Wanted) -> Traced | None:
    """The inputs of one column of a row; None when the unit's stage doesn't give such a row.

    A figure over a whole tier is of all its rows. What the unit says of itself is always among the inputs.
    """
    unit, stored = decode(value)
    if not _gives(unit, wanted):
        return None
    head = read_json(value.partition(b"\n")[0])
    inputs = [Input(name, said, note=_OF_UNIT) for name, said in head.items() if name != "content"]
    if isinstance(unit, FileUnit) and wanted.table in _CORE:
        inputs.append(Input("content", unit.content, note="the whole file"))
        return Traced(tuple(inputs), value)
    rows = _of_file(unit, inputs) if isinstance(unit, FileUnit) else _of_stored(unit, stored)
    concerns, counts = _concerned(wanted, rows)
    inputs += [
        Input(one.path, one.value, not one.rejected or counts(one), one.rejected, one.line)
        for one in rows
        if concerns(one)
    ]
    return Traced(tuple(inputs), _record(inputs))


def _record(inputs: Sequence[Input]) -> bytes:
    head, *rows = rebuilt(inputs).values()
    if "content" in head:
        # Lines keep their numbers: blank ones are passed over.
        head["content"] = "\n".join(line or "" for line in head["content"])
    return b"\n".join(map(orjson.dumps, (head, *rows)))


def _gives(unit: FinraUnit, wanted: Wanted) -> bool:
    """Whether the unit writes rows of the wanted one's stage, partition and capture."""
    if isinstance(unit, FileUnit):
        batches = [batch_of(unit)]
    else:
        batches = list(unit.batches().values()) if isinstance(unit, TierSplitUnit) else [unit.batch]
    if wanted.table == tables.MANIFEST.name:
        return any(wanted.key["partition_key"] == partition_key(one.week_ending, one.tier) for one in batches)
    if wanted.table not in _CORE and wanted.table not in (*_STAGES[unit.kind], tables.REJECTS.name):
        return False
    return any(_is_of(one, wanted) for one in batches)


_STAGES = tables.FINRA.stages


def _is_of(batch: Batch, wanted: Wanted) -> bool:
    of_tier = wanted.key.get("tier", batch.tier) == batch.tier
    return of_tier and bool(wanted.key["capture_id"] == batch.capture_id)


def _of_file(unit: FileUnit, inputs: list[Input]) -> list[_Row]:
    """The rows of a file; its lines up to the header are inputs in any case."""
    lines = unit.content.split("\n")
    header = read_header(unit.content).line_number
    inputs += [Input(f"content[{at}]", line, note="the header") for at, line in enumerate(lines[:header])]
    parsed = parse(unit.content)
    found = [_Row(1, _line(each.line_number), lines[each.line_number - 1], each.symbol, each.mpid,
                  each.line_number, f"{tables.PARSE_ERROR}: {each.detail}") for each in parsed.failures]  # fmt: skip
    found += _tested(parsed, reject_zero_volume=unit.reject_zero_volume, place=lambda n: (1, _line(n), lines[n - 1]))
    return sorted(found, key=lambda one: one.number or 0)


def _line(number: int) -> str:
    return f"content[{number - 1}]"


def _tested(parsed: Parsed, *, reject_zero_volume: bool, place: Callable[[int], tuple[int, str, Any]]) -> list[_Row]:
    """Raw rows by their line numbers, those rejected with the reason."""
    rejected = dict(
        normalize(parsed.rows, reject_zero_volume=reject_zero_volume)
        .rejected.select("line_number", "reason_detail")
        .iter_rows()
    )
    return [
        _Row(*place(number), symbol, mpid, number, rejected.get(number, ""))
        for number, symbol, mpid in cleaned(parsed.rows).select("line_number", "clean", "mpid").iter_rows()
    ]


def _of_stored(unit: FinraUnit, stored: Sequence[StoredRow]) -> list[_Row]:
    places = {name: at for at, name in enumerate(unit.ROWS)}
    if isinstance(unit, RawUnit):
        at = {row[places["line_number"]]: n for n, row in enumerate(stored, start=2)}
        raw = frame_of(stored, RAW_SCHEMA, unit.ROWS)
        return _tested(
            Parsed(raw, []),
            reject_zero_volume=unit.reject_zero_volume,
            place=lambda number: (at[number], "", stored[at[number] - 2]),
        )
    mpid = places.get("mpid")
    return [
        _Row(n, "", row, row[places["symbol"]], "" if mpid is None else row[mpid])
        for n, row in enumerate(stored, start=2)
    ]


_Test = Callable[[_Row], bool]


def _concerned(wanted: Wanted, rows: Sequence[_Row]) -> tuple[_Test, _Test]:
    """Which rows the value is made of, rejected ones too, and of which rejected ones all the same."""
    key = wanted.key
    if wanted.table in _CORE:
        return lambda _: True, lambda _: True
    if wanted.table == tables.RAW.name:
        return (lambda one: one.number == key["line_number"]), lambda _: True
    if wanted.table == tables.REJECTS.name:
        (own,) = (one for one in rows if one.number == key["line_number"])
        # Of rows of one symbol and venue another one was kept.
        return (lambda one: one is own or (one.symbol, one.mpid) == (own.symbol, own.mpid)), lambda one: one is own
    if wanted.table == tables.VENUE_SHARE.name:
        whole = wanted.column in _WHOLE_TIER
        return (lambda one: whole or one.mpid == key["mpid"]), lambda _: False
    if wanted.table in _OF_SYMBOL:
        return (lambda one: one.symbol == key["symbol"]), lambda _: False
    whole = wanted.column in _WHOLE_SYMBOL and wanted.table not in _OF_VENUE
    # What is said once of all rows of a capture has no symbol in its key.
    symbol, mpid = key.get("symbol"), key.get("mpid")
    return (lambda one: symbol in (None, one.symbol) and (whole or mpid in (None, one.mpid))), lambda _: False
