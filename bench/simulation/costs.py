"""What is put into the simulation: costs a row as they were measured, and a deployment that nobody has measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from rederive.giving_way import LIMIT_MS
from schemas.unit import TARGET_UNIT_ROWS

MEASURED = Path(__file__).parents[1] / "costs.json"
"""What `python -m bench.scale --costs` wrote last."""

_MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one row, as `bench.scale` prints it: processor seconds by part, bytes by place; `source` says of which run.

    `reading`, `merging` and `upkeep` are Postgres's: for runs, for sinks, for itself. `tables` are the bytes of serving
    row, history and baseline with their indexes, `snapshot` those of the stored payload. `batch` is what a merge takes
    however few rows it has, in seconds.
    """

    source: str
    producer: float
    agents: float
    sinks: float
    kafka: float
    reading: float
    merging: float
    upkeep: float
    raw: float
    derived: float
    wal: float
    serving: float
    history: float
    baseline: float
    snapshot: float
    batch: float = 0.003

    @classmethod
    def read(cls, path: Path = MEASURED) -> Self:
        """Of a file that `bench.scale --costs` wrote."""
        found: dict[str, Any] = orjson.loads(path.read_bytes())
        cpu = {part: used * _MICRO for part, used in found["cpu_us"].items()}
        return cls(
            source=found["source"],
            **cpu,
            raw=found["raw_bytes"],
            derived=found["derived_bytes"],
            wal=found["wal_bytes"],
            snapshot=found["snapshot_bytes"],
            **found["table_bytes"],
        )

    @property
    def tables(self) -> float:
        """Bytes that a row's first capture leaves in tables and indexes."""
        return self.serving + self.history + self.baseline

    @property
    def data_disk(self) -> float:
        """Bytes between Postgres and its tables' disk: the payload read, all tables written, vacuum's pass.

        Vacuum reads a page that has a dead row and writes it again, once a replay.
        """
        return self.snapshot + self.tables + 2 * self.serving


@dataclass(frozen=True, slots=True)
class Deployment:
    """Machines, and what runs on them. Rates are bytes/s, times seconds.

    Agents, sinks and the runs' own processes are spread over `machines` of `cores` each; a run is one capture, replayed
    by one process. With `shared_cores` all of it, Kafka and Postgres too, is on one machine of so many.

    `contention` is by how much each merge takes longer for each other that is under way: assumed, not measured.
    """

    partitions: int = 100
    agents: int = 40
    sinks: int = 20
    runs: int = 8
    rows: int = 4_000_000
    machines: int = 10
    cores: int = 8
    shared_cores: int = 0

    postgres_cores: int = 16
    wal_disk: float = 400e6
    data_disk: float = 800e6
    one_disk: bool = False
    fsync: float = 0.001
    synchronous_commit: bool = True
    contention: float = 0.02

    brokers: int = 3
    broker_cores: int = 4
    network: float = 1.25e9
    broker_disk: float = 400e6
    replicas: int = 1

    unit_rows: int = TARGET_UNIT_ROWS
    batch_rows: int = 5_000
    session: float = 6.0
    heartbeat: float = 0.5
    hand_over: float = 1.0
    machine_dies: float | None = None

    live_rate: float = 0.0
    live_limit_ms: float = LIMIT_MS
    gives_way: bool = True
    live_seconds: float = 0.0
    seed: int = 1
