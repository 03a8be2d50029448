"""Play a deployment: runs send, agents compute, sinks merge, live beside them, a machine dies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from bench.simulation.clock import Clock, Cores
from bench.simulation.costs import Costs, Deployment
from bench.simulation.members import Agent, Group, Item, Member, Sink
from bench.simulation.places import Broker, Places
from rederive.giving_way import Window

LIVE_POLL_SECONDS = 0.025
_LOOK_SECONDS, _OF_LAST_SECONDS = 2.0, 10.0
_SAMPLE_SECONDS = 1.0
_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Sample:
    """At a moment: rows that have been sent, that wait for agents, that wait for sinks, that are applied."""

    at: float
    sent: int
    raw: int
    derived: int
    applied: int


@dataclass(slots=True)
class Played:
    """What came of it. `computed` and `applied` say when which partition had how many rows; `live` latencies in s."""

    seconds: float = 0.0
    rows: int = 0
    sent: int = 0
    used: Mapping[str, float] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    computed: list[tuple[float, int, int]] = field(default_factory=list)
    applied: list[tuple[float, int, int]] = field(default_factory=list)
    live: list[tuple[float, float]] = field(default_factory=list)
    twice: int = 0

    @property
    def rate(self) -> float:
        """Replayed rows/s, from the first sent to the last applied."""
        return self.rows / self.seconds if self.seconds else 0.0

    def live_ms(self, share: float) -> float:
        """The latency below which a share of what came live stays, in ms."""
        values = sorted(latency for _, latency in self.live)
        return 1e3 * values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


class Run:
    """A run's process: reads a unit, sends it, never more on their way than its window has."""

    def __init__(self, world: "World", number: int, rows: int, cores: Cores) -> None:
        self.number, self.left, self.window = number, rows, Window(limit_ms=world.of.live_limit_ms)
        self.on_the_way = 0
        self.worked = 0.0
        self._world, self._cores = world, cores
        self._units, self._since = 0, 0.0
        self._reads = False

    def go_on(self) -> None:
        """Read the next unit, if there is one and room for it."""
        if self._reads or not self.left or self.on_the_way >= self.window.units:
            return
        world = self._world
        self._reads, self._since = True, world.clock.now
        rows = min(self.left, world.of.unit_rows)
        world.places.database.read(rows, lambda: self._cores.run(rows * world.costs.producer, lambda: self._send(rows)))

    def _send(self, rows: int) -> None:
        world = self._world
        self.worked += world.clock.now - self._since
        self._reads = False
        self.left -= rows
        self.on_the_way += 1
        # Runs begin at different partitions, as they begin at different times.
        partition = (self._units + self.number * 7) % world.of.partitions
        self._units += 1
        item = Item(self.number, partition, rows, world.clock.now)
        world.played.sent += rows
        world.broker(partition).take(rows, world.costs.raw, lambda: world.agents.arrive(item))
        self.go_on()


