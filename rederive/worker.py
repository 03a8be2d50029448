"""A worker: an agent or a sink of one lane.

A run starts them as `python -m rederive.worker agent DOMAIN`: such a process imports what its role needs, then waits on
its stdin, a socket, to be told its lane, its member id and the run's settings, and is given the lock of its slot and
the run's log (`rederive/spares.py`). `rederive worker` (`rederive/cli/worker.py`) is told all of it by a person.
"""

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rederive.spares import Role
    from rederive.stopping import Stop

log = logging.getLogger("rederive.worker")

_BOTH = ("producers.topics", "rederive.endpoints", "rederive.logs", "rederive.settings", "rederive.stopping")
_MODULES: "dict[Role, tuple[str, ...]]" = {
    "agent": ("processors.runtime",),
    "sink": ("rederive.database", "rederive.workers", "sinks.consumer"),
}
_MOST_SAID = 64 * 1024


# An agent computes one unit at a time, and there is an agent for each core. Whoever imports polars reads it.
os.environ.setdefault("POLARS_MAX_THREADS", "1")


def run_agent(domain: str, lane: str, member: str, stop: "Stop") -> int:
    """Run an agent until it is asked to stop; the exit code."""
    from processors.runtime import AgentConfig
    from processors.runtime import run_agent as run
    from rederive import domains
    from rederive.endpoints import resolve
    from rederive.logs import libraries_too
    from rederive.settings import Settings
    from schemas.domain import load
    from schemas.lane import Lane, LaneName

    settings = Settings()
    where, kafka = Lane(domain, LaneName(lane), settings.topic_prefix), settings.at(resolve(settings)).kafka_config()
    config = AgentConfig(
        where,
        _grown_up(member, kafka, where.raw),
        kafka,
        settings.home / "run" / "faust",
    )
    libraries_too()
    # faust names the loggers of its services after the module that defines them: ours among them.
    _quiet("faust", "aiokafka", "mode", "processors.runtime")
    stop.begin()
    return run(config, load(domains.find(domain).process), stop)


def run_sink(domain: str, lane: str, member: str, stop: "Stop") -> int:
    """Run a sink until it is asked to stop; the exit code."""
    import psycopg

    from rederive import domains
    from rederive.database import connection_string, place
    from rederive.endpoints import resolve
    from rederive.logs import libraries_too
    from rederive.settings import Settings
    from rederive.workers import BEGIN_AGAIN, NEEDS_A_PERSON
    from schemas.errors import RederiveError
    from schemas.lane import Lane, LaneName
    from sinks.consumer import ConsumerLostError, Sink, SinkConfig

    libraries_too()
    settings = Settings()
    endpoints = resolve(settings)
    # A URL that can't be read is refused here, before anything could quote it.
    place(endpoints.database_url)
    where, kafka = Lane(domain, LaneName(lane), settings.topic_prefix), settings.at(endpoints).kafka_config()
    config = SinkConfig(
        lane=where,
        domain=domains.find(domain),
        member=_grown_up(member, kafka, where.derived),
        kafka=kafka,
        connect=lambda: psycopg.connect(
            connection_string(endpoints.database_url, f"rederive sink {member}"), autocommit=True
        ),
        batch_rows=settings.batch_rows,
    )
    stop.begin()
    try:
        Sink(config).run(stop.is_set)
    except ConsumerLostError as error:
        log.critical("the sink can't go on and is to be started again: %s", error)
        return BEGIN_AGAIN
    except RederiveError as error:
        log.critical("%s", error)
        sys.stdout.write(str(error))
        return NEEDS_A_PERSON
    return 0


ROLES: "dict[Role, Callable[[str, str, str, Stop], int]]" = {"agent": run_agent, "sink": run_sink}


def main() -> None:
    """Get ready, wait to be told the work, do it. Ends with 0 when the run has died meanwhile."""
    role: Role
    role, domain = sys.argv[1:3]  # type: ignore[assignment]
    # The run's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    _get_ready(role, domain)
    gc.enable()
    said = _told()
    if said is None:
        sys.exit(0)
    lane, member = said

    from rederive.stopping import Stop

    stop = Stop(with_parent=True)
    from rederive.logs import set_up

    set_up()
    sys.exit(ROLES[role](domain, lane, member, stop))


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
            load(found.process)
    except Exception:
        log.debug("it isn't ready", exc_info=True)


def _told() -> tuple[str, str] | None:
    """The lane and the member id, once the run says them; None when it has died. Settings and log are in place then."""
    import json
    import socket

    said, descriptors = b"", []
    with socket.socket(fileno=os.dup(0)) as parent:
        while not said.endswith(b"\n"):
            more, given, *_ = socket.recv_fds(parent, _MOST_SAID, 2)
            if not more:
                return None
            said += more
            descriptors += given
    _slot, log_file = descriptors
    os.dup2(log_file, 2)
    os.close(log_file)
    told = json.loads(said)
    os.environ.update(told["environment"])
    return told["lane"], told["member"]


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
