"""Where a run's units go: per lane in use its topic, a producer to it, and the workers that answer."""

import logging
import os
from dataclasses import dataclass, field
from typing import Any, Self, get_args

import psycopg

from producers.sender import Sender
from producers.topics import behind, ensure_topics, watermarks
from rederive import domains
from rederive.logs import run_log
from rederive.settings import Settings
from rederive.spares import Role, Spares
from rederive.workers import Workers
from schemas.capture import Capture
from schemas.domain import API
from schemas.errors import Failed
from schemas.lane import Lane, LaneName
from schemas.measures import UNMEASURED, Measures
from schemas.plan import PlannedUnit
from schemas.unit import Delivered, Unit
from store import captures

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Lanes:
    """The lanes of one run, opened as they are needed; a context manager that leaves no worker behind."""

    settings: Settings
    capture: Capture
    agents: int
    sinks: int
    spares: Spares = field(default_factory=Spares)
    measures: Measures = UNMEASURED
    _open: dict[LaneName, tuple[Sender, Workers]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.rest()

    @property
    def are_open(self) -> bool:
        """Whether any lane has workers."""
        return bool(self._open)

    def rest(self) -> None:
        """End all workers; a lane that is opened again gets new ones."""
        for sender in [sender for sender, _ in self._open.values()]:
            sender.drop()
        for workers in [workers for _, workers in self._open.values()]:
            workers.stop()
        self._open.clear()

    def open(self, connection: psycopg.Connection, name: LaneName, units: int) -> None:
        """Make the lane ready for so many units: topics, a producer, workers. One that is gets more agents at most.

        Away when the broker doesn't answer: what was made until then is found the next time.
        """
        # What comes from an API comes slowly: one of each has time enough for it.
        fed_by_api = self.capture.source == API and name is not LaneName.REPLAY
        most, sinks = (1, 1) if fed_by_api else (self.agents, self.sinks)
        agents = min(most, units)
        if name in self._open:
            self._open[name][1].grow(agents)
            return
        lane = Lane(self.capture.domain, name, self.settings.topic_prefix)
        kafka = self.settings.kafka_config()
        domain = domains.find(self.capture.domain)
        topic_id = ensure_topics(kafka, lane, self.agents, domain.log_retention)
        kept = watermarks(kafka, lane.raw)
        if lost := captures.set_topic(connection, self.capture.capture_id, lane, topic_id, kept):
            log.info("%d units that had been sent are no longer on %s and are sent again", lost, lane.raw)
        log_file = run_log(self.settings.home, self.capture.capture_id)
        # As many sinks however few units: one that doesn't come back keeps its partitions until its session is over.
        workers = Workers(
            self.settings, lane, agents, min(sinks, len(kept)), log_file, self.spares, measures=self.measures
        )
        self._open[name] = (Sender(kafka, lane.raw, sorted(kept), lane.codec), workers)
        workers.start()

    def processes(self) -> dict[str, list[int]]:
        """Process ids of the run by role; the producer is this process."""
        workers = [workers for _, workers in self._open.values()]
        of_workers = {role: [pid for one in workers for pid in one.pids(role)] for role in get_args(Role)}
        return {**of_workers, "producer": [os.getpid()]}

    def check(self) -> None:
        """Start workers again that have died. Failed when only a person can mend it."""
        for _, workers in self._open.values():
            workers.check()

    def send(self, planned: PlannedUnit[Any], unit: Unit) -> None:
        """Queue a unit for its lane. Failed when an earlier delivery has failed."""
        self._open[planned.lane][0].send(unit)

    def poll(self) -> list[Delivered]:
        """What has been delivered since the last call. Failed when a delivery has failed."""
        return [one for sender, _ in self._open.values() for one in sender.poll()]

    def flush(self, seconds: float) -> list[Delivered]:
        """Wait for all deliveries, at most so long on each lane; what is not delivered then may still be later."""
        return [one for sender, _ in self._open.values() for one in sender.flush(seconds)]

    def nothing_waits(self) -> bool:
        """Whether agents and sinks have committed everything that their topics hold: then no outcome will come."""
        kafka = self.settings.kafka_config()
        lanes = [workers.lane for _, workers in self._open.values()]
        try:
            return not any(
                behind(kafka, lane.agents, lane.raw) or behind(kafka, lane.sinks, lane.derived) for lane in lanes
            )
        except Failed as error:
            log.warning("the topics can't be looked at: %s: %s", error.what, error.why)
            return False
