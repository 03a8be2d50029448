"""Live: producers, agents and sinks of the log lanes, kept at work until somebody stops them."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import Connection

from producers.topics import ensure_topics
from rederive import domains
from rederive.alarms import NoticesOfLive
from rederive.database import connect, explained, first_line
from rederive.groups import Groups, Seen
from rederive.health import Health
from rederive.logs import run_log
from rederive.settings import Settings
from rederive.troubles import Trouble
from rederive.workers import Workers, machine_id
from schemas.domain import Domain
from schemas.errors import Failed, RederiveError
from schemas.lane import Lane, LaneName
from schemas.measures import UNMEASURED, Measures
from schemas.words import counted
from sinks.live import inserts
from sinks.steps import run_steps
from store import live as stored
from store import producers

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_HEALTH_SECONDS = 5.0
_CLOSE_SECONDS = 60.0
_DRAIN_SECONDS = 10.0
_PLACE_SECONDS = 5.0
_AGAIN_SECONDS, _MOST_AGAIN_SECONDS = 60.0, 900.0
_PATIENCE_SECONDS = 60.0
# faust may stand still after a rebalance; a unit of a log is computed within a second.
_AGENTS_PATIENCE_SECONDS = 20.0
_SILENT_SECONDS, _STILL_SECONDS = 10.0, 120.0
_LATE = timedelta(minutes=10)
_LARGEST_LOG = 50 * 1024 * 1024


class _TakenError(Failed):
    """Another supervisor has this machine's place."""


@dataclass(slots=True)
class _Crew:
    """The workers of one lane and how their groups do."""

    workers: Workers
    agents: Health
    sinks: Health

    @property
    def lane(self) -> Lane:
        return self.workers.lane


@dataclass(slots=True)
class _Work:
    """A domain at work; `again` is when it is begun again after it needed a person, `pause` how long that takes.

    `error` says why. `measures` are told of its workers.
    """

    domain: Domain
    crews: list[_Crew] = field(default_factory=list)
    again: float | None = None
    pause: float = _AGAIN_SECONDS
    begun: float = 0.0
    worked: bool = False
    error: RederiveError | None = None
    measures: Measures = UNMEASURED


