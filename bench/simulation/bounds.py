"""What each part could carry at most if all others cost nothing: the least says what gives first."""

from bench.simulation.costs import Costs, Deployment


def bounds(of: Deployment, costs: Costs) -> dict[str, float]:
    """Rows/s by part, without contention, latencies and waiting; what is played never has more.

    Members whose partitions are one more than others' are the last to end: 100 partitions of 40 agents are as quick as
    those of 34.
    """
    found = {
        "runs": of.runs / (costs.producer + costs.reading + costs.snapshot / _data(of)),
        "agents": _even(of.partitions, of.agents) / costs.agents,
        "sinks": _even(of.partitions, of.sinks)
        / max(costs.sinks, costs.merging + costs.wal / of.wal_disk + costs.batch / (2 * of.batch_rows + of.unit_rows)),
    }
    network = of.brokers * of.network / ((costs.raw + costs.derived) * of.replicas)
    disk = of.brokers * of.broker_disk / ((costs.raw + costs.derived) * of.replicas)
    on_disks = {
        "network": network,
        "broker disk": disk,
        **(
            {"wal disk": of.wal_disk / (costs.wal + costs.data_disk)}
            if of.one_disk
            else {"wal disk": of.wal_disk / costs.wal, "data disk": of.data_disk / costs.data_disk}
        ),
    }
    ours = costs.producer + costs.agents + costs.sinks
    theirs = costs.reading + costs.merging + costs.upkeep
    if of.shared_cores:
        cores = {"the machine": of.shared_cores / (ours + costs.kafka + theirs)}
    else:
        cores = {
            "machines": of.machines * of.cores / ours,
            "broker cores": of.brokers * of.broker_cores / costs.kafka,
            "postgres": of.postgres_cores / theirs,
        }
    return {**found, **cores, **on_disks}


def _data(of: Deployment) -> float:
    return of.wal_disk if of.one_disk else of.data_disk


def _even(partitions: int, members: int) -> float:
    """As many members as if all had as many partitions as the one that has most."""
    return partitions / -(-partitions // members)
