"""Derived rows of a unit's snapshots as columns: read and computed together, and handed on as Arrow."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from processors.betfair.general import Values
from processors.betfair.hundredths import Array
from processors.betfair.ladders import LadderCells
from processors.betfair.metrics import metrics
from processors.betfair.snapshot import Identity, identity
from schemas import arrow
from schemas.betfair.tables import CALCULATION_VERSION, DEPTH_LIMIT, METRICS, METRICS_TABLE, ROLES

_TOGETHER = 1024
"""Rows that are computed at once: a usual unit and more, and few enough for a processor's cache."""

_FIELDS = arrow.fields(METRICS_TABLE)
_KEYS = pa.schema([_FIELDS[name] for name in ("snapshot_id", "snapshot_at", "market_id")])
_PLACES = {name: place for place, name in enumerate(METRICS)}
_RISKS = frozenset(f"{role}_risk" for role in ROLES)


@dataclass(frozen=True, slots=True)
class Rows:
    """A place for each snapshot of a unit, of which `known` says whether its row is there.

    `ids`, `times` (microseconds since 1970) and `markets` have n items, `known` the shape (n,). `figures` has the shape
    (52, n), in the order of schemas.betfair.METRICS, NaN for NULL. Where nothing is known stands anything.
    """

    ids: "array[int]"
    times: "array[int]"
    markets: list[str]
    figures: Array
    known: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> "Rows":
        """The rows of snapshots of the usual shape whose figures are sure; what the others are isn't known."""
        count, nothing = len(lines), bytes(8 * len(lines))
        figures, known = np.empty((len(METRICS), count)), np.empty(count, bool)
        rows = cls(array("q", nothing), array("q", nothing), [""] * count, figures, known)
        for start in range(0, count, _TOGETHER):
            rows._compute(start, lines[start : start + _TOGETHER])
        return rows

    def _compute(self, start: int, lines: Sequence[bytes]) -> None:
        read = bytearray(len(lines))
        cells = LadderCells(len(lines))
        for place, line in enumerate(lines):
            try:
                row = orjson.loads(line)
                cells.fill(place, row["raw_payload"], row["selection_ids"])
                self._identify(start + place, identity(row))
                read[place] = True
            except (ValueError, KeyError, TypeError):
                # What is wrong with the row, if anything is, the general reading says.
                pass
        figures, sure = metrics(cells.ladders())
        self.figures[:, start : start + len(lines)] = figures
        self.known[start : start + len(lines)] = np.frombuffer(read, bool) & sure

    def put(self, place: int, said: Identity, values: Values) -> None:
        """The row of a snapshot that wasn't known."""
        self._identify(place, said)
        self.figures[:, place] = [np.nan if value is None else value for value in values]
        self.known[place] = True

    def _identify(self, place: int, said: Identity) -> None:
        self.ids[place], self.times[place], self.markets[place] = said

    def batch(self, chosen: Sequence[str]) -> pa.RecordBatch:
        """The known rows with the value columns `chosen`, in the order of their places."""
        known = self.known
        ids, times = np.frombuffer(self.ids, np.int64), np.frombuffer(self.times, np.int64)
        markets, figures = self.markets, self.figures
        if not known.all():
            ids, times, markets, figures = ids[known], times[known], list(compress(markets, known)), figures[:, known]
        version = CALCULATION_VERSION if _RISKS.intersection(chosen) else None
        keys = pa.RecordBatch.from_arrays(
            [pa.array(ids), pa.array(times).view(arrow.TIMESTAMP), pa.array(markets, pa.string())], schema=_KEYS
        )
        said = arrow.with_shared(
            METRICS_TABLE, keys, len(ids), {"depth_limit": DEPTH_LIMIT, "calculation_version": version}
        )
        values = [pa.array(figures[_PLACES[name]], from_pandas=True) for name in chosen]
        schema = pa.schema([*said.schema, *(_FIELDS[name] for name in chosen)])
        return pa.RecordBatch.from_arrays([*said.columns, *values], schema=schema)