@dataclass(slots=True)
class Supervisor:
    """Keeps the live work of domains going on this machine; `settings` name services that answer.

    Another machine that does the same shares agents and sinks; its producers stand by.
    """

    settings: Settings
    database_url: str
    names: tuple[str, ...]
    from_now: bool = False
    patience: float = _PATIENCE_SECONDS
    _since: str = ""
    _groups: Groups = field(init=False)
    _connection: Connection | None = None
    _database_away: bool = False
    _measures: Measures = UNMEASURED
    _lag: dict[Lane, int] = field(default_factory=dict)
    _committed: dict[Lane, int] = field(default_factory=dict)

    def __call__(self, stop: threading.Event) -> int:
        """Work until `stop` is set, then let what is on its way arrive. The exit code.

        Failed when this machine does it already, or when nothing could begin.
        """
        works = [_Work(domains.find(name)) for name in self.names]
        with (
            self._measured(works),
            NoticesOfLive(self.settings, self.names, lambda: [_trouble(one) for one in works if one.error]),
        ):
            return self._work(works, stop)

    @contextmanager
    def _measured(self, works: list[_Work]) -> Iterator[None]:
        """Have figures served meanwhile, where the settings say a port."""
        port = self.settings.metrics_port
        if port is None:
            yield
            return
        from rederive.exposition import served
        from rederive.measuring import Measured

        measured = self._measures = Measured("live", "")
        for work in works:
            work.measures = measured.watching(work.domain.name, work.domain.kept)
        labels = {"role": "live", "member": machine_id(self.settings.home)}
        with served(measured, self.settings.home, self.settings.metrics_host, port, labels):
            yield

    def _work(self, works: list[_Work], stop: threading.Event) -> int:
        self._groups = Groups(self.settings.kafka_config())
        try:
            with explained("live"):
                self._take_place()
                if self.from_now:
                    self._since = producers.now(self._connected()).isoformat()
            for work in works:
                self._begin(work)
            self._measures.begun(lambda: self._waiting(works))
            self._keep(works, stop)
            self._drain(works)
        finally:
            for work in works:
                _end(work)
            self._groups.close()
            if self._connection is not None:
                self._connection.close()
        return int(any(work.again is not None for work in works))

    def _waiting(self, works: list[_Work]) -> int:
        """What waits as of the last look: records, domains that need a person, a database that is away."""
        return sum(self._lag.values()) + sum(work.again is not None for work in works) + self._database_away

    def _take_place(self) -> None:
        """One supervisor of a domain a machine: two would fight over their members' ids."""
        machine = machine_id(self.settings.home)
        connection = connect(self.database_url, application=f"rederive live {machine}")
        try:
            for name in self.names:
                deadline = time.monotonic() + _PLACE_SECONDS
                while not producers.alone(connection, machine, name):
                    if time.monotonic() > deadline:
                        raise _TakenError(
                            f"live of {name} is running with this machine's id already ({machine})",
                            why=producers.where(connection, machine),
                            mend="stop that one, or share the work from another home; a home that was copied from "
                            f"another machine needs an id of its own: remove {self.settings.home / 'machine-id'}",
                        )
                    time.sleep(0.2)
        except BaseException:
            # Without all its places it has none: what looks next takes them anew.
            connection.close()
            raise
        self._connection = connection

    def _begin(self, work: _Work) -> None:
        domain, kafka = work.domain, self.settings.kafka_config()
        log_file = run_log(self.settings.home, f"{domain.name}-live")
        if log_file.exists() and log_file.stat().st_size > _LARGEST_LOG:
            log_file.replace(log_file.with_suffix(".old.log"))
        # What runs of their own derive has its workers from them.
        by_runs = inserts(domain) is not None
        for name in domain.kept[:1] if by_runs else domain.kept:
            lane = Lane(domain.name, name, self.settings.topic_prefix)
            ensure_topics(kafka, lane, self.settings.workers, domain.log_retention)
            workers = Workers(
                self.settings,
                lane,
                0 if by_runs else self.settings.workers if name is LaneName.LOG else 1,
                0 if by_runs else self.settings.sinks if name is LaneName.LOG else 1,
                log_file,
                producer=bool(domain.live) and name is LaneName.LOG,
                from_now=self._since,
                measures=work.measures,
            )
            agents = Health(min(self.patience, _AGENTS_PATIENCE_SECONDS))
            work.crews.append(_Crew(workers, agents, Health(self.patience)))
            workers.start()
        work.again, work.begun, work.error = None, time.monotonic(), None
        log.info("live %s: %s", domain.name, _said(work))

    def _keep(self, works: list[_Work], stop: threading.Event) -> None:
        looked, closed = time.monotonic(), 0.0
        while not stop.wait(_LOOK_SECONDS):
            for work in works:
                self._check(work, works)
            if time.monotonic() - looked > _HEALTH_SECONDS:
                for work in works:
                    self._mend(work)
                looked = time.monotonic()
            if time.monotonic() - closed > _CLOSE_SECONDS:
                for work in works:
                    self._close_days(work)
                closed = time.monotonic()

    def _check(self, work: _Work, works: list[_Work]) -> None:
        """Start again what has died. A domain that needs a person is tried again later, the others go on."""
        try:
            if work.again is None:
                for crew in work.crews:
                    crew.workers.check()
                if time.monotonic() - work.begun > _AGAIN_SECONDS:
                    work.worked, work.pause = True, _AGAIN_SECONDS
            elif time.monotonic() > work.again:
                self._begin(work)
        except RederiveError as error:
            _end(work)
            if not any(other.worked for other in works) and not any(
                other.crews for other in works if other is not work
            ):
                raise
            work.again, work.error = time.monotonic() + work.pause, error
            log.error("live %s stops and is begun again in %.0f s: %s", work.domain.name, work.pause, error)
            work.pause = min(2 * work.pause, _MOST_AGAIN_SECONDS)

    def _mend(self, work: _Work) -> None:
        """End what hangs: it is started again."""
        try:
            connection = self._connected()
            self._database_away = False
            self._mend_producer(work, connection)
        except _TakenError as error:
            log.error("%s", error)
        except (psycopg.Error, Failed) as error:
            if not self._database_away:
                log.warning("the database is away; what arrives waits on the log: %s", _line(error))
            self._database_away = True
        for crew in work.crews:
            try:
                self._mend_crew(crew)
            except Failed as error:
                log.info("the groups of %s can't be looked at: %s", crew.lane.raw, error.why)
                crew.agents.forget()
                crew.sinks.forget()

    def _mend_crew(self, crew: _Crew) -> None:
        seen = self._seen(crew)
        self._lag[crew.lane] = sum(one.lag for one in seen.values())
        committed = sum(standing.committed for one in seen.values() for standing in one.standings)
        if committed != self._committed.get(crew.lane):
            self._committed[crew.lane] = committed
            self._measures.moving()
        for health, group in ((crew.agents, crew.lane.agents), (crew.sinks, crew.lane.sinks)):
            if group not in seen:
                continue
            health.look(seen[group].standings)
            if self._database_away and health is crew.sinks:
                health.forget()
                continue
            for member in crew.workers.members():
                if f"-{group}-" in member and crew.workers.age(member) > health.patience and health.is_stuck(member):
                    log.warning(
                        "%s has done nothing for %.0f s though work waits: it is ended", member, health.patience
                    )
                    crew.workers.kill(member)

    def _seen(self, crew: _Crew) -> dict[str, Seen]:
        """The crew's groups; none where its domain's runs have workers of their own."""
        if not crew.workers.sinks:
            return {}
        lane = crew.lane
        return self._groups.look([(lane.agents, lane.raw), (lane.sinks, lane.derived)])

    def _nothing_waits(self, work: _Work) -> bool:
        return not any(seen.lag for crew in work.crews for seen in self._seen(crew).values())

    def _mend_producer(self, work: _Work, connection: Connection) -> None:
        holder = producers.holder(connection, work.domain.name)
        if holder is None or not (holder.silent > _SILENT_SECONDS or holder.still > _STILL_SECONDS):
            return
        for crew in work.crews:
            for member, pid in crew.workers.members().items():
                if member in holder.machine and pid == holder.pid:
                    log.warning("the producer of %s hangs: it is ended", work.domain.name)
                    crew.workers.kill(member)

    def _close_days(self, work: _Work) -> None:
        """Complete the captures of days that are over, once nothing of them waits any more; run the domain's steps."""
        try:
            connection = self._connected()
            run_steps(connection, work.domain)
            today = (datetime.now(UTC) - _LATE).date()
            if stored.running_before(connection, work.domain.name, today) and self._nothing_waits(work):
                for capture_id in stored.complete_before(connection, work.domain.name, today):
                    log.info("%s is complete", capture_id)
        except (psycopg.Error, Failed) as error:
            log.info("days of %s are not closed: %s", work.domain.name, _line(error))

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed or self._connection.broken:
            self._take_place()
        assert self._connection is not None
        return self._connection

    def _drain(self, works: list[_Work]) -> None:
        """Stop what finds, let what was found arrive."""
        log.info("stopping: what is on its way arrives first")
        for work in works:
            for crew in work.crews:
                crew.workers.stop_producer()
        deadline = time.monotonic() + _DRAIN_SECONDS
        for work in works:
            while work.crews and time.monotonic() < deadline:
                try:
                    if self._nothing_waits(work):
                        break
                except Failed as error:
                    log.warning("what waits can't be seen: %s; it comes with the next start", error.why)
                    return
                time.sleep(0.2)


def _said(work: _Work) -> str:
    first = work.crews[0].workers
    finds = "finds what arrives" if first.producer else "takes what is sent to its log"
    crew = f"{counted(first.agents, 'agent')}, {counted(first.sinks, 'sink')}" if first.sinks else "each by a run"
    return f"{finds}; {crew}; {first.log_file} says more"


def _trouble(work: _Work) -> Trouble:
    """That a domain stands still until a person has mended what is wrong."""
    assert work.error is not None
    what, mend = f"live of {work.domain.name} stops, and is tried again: {work.error.what}", work.error.mend
    return Trouble(work.domain.name, f"{what} ({work.error.why})" if work.error.why else what, mend, "stopped")


def _end(work: _Work) -> None:
    for crew in work.crews:
        crew.workers.stop()
    work.crews.clear()


def _line(error: Exception) -> str:
    return first_line(error) if isinstance(error, psycopg.Error) else str(error)
