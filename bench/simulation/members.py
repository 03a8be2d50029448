"""Agents and sinks: members of a consumer group that share partitions, die and hand over."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.simulation.clock import Clock, Cores
from bench.simulation.costs import Costs, Deployment
from bench.simulation.places import Broker, Database

_TAKE_UNITS = 2


@dataclass(slots=True, eq=False)
class Item:
    """A unit on its way: `run` is whose it is, None for what is live."""

    run: int | None
    partition: int
    rows: int
    since: float
    computed: bool = False
    applied: bool = False


class Member(ABC):
    """A process that does one thing at a time with what waits in its partitions; `machine` is where it runs."""

    def __init__(self, clock: Clock, cores: Cores, machine: int) -> None:
        self.clock, self.cores, self.machine = clock, cores, machine
        self.waiting: deque[Item] = deque()
        self.alive, self.paused = True, False
        self.worked = 0.0

    @abstractmethod
    def wake(self) -> None:
        """Take what waits, if there is anything and nothing else is being done."""

    @abstractmethod
    def unfinished(self) -> Iterable[Item]:
        """What was taken and is not done: it comes again when the member dies."""

    def let_go(self) -> None:
        """Give back what was taken and not begun; another member may get its partition."""
        return


class Agent(Member):
    """Computes up to two units, and takes the next when their outcomes are delivered."""

    def __init__(
        self,
        clock: Clock,
        cores: Cores,
        machine: int,
        costs: Costs,
        broker: Callable[[int], Broker],
        delivered: Callable[[Item], None],
    ) -> None:
        super().__init__(clock, cores, machine)
        self._costs, self._broker, self._delivered = costs, broker, delivered
        self._taken: list[Item] = []
        self._since = 0.0

    def unfinished(self) -> Iterable[Item]:
        """Units whose outcome hasn't arrived."""
        return [item for item in self._taken if not item.computed]

    def wake(self) -> None:
        """Compute two units, or the one that waits."""
        if self._taken or self.paused or not self.alive or not self.waiting:
            return
        self._taken = [self.waiting.popleft() for _ in range(min(_TAKE_UNITS, len(self.waiting)))]
        self._since = self.clock.now
        self.cores.run(sum(item.rows for item in self._taken) * self._costs.agents, self._send)

    def _send(self) -> None:
        if self.alive:
            for item in self._taken:
                self._broker(item.partition).take(item.rows, self._costs.derived, lambda item=item: self._arrived(item))  # type: ignore[misc]

    def _arrived(self, item: Item) -> None:
        # What an agent has sent before it died is computed again, and dropped: its origin is noted.
        if not item.computed:
            item.computed = True
            self._delivered(item)
        if self.alive and all(one.computed for one in self._taken):
            self.worked += self.clock.now - self._since
            self._taken = []
            self.wake()


class Sink(Member):
    """Makes a batch ready while Postgres merges the one before: full ones, or whatever waits when nothing is merged."""

    def __init__(
        self,
        clock: Clock,
        cores: Cores,
        machine: int,
        costs: Costs,
        of: Deployment,
        database: Database,
        applied: Callable[[Sequence[Item]], None],
    ) -> None:
        super().__init__(clock, cores, machine)
        self._costs, self._most, self._database, self._applied = costs, 2 * of.batch_rows, database, applied
        self._staging: list[Item] = []
        self._ready: list[Item] = []
        self._writing: list[Item] = []
        self._since = 0.0

    def unfinished(self) -> Iterable[Item]:
        """The batch whose transaction is rolled back, and the next."""
        return [*self._writing, *self._ready, *self._staging]

    def let_go(self) -> None:
        """Forget the batch that was made ready; what is being written goes on."""
        self.waiting.extendleft(reversed([*self._ready, *self._staging]))
        self._ready, self._staging = [], []

    def wake(self) -> None:
        """Begin a batch: a full one, or any while nothing is being written."""
        if self._staging or self._ready or self.paused or not self.alive or not self.waiting:
            return
        if self._writing and sum(item.rows for item in self.waiting) < self._most:
            return
        rows = 0
        while self.waiting and rows < self._most:
            self._staging.append(self.waiting.popleft())
            rows += self._staging[-1].rows
        staged = self._staging
        self.cores.run(rows * self._costs.sinks, lambda: self._staged(staged))

    def _staged(self, items: list[Item]) -> None:
        # What was let go meanwhile is another's.
        if self.alive and items is self._staging:
            self._ready, self._staging = items, []
            self._write()

    def _write(self) -> None:
        if self._ready and not self._writing and not self.paused:
            self._writing, self._ready = self._ready, []
            self._since = self.clock.now
            self._database.merge(sum(item.rows for item in self._writing), self._written)
        self.wake()

    def _written(self) -> None:
        if not self.alive:
            return
        self.worked += self.clock.now - self._since
        done, self._writing = self._writing, []
        self._applied(done)
        self._write()


class Group:
    """Members that share partitions evenly. What comes for a partition of nobody waits for the next rebalance."""

    def __init__(self, clock: Clock, members: Sequence[Member], of: Deployment, partitions: int) -> None:
        self.members = members
        self._clock, self._of, self._partitions = clock, of, partitions
        self._orphans: list[Item] = []
        self._owners: dict[int, Member] = {}
        self._assign()

    def arrive(self, item: Item) -> None:
        """Something stands on the topic."""
        owner = self.owner(item.partition)
        if owner.alive:
            owner.waiting.append(item)
            owner.wake()
        else:
            self._orphans.append(item)

    def owner(self, partition: int) -> Member:
        """Whose a partition is now, dead or alive."""
        return self._owners[partition]

    def waits(self) -> int:
        """Rows that nobody has taken yet."""
        return sum(item.rows for member in self.members for item in member.waiting) + sum(
            item.rows for item in self._orphans
        )

    def die(self, machine: int, noticed: float) -> None:
        """Have all members of a machine die; `noticed` is when they were heard of last, in seconds before."""
        dead = [member for member in self.members if member.machine == machine and member.alive]
        for member in dead:
            member.alive = False
            self._orphans += [*member.unfinished(), *member.waiting]
            member.waiting.clear()
        if dead and any(member.alive for member in self.members):
            self._clock.after(self._of.session - noticed, self._rebalance)

    def _rebalance(self) -> None:
        """All stop taking anything until all have heard of it by their heartbeat and have joined again."""
        for member in self.members:
            member.paused = True
        self._clock.after(self._of.heartbeat + self._of.hand_over, self._resume)

    def _resume(self) -> None:
        alive = [member for member in self.members if member.alive]
        for member in alive:
            member.let_go()
            self._orphans += member.waiting
            member.waiting.clear()
        self._assign()
        waiting, self._orphans = self._orphans, []
        for member in alive:
            member.paused = False
        for item in waiting:
            self.arrive(item)

    def _assign(self) -> None:
        alive = [member for member in self.members if member.alive]
        self._owners = {
            partition: alive[partition * len(alive) // self._partitions] for partition in range(self._partitions)
        }