class World:
    """A deployment at work. One seed, one course of events."""

    def __init__(self, of: Deployment, costs: Costs) -> None:
        self.of, self.costs = of, costs
        self.clock, self.played = Clock(), Played()
        self.places = Places(self.clock, costs, of)
        self._random = Random(of.seed)
        partitions = of.partitions
        self.agents = Group(self.clock, self._agents(of.agents, 0), of, partitions)
        self.sinks = Group(self.clock, self._sinks(of.sinks, of.agents), of, partitions)
        self.live_agents = Group(self.clock, self._agents(1, of.machines - 1), of, partitions)
        self.live_sinks = Group(self.clock, self._sinks(1, of.machines - 1), of, partitions)
        share, more = divmod(of.rows, max(1, of.runs))
        self.runs = [
            Run(self, n, share + (n < more), self.places.machines[-1 - n % of.machines]) for n in range(of.runs)
        ]
        self._live_owed, self._live_sent, self._moved = 0.0, 0, 0.0

    def broker(self, partition: int) -> Broker:
        """Who keeps a partition of both topics."""
        return self.places.brokers[partition % self.of.brokers]

    def play(self) -> Played:
        """Until all is applied, and `live_seconds` are over."""
        for run in self.runs:
            self.clock.at(0.0, run.go_on)
        self._sample()
        if self.of.live_rate:
            self._live()
            self._look()
        if (dies := self.of.machine_dies) is not None:
            self.clock.at(dies, self._die)
        self.clock.run(self._goes_on)
        played = self.played
        played.seconds = self.clock.now
        played.used = {**self._processes(), **self.places.used(played.seconds)}
        return played

    def _goes_on(self) -> bool:
        if self.played.rows >= self.of.rows:
            return self.clock.now < self.of.live_seconds
        return self.clock.now < self._moved + _PATIENCE_SECONDS

    def _agents(self, count: int, first: int) -> list[Member]:
        machines = self.places.machines
        return [
            Agent(self.clock, machines[n % len(machines)], n % len(machines), self.costs, self.broker, self._computed)
            for n in range(first, first + count)
        ]

    def _sinks(self, count: int, first: int) -> list[Member]:
        machines, database = self.places.machines, self.places.database
        return [
            Sink(
                self.clock, machines[n % len(machines)], n % len(machines), self.costs, self.of, database, self._applied
            )
            for n in range(first, first + count)
        ]

    def _processes(self) -> dict[str, float]:
        def share(worked: Sequence[float]) -> float:
            return sum(worked) / max(1e-9, len(worked) * self.played.seconds)

        return {
            "runs": share([run.worked for run in self.runs]),
            "agents": share([member.worked for member in self.agents.members]),
            "sinks": share([member.worked for member in self.sinks.members]),
        }

    def _computed(self, item: Item) -> None:
        self.played.computed.append((self.clock.now, item.partition, item.rows))
        (self.live_sinks if item.run is None else self.sinks).arrive(item)

    def _applied(self, items: Sequence[Item]) -> None:
        now = self.clock.now
        for item in items:
            self.played.twice += item.applied
            item.applied = True
            if item.run is None:
                self.played.live.append((now, now - item.since))
                continue
            self._moved = now
            self.played.rows += item.rows
            self.played.applied.append((now, item.partition, item.rows))
            run = self.runs[item.run]
            run.on_the_way -= 1
            self.clock.at(now, run.go_on)

    def _die(self) -> None:
        for group in (self.agents, self.sinks):
            group.die(0, self._random.uniform(0.0, self.of.heartbeat))

    def _live(self) -> None:
        """What ingestion has written since the last poll, as one unit; it waited for the poll, too."""
        self._live_owed += self.of.live_rate * LIVE_POLL_SECONDS
        rows = int(self._live_owed)
        if rows:
            self._live_owed -= rows
            self._live_sent += 1
            partition = self._live_sent % self.of.partitions
            item = Item(None, partition, rows, self.clock.now - self._random.uniform(0.0, LIVE_POLL_SECONDS))
            self.places.database.read(
                rows,
                lambda: self.broker(partition).take(rows, self.costs.raw, lambda: self.live_agents.arrive(item)),
            )
        self.clock.after(LIVE_POLL_SECONDS, self._live)

    def _look(self) -> None:
        """Have runs give way, as they do by live's own figures."""
        since = self.clock.now - _OF_LAST_SECONDS
        last = sorted(latency for at, latency in self.played.live[-4_000:] if at >= since)
        p99 = 1e3 * last[int(len(last) * 0.99)] if last else None
        for run in self.runs if self.of.gives_way else ():
            run.window.take(p99)
            run.go_on()
        self.clock.after(_LOOK_SECONDS, self._look)

    def _sample(self) -> None:
        played = self.played
        played.samples.append(Sample(self.clock.now, played.sent, self.agents.waits(), self.sinks.waits(), played.rows))
        self.clock.after(_SAMPLE_SECONDS, self._sample)


def play(of: Deployment, costs: Costs) -> Played:
    """Play a deployment to the end, or until nothing has moved for 300 s."""
    return World(of, costs).play()
