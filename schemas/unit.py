"""The unit: one raw record, what its headers say and how they are written (docs/records.md).

A raw record's value is the domain's own (betfair: JSON Lines, each line an input line of `rederive compute betfair`).
Everything that must be known without opening it is in the headers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FORMAT = 1
MAX_RECORD_BYTES = 16 * 1024 * 1024
"""Largest record end to end; a larger payload is refused by name before it is sent."""

ENVELOPE_BYTES = 16 * 1024
"""What a record carries besides its key and value: headers with every column name, and the batch around it."""

MAX_PLANNED_ROWS = 1_000_000
TARGET_UNIT_BYTES = 256 * 1024
TARGET_UNIT_ROWS = 128

KafkaHeaders = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a raw record stands: its identity."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


@dataclass(frozen=True, slots=True)
class UnitHeaders:
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

    def encode(self) -> list[tuple[str, bytes]]:
        """As Kafka headers."""
        pairs = [("rederive-format", str(FORMAT)), ("rederive-kind", self.kind)]
        if self.capture is not None:
            pairs.append(("rederive-capture", self.capture))
        if self.unit is not None:
            pairs.append(("rederive-unit", str(self.unit)))
        if self.columns:
            pairs.append(("rederive-columns", ",".join(self.columns)))
        if self.rows is not None:
            pairs.append(("rederive-rows", str(self.rows)))
        if self.key_range:
            pairs.append(("rederive-range", self.key_range))
        if self.observed:
            pairs.append(("rederive-observed", self.observed))
        return [(name, value.encode()) for name, value in pairs]

    @classmethod
    def decode(cls, headers: Iterable[tuple[str, bytes]] | None, default_kind: str) -> "UnitHeaders":
        """From Kafka headers; unknown ones are passed over.

        ValueError when the format is newer than this program or the unit isn't a number.
        """
        found = texts(headers)
        check_format(found)
        columns = found.get("rederive-columns", "")
        return cls(
            kind=found.get("rederive-kind", default_kind),
            capture=found.get("rederive-capture"),
            unit=number(found, "rederive-unit", 2**31),
            columns=tuple(columns.split(",")) if columns else (),
            rows=number(found, "rederive-rows", MAX_PLANNED_ROWS),
            key_range=found.get("rederive-range", ""),
            observed=found.get("rederive-observed", ""),
        )


@dataclass(frozen=True, slots=True)
class Unit:
    """A raw record to be sent; `partition` None: any."""

    headers: UnitHeaders
    key: bytes | None
    value: bytes
    partition: int | None = None


def texts(headers: Iterable[tuple[str, bytes]] | None) -> dict[str, str]:
    """Kafka headers as a dict of texts; of a repeated name the last."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in headers or ()}


def number(found: dict[str, str], name: str, limit: int) -> int | None:
    """A header's number, None when it isn't there; ValueError unless it is in [0, limit)."""
    text = found.get(name)
    if text is None:
        return None
    if not 0 <= int(text) < limit:
        raise ValueError(f"header {name} is {text}, not a number below {limit:,}")
    return int(text)


def check_format(found: dict[str, str]) -> None:
    """ValueError when the record says a format that this program doesn't read."""
    stated = found.get("rederive-format", str(FORMAT))
    if stated != str(FORMAT):
        raise ValueError(f"record format {stated} is unknown, this program reads {FORMAT}")
