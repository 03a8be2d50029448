"""The pulse of the lanes: how far their agents and sinks are, how fast, how late, and who does it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from rederive import domains
from rederive.groups import Groups, Seen
from schemas.lane import Lane, LaneName
from store.cursors import Reached, reached
from store.latencies import STAGES, Flow, Quantiles, flows, of_last
from store.producers import Holder, holders

LATENCY_SECONDS = 300.0
"""Latencies are those of so many last seconds."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the database knows: latencies by domain, lane and stage; what flows; who produces; how far it has found."""

    latencies: Mapping[tuple[str, str, str], Quantiles] = field(default_factory=dict)
    flows: Mapping[tuple[str, str], Flow] = field(default_factory=dict)
    producers: list[Holder] = field(default_factory=list)
    reached: list[Reached] = field(default_factory=list)

    @classmethod
    def of(cls, connection: Connection) -> "Figures":
        """Those of now."""
        return cls(
            of_last(connection, LATENCY_SECONDS),
            flows(connection),
            holders(connection),
            reached(connection),
        )


@dataclass(frozen=True, slots=True)
class LanePulse:
    """A lane now.

    `computed` is when its agents last delivered an outcome, `merged` when its sinks at least had committed something:
    as seen from look to look, or else within ten seconds, of what came without a capture. None isn't known.
    """

    lane: Lane
    agents: Seen
    sinks: Seen
    rate: float
    latencies: Mapping[str, Quantiles]
    computed: datetime | None
    merged: datetime | None

    @property
    def progressed(self) -> datetime | None:
        """When it last got on."""
        return max((moment for moment in (self.computed, self.merged) if moment is not None), default=None)

    @property
    def oldest(self) -> datetime | None:
        """When the oldest record that waits for agents or sinks was sent."""
        return min((seen.oldest for seen in (self.agents, self.sinks) if seen.oldest is not None), default=None)

    def describe(self, now: datetime) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "domain": self.lane.domain,
            "lane": self.lane.name,
            "agents": _described(self.agents, now),
            "sinks": _described(self.sinks, now),
            "seconds_behind": seconds(self.oldest, now),
            "rows_per_second": round(self.rate, 1),
            "latencies": {stage: asdict(quantiles) for stage, quantiles in self.latencies.items()},
            "computed_at": self.computed,
            "merged_at": self.merged,
            "progressed_at": self.progressed,
        }


def seconds(since: datetime | None, now: datetime) -> float:
    """Seconds since a moment, 0 for none and where clocks disagree."""
    return 0.0 if since is None else round(max(0.0, (now - since).total_seconds()), 3)


def _described(seen: Seen, now: datetime) -> dict[str, Any]:
    return {
        "group": seen.group,
        "topic": seen.topic,
        "records_behind": seen.lag,
        "seconds_behind": seconds(seen.oldest, now),
        "partitions": [
            {
                "partition": one.partition,
                "committed": one.committed,
                "end": one.end,
                "member": one.member,
                "seconds_behind": seconds(seen.sent.get(one.partition), now),
            }
            for one in seen.standings
        ],
    }


@dataclass(slots=True)
class Lanes:
    """The lanes of all domains from look to look: what a group commits meanwhile is seen when it does.

    `letters` are the records that stood on each domain's DLQ, where there is one, at the last look.
    """

    groups: Groups
    prefix: str
    letters: dict[str, int] = field(default_factory=dict)
    _moved: dict[tuple[str, int], int] = field(default_factory=dict)
    _merged: dict[str, datetime] = field(default_factory=dict)

    def close(self) -> None:
        """Leave the broker."""
        self.groups.close()

    def look(self, figures: Figures) -> list[LanePulse]:
        """Those whose topics are there. Away when the broker doesn't answer."""
        lanes = [Lane(domain, name, self.prefix) for domain in domains.names() for name in LaneName]
        dlqs = {domain: Lane(domain, LaneName.REPLAY, self.prefix).dlq for domain in domains.names()}
        held = self.groups.held(list(dlqs.values()))
        self.letters = {domain: held[topic] for domain, topic in dlqs.items() if topic in held}
        seen = self.groups.look([pair for one in lanes for pair in ((one.agents, one.raw), (one.sinks, one.derived))])
        return [self._pulse(one, seen, figures) for one in lanes if {one.agents, one.sinks} <= seen.keys()]

    def _pulse(self, lane: Lane, seen: Mapping[str, Seen], figures: Figures) -> LanePulse:
        agents, sinks = seen[lane.agents], seen[lane.sinks]
        self._watch(sinks)
        flow = figures.flows.get((lane.domain, lane.name))
        merged = [self._merged.get(sinks.group), flow.last if flow else None]
        return LanePulse(
            lane,
            agents,
            sinks,
            flow.rate if flow else 0.0,
            {
                stage: figures.latencies[lane.domain, lane.name, stage]
                for stage in STAGES
                if (lane.domain, lane.name, stage) in figures.latencies
            },
            sinks.newest,
            max((moment for moment in merged if moment is not None), default=None),
        )

    def _watch(self, sinks: Seen) -> None:
        for one in sinks.standings:
            before = self._moved.get((sinks.group, one.partition))
            if before is not None and before != one.committed:
                self._merged[sinks.group] = datetime.now(UTC)
            self._moved[sinks.group, one.partition] = one.committed
