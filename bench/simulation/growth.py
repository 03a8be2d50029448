"""What a deployment's tables come to, and how long their upkeep takes."""

from dataclasses import dataclass

from bench.simulation.costs import Costs

PAGE_BYTES = 8192
DEAD_SHARE = 0.2
"""autovacuum_vacuum_scale_factor as Postgres is shipped: a table is vacuumed when this share of its rows is dead."""

_VACUUM_COST_MISS, _VACUUM_COST_DIRTY = 2, 20
_VACUUM_COST_LIMIT, _VACUUM_COST_DELAY = 200, 0.002


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes after so many captures of all rows, and seconds of upkeep after one.

    `serving` has room for a fifth of dead rows, as many as there are before vacuum takes them.
    """

    rows: int
    captures: int
    serving: float
    history: float
    baseline: float
    wal: float
    vacuum: float
    rebuild: float

    @property
    def total(self) -> float:
        """Bytes in tables and indexes."""
        return self.serving + self.history + self.baseline


def vacuum_rate() -> float:
    """Bytes/s that autovacuum passes at most as Postgres is shipped, where each page is read and made dirty."""
    pages = _VACUUM_COST_LIMIT / (_VACUUM_COST_MISS + _VACUUM_COST_DIRTY)
    return pages / _VACUUM_COST_DELAY * PAGE_BYTES


def grown(costs: Costs, rows: int, captures: int, disk: float) -> Growth:
    """After `captures` of all `rows`; `disk` bytes/s is what building an index again reads and writes."""
    live = rows * costs.serving
    return Growth(
        rows,
        captures,
        serving=live * (1 + DEAD_SHARE),
        history=rows * captures * costs.history,
        baseline=rows * costs.baseline,
        wal=rows * captures * costs.wal,
        vacuum=live * (1 + DEAD_SHARE) / vacuum_rate(),
        rebuild=2 * rows * captures * costs.history / disk,
    )
