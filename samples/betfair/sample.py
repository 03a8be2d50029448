"""The real sample: 2,392 match-odds snapshots of 105 markets on 2026-02-06 and 07, back ladders of three levels."""

import gzip
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import orjson


def metadata() -> Iterator[dict[str, Any]]:
    """The market_event_metadata rows, read as they are asked for."""
    return _rows("market_event_metadata.jsonl.gz")


def snapshots() -> Iterator[dict[str, Any]]:
    """The market_book_snapshots rows in order of their ids, read as they are asked for."""
    return _rows("market_book_snapshots.jsonl.gz")


def snapshot_line(snapshot: Mapping[str, Any], market: Mapping[str, Any] | None) -> bytes:
    """A snapshot row and its market's metadata row as one input line of `rederive compute betfair`, without newline."""
    ids = None
    if market is not None:
        ids = {role: market[f"{role}_selection_id"] for role in ("home", "away", "draw")}
    return orjson.dumps(
        {
            "snapshot_id": snapshot["snapshot_id"],
            "snapshot_at": snapshot["snapshot_at"],
            "market_id": snapshot["market_id"],
            "raw_payload": snapshot["raw_payload"],
            "selection_ids": ids,
        }
    )


def _rows(name: str) -> Iterator[dict[str, Any]]:
    with (files("samples.betfair") / name).open("rb") as packed, gzip.open(packed) as lines:
        for line in lines:
            yield orjson.loads(line)
