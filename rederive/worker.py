"""A worker: an agent or a sink of one lane, or a domain's live producer.

A run starts them as `python -m rederive.worker agent DOMAIN`: such a process imports what its role needs, then waits on
its stdin, a socket, to be told its work, and is given the lock of its slot and the run's log (`rederive/spares.py`).
`rederive worker` (`rederive/cli/worker.py`) is told its work by a person.
"""

import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from schemas.lane import Lane, LaneName

if TYPE_CHECKING:
    from rederive.settings import Settings
    from rederive.spares import Role
    from rederive.stopping import Stop
    from schemas.errors import RederiveError
    from schemas.measures import Measures

log = logging.getLogger("rederive.worker")

_BOTH = ("producers.topics", "rederive.logs", "rederive.stopping")
_MODULES: "dict[Role, tuple[str, ...]]" = {
    "agent": (),
    "sink": ("rederive.database", "rederive.workers", "sinks.consumer"),
    "producer": ("rederive.database", "rederive.producing"),
}
_MOST_SAID = 64 * 1024


# An agent computes one unit at a time, and there is an agent for each core. Whoever imports polars reads it.
os.environ.setdefault("POLARS_MAX_THREADS", "1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a worker is told: its lane, who it is in its group, and how the services are reached.

    `kafka` are librdkafka settings. An agent has no use for the database. A live producer is no member of a group, and
    begins anew with `from_now`, an ISO moment, where that isn't empty. Without a `metrics_port` it has no metrics.
    """

    domain: str
    lane: str
    prefix: str
    member: str
    home: str
    kafka: dict[str, str]
    database_url: str = field(repr=False)
    batch_rows: int
    log_level: str
    from_now: str = ""
    metrics_host: str = ""
    metrics_port: int | None = None

    @classmethod
    def of(cls, settings: "Settings", domain: str, lane: str, member: str, *, from_now: str = "") -> Self:
        """The work of a member of a lane; both services are named by the settings."""
        assert settings.database_url is not None
        return cls(
            domain=domain,
            lane=lane,
            prefix=settings.topic_prefix,
            member=member,
            home=str(settings.home),
            kafka=settings.kafka_config(),
            database_url=settings.database_url.get_secret_value(),
            batch_rows=settings.batch_rows,
            log_level=settings.log_level,
            from_now=from_now,
            metrics_host=settings.metrics_host,
            metrics_port=settings.metrics_port,
        )

    @property
    def topics(self) -> Lane:
        """Its topics and groups."""
        return Lane(self.domain, LaneName(self.lane), self.prefix)


def run_agent(work: Work, stop: "Stop", measures: "Measures") -> int:
    """Run an agent until it is asked to stop; the exit code."""
    from processors.runtime import AgentConfig
    from processors.runtime import run_agent as run
    from rederive import domains
    from rederive.logs import libraries_too
    from schemas.domain import load
    from schemas.errors import RederiveError

    where = work.topics
    member = _grown_up(work.member, work.kafka, where.raw)
    libraries_too()
    # faust names the loggers of its services after the module that defines them: ours among them.
    _quiet("faust", "aiokafka", "mode", "processors.runtime")
    stop.begin()
    try:
        domain = domains.find(work.domain)
        process = load(domain.process)
    except RederiveError as error:
        return _needs_a_person(error)
    folder = Path(work.home) / "run" / "faust"
    config = AgentConfig(where, member, domain.derivation_version, work.kafka, folder, measures=measures)
    return run(config, process, stop)


def run_sink(work: Work, stop: "Stop", measures: "Measures") -> int:
    """Run a sink until it is asked to stop; the exit code."""
    import psycopg

    from rederive import domains
    from rederive.database import check_version, place, session
    from rederive.logs import libraries_too
    from rederive.workers import BEGIN_AGAIN
    from schemas.errors import RederiveError
    from sinks.consumer import ConsumerLostError, Sink, SinkConfig

    libraries_too()
    # A URL that can't be read is refused here, before anything could quote it.
    place(work.database_url)
    where = work.topics

    def opened() -> psycopg.Connection:
        connection = session(work.database_url, f"rederive sink {work.member}")
        check_version(connection)
        return connection

    config = SinkConfig(
        lane=where,
        domain=domains.find(work.domain),
        member=_grown_up(work.member, work.kafka, where.derived),
        kafka=work.kafka,
        connect=opened,
        batch_rows=work.batch_rows,
        measures=measures,
    )
    stop.begin()
    try:
        Sink(config).run(stop.is_set)
    except ConsumerLostError as error:
        log.critical("the sink can't go on and is to be started again: %s", error)
        return BEGIN_AGAIN
    except RederiveError as error:
        return _needs_a_person(error)
    return 0


def run_producer(work: Work, stop: "Stop", measures: "Measures") -> int:
    """Find and deliver what arrives until it is asked to stop; the exit code."""
    import psycopg

    from rederive import domains
    from rederive.database import failure, first_line, place
    from rederive.logs import libraries_too
    from rederive.producing import produce
    from rederive.workers import BEGIN_AGAIN
    from schemas.errors import Away, RederiveError

    libraries_too()
    place(work.database_url)
    stop.begin()
    try:
        produce(work, domains.find(work.domain), stop, measures)
    except psycopg.OperationalError as error:
        log.warning("the database is away, the producer is to be started again: %s", first_line(error))
        return BEGIN_AGAIN
    except Away:
        raise
    except psycopg.Error as error:
        return _needs_a_person(failure(error, f"live of {work.domain}"))
    except RederiveError as error:
        return _needs_a_person(error)
    return 0


def run(role: "Role", work: Work, stop: "Stop") -> int:
    """Work until asked to stop; the exit code. While a service is away it ends, to be started again."""
    from rederive.workers import BEGIN_AGAIN
    from schemas.errors import Away

    try:
        with _measured(role, work) as measures:
            return ROLES[role](work, stop, measures)
    except Away as error:
        log.warning("it can't begin and is to be started again: %s: %s", error.what, error.why)
        return BEGIN_AGAIN


@contextmanager
def _measured(role: "Role", work: Work) -> "Iterator[Measures]":
    """Figures of this process, served meanwhile; none where no port is said: what keeps them isn't imported then."""
    from schemas.measures import UNMEASURED

    if work.metrics_port is None:
        yield UNMEASURED
        return
    from rederive.exposition import served
    from rederive.measuring import Measured

    measured = Measured(role, work.domain, work.lane)
    labels = {"role": role, "member": work.member}
    with served(measured, Path(work.home), work.metrics_host, work.metrics_port, labels):
        yield measured


def _needs_a_person(error: "RederiveError") -> int:
    """The exit code that ends the run, which takes the message from stdout."""
    from rederive.workers import NEEDS_A_PERSON

    log.critical("%s", error)
    sys.stdout.write(str(error))
    return NEEDS_A_PERSON


ROLES: "dict[Role, Callable[[Work, Stop, Measures], int]]" = {
    "agent": run_agent,
    "sink": run_sink,
    "producer": run_producer,
}


def main() -> None:
    """Get ready, wait to be told the work, do it. Ends with 0 when the run has died meanwhile."""
    role: Role
    role, domain = sys.argv[1:3]  # type: ignore[assignment]
    # The run's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    _get_ready(role, domain)
    gc.enable()
    work = _told()
    if work is None:
        sys.exit(0)

    from rederive.logs import set_up
    from rederive.stopping import Stop

    stop = Stop(with_parent=True)
    set_up(work.log_level)
    sys.exit(run(role, work, stop))


def _get_ready(role: "Role", domain: str) -> None:
    """Import what the role needs. What can't be imported is said when the work begins: there is no log yet."""
    from importlib import import_module

    try:
        for name in (*_BOTH, *_MODULES[role]):
            import_module(name)
        from rederive import domains
        from schemas.domain import load

        found = domains.find(domain)
        if role == "agent":
            from processors.runtime import get_ready

            get_ready()
            load(found.process)
    except (Exception, SystemExit):
        log.debug("it isn't ready", exc_info=True)


def _told() -> Work | None:
    """The work, once the run says it; None when that has died. Its log is stderr then, its slot locked."""
    import socket

    said, descriptors = b"", []
    with socket.socket(fileno=os.dup(0)) as parent:
        while not said.endswith(b"\n"):
            more, given, *_ = socket.recv_fds(parent, _MOST_SAID, 2)
            if not more:
                return None
            said += more
            descriptors += given
    # The first is the lock of its slot: this process holds it as long as it lives.
    log_file = descriptors[1]
    os.dup2(log_file, 2)
    os.close(log_file)
    return Work(**json.loads(said))


def _grown_up(member: str, kafka: dict[str, str], topic: str) -> str:
    """The member's id within its group while the topic has as many partitions as now.

    A static member that comes back is given what it had, without a new assignment: partitions that the topic has
    gained meanwhile would be nobody's.
    """
    from producers.topics import partitions_of

    return f"{member}-of-{len(partitions_of(kafka, topic))}"


def _quiet(*names: str) -> None:
    for name in names:
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
