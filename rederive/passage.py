"""The passage: how far everything has come that had arrived by a moment, from its source to the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from psycopg import Connection

from rederive.groups import Groups, Seen
from schemas.domain import Domain
from schemas.lane import Lane
from store.cursors import reached
from store.rows import value


class Stage(StrEnum):
    """The last stage that has been passed; what waits hangs behind it."""

    NOT_FOUND = "not found"
    ON_LOG = "on the log"
    COMPUTED = "computed"
    MERGED = "merged"


_Ends = Mapping[str, Mapping[int, int]]
"""One past the last record, by topic and partition."""


@dataclass(slots=True)
class Passage:
    """Of a domain, by a moment of the server's clock. `look` again and again: each stage is waited for in its turn.

    What is found by a live producer counts from its commit, what others send to the log from when it stands there.
    """

    domain: Domain
    moment: datetime
    prefix: str
    missing: int = 0
    _log: _Ends | None = None
    _derived: _Ends | None = None

    def look(self, connection: Connection, groups: Groups) -> Stage:
        """The stage that all of it has passed; `missing` are the records that wait for the next. Away as Groups."""
        self.missing = 0
        if self._log is None and not self._is_found(connection):
            return Stage.NOT_FOUND
        lanes = [Lane(self.domain.name, name, self.prefix) for name in self.domain.kept]
        seen = groups.look([pair for one in lanes for pair in ((one.agents, one.raw), (one.sinks, one.derived))])
        agents = [seen[one.agents] for one in lanes if one.agents in seen]
        sinks = [seen[one.sinks] for one in lanes if one.sinks in seen]
        if self._log is None:
            self._log = _ends(agents)
        if self._derived is None:
            self.missing = _waiting(agents, self._log)
            if self.missing:
                return Stage.ON_LOG
            # The look that showed the agents past the log's end may have seen the outcomes' end before they were.
            fresh = groups.look([(one.group, one.topic) for one in sinks])
            sinks = list(fresh.values())
            self._derived = _ends(sinks)
        self.missing = _waiting(sinks, self._derived)
        return Stage.COMPUTED if self.missing else Stage.MERGED

    def _is_found(self, connection: Connection) -> bool:
        if not self.domain.follows:
            return bool(value(connection, "SELECT now() >= %s", [self.moment]))
        moments = {one.name: one.moment for one in reached(connection, self.domain.name)}
        followed = [moments.get(f"{self.domain.name}.{table}") for table in self.domain.follows]
        return all(moment is not None and moment >= self.moment for moment in followed)


def _ends(seen: list[Seen]) -> _Ends:
    return {one.topic: {place.partition: place.end for place in one.standings} for one in seen}


def _waiting(seen: list[Seen], ends: _Ends) -> int:
    return sum(
        max(0, min(ends.get(one.topic, {}).get(place.partition, 0), place.end) - place.committed)
        for one in seen
        for place in one.standings
    )
