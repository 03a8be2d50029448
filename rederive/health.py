"""Whether the members of a consumer group get on: by what they have committed, never by their existing."""

import time
from dataclasses import dataclass, field

from rederive.groups import Standing


@dataclass(slots=True)
class Health:
    """What a group has done over time. `stuck` tells after every look which members hang."""

    patience: float
    _moved: dict[int, tuple[int, float]] = field(default_factory=dict)
    _standings: list[Standing] = field(default_factory=list)

    def look(self, standings: list[Standing]) -> None:
        """Take note of where the group stands now."""
        now = time.monotonic()
        for one in standings:
            before, _ = self._moved.get(one.partition, (-1, 0.0))
            if one.lag <= 0 or one.committed != before:
                self._moved[one.partition] = one.committed, now
        self._standings = standings

    def forget(self) -> None:
        """Give everybody new time: what they need was away."""
        now = time.monotonic()
        self._moved = {partition: (offset, now) for partition, (offset, _) in self._moved.items()}

    def is_stuck(self, member: str) -> bool:
        """Whether work waits for this member, and it has done nothing for as long as the patience lasts.

        A member that the group no longer knows has the partitions that nobody has.
        """
        mine = [one for one in self._standings if one.member is not None and is_of(one.member, member)]
        mine = mine or [one for one in self._standings if one.member is None]
        late = [time.monotonic() - self._moved[one.partition][1] > self.patience for one in mine]
        return any(late) and all(slow or one.lag <= 0 for slow, one in zip(late, mine, strict=True))


def is_of(instance: str, member: str) -> bool:
    """Whether a static id in a group is that of a worker (rederive.worker)."""
    return instance == member or instance.startswith(f"{member}-of-")
