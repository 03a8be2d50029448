"""Where work is done: the machines of a deployment, its brokers, its database."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.simulation.clock import Clock, Cores, Pipe, Then
from bench.simulation.costs import Costs, Deployment

WRITE_BACK_SECONDS = 5.0
"""How far the tables' disk may be behind: pages that are changed wait in memory, but not without limit."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker: its cores, its link in both directions, its disk."""

    cores: Cores
    inward: Pipe
    outward: Pipe
    disk: Pipe
    costs: Costs
    replicas: int

    def take(self, rows: int, size: float, then: Then) -> None:
        """Receive a record of so many rows and bytes, keep it, have its reader receive it."""
        kept = rows * size
        # Half of its work is for the raw record, half for the outcome. Others' copies are here what its own are there.
        self.cores.run(
            rows * self.costs.kafka / 2,
            lambda: self.inward.send(
                kept * self.replicas,
                lambda: self.disk.send(
                    kept * self.replicas,
                    lambda: self.outward.send(kept * self.replicas, then),
                    ahead=WRITE_BACK_SECONDS,
                ),
            ),
        )


class Database:
    """A Postgres: cores, the disk of its log, the disk of its tables, which may be one."""

    def __init__(self, clock: Clock, cores: Cores, costs: Costs, of: Deployment) -> None:
        self.cores = cores
        self.wal = Pipe(clock, of.wal_disk)
        self.data = self.wal if of.one_disk else Pipe(clock, of.data_disk)
        self.merges = 0
        self._clock, self._costs = clock, costs
        self._contention = of.contention
        self._commit = of.fsync if of.synchronous_commit else 0.0

    def read(self, rows: int, then: Then) -> None:
        """Read payloads, as a run does."""
        self.data.send(rows * self._costs.snapshot, lambda: self.cores.run(rows * self._costs.reading, then))

    def merge(self, rows: int, then: Then) -> None:
        """Merge a batch and commit it."""
        self.merges += 1
        slower = 1.0 + self._contention * (self.merges - 1)
        seconds = self._costs.batch + rows * self._costs.merging * slower

        def written() -> None:
            self.merges -= 1
            self.cores.run(rows * self._costs.upkeep, _nothing)
            then()

        def committed() -> None:
            # Pages are written later, by a checkpoint: only a disk that is far behind keeps a merge waiting.
            self.data.send(rows * (self._costs.data_disk - self._costs.snapshot), written, ahead=WRITE_BACK_SECONDS)

        self.cores.run(
            seconds, lambda: self.wal.send(rows * self._costs.wal, lambda: self._clock.after(self._commit, committed))
        )


class Places:
    """All of them. With `shared_cores` they are one machine's."""

    def __init__(self, clock: Clock, costs: Costs, of: Deployment) -> None:
        shared = Cores(clock, of.shared_cores) if of.shared_cores else None
        self.machines = [shared or Cores(clock, of.cores) for _ in range(of.machines)]
        self.brokers = [
            Broker(
                shared or Cores(clock, of.broker_cores),
                Pipe(clock, of.network),
                Pipe(clock, of.network),
                Pipe(clock, of.broker_disk),
                costs,
                of.replicas,
            )
            for _ in range(of.brokers)
        ]
        self.database = Database(clock, shared or Cores(clock, of.postgres_cores), costs, of)

    def used(self, seconds: float) -> Mapping[str, float]:
        """Which share of each kind of place was used."""
        kinds: dict[str, Iterable[Cores | Pipe]] = {
            "machines": self.machines,
            "broker cores": [one.cores for one in self.brokers],
            "network": [pipe for one in self.brokers for pipe in (one.inward, one.outward)],
            "broker disk": [one.disk for one in self.brokers],
            "postgres": [self.database.cores],
            "wal disk": [self.database.wal],
            "data disk": [self.database.data],
        }
        return {
            kind: sum(one.busy for one in places) / max(1e-9, sum(one.capacity(seconds) for one in places))
            for kind, places in (
                (kind, list({id(one): one for one in found}.values())) for kind, found in kinds.items()
            )
        }


def _nothing() -> None:
    return
