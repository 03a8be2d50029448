"""`rederive worker`: one agent or one sink; replays start these themselves, more machines may run more of them."""

import logging
import os
import sys
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from rederive import domains
from rederive.cli.running import DomainName
from schemas.domain import load
from schemas.errors import RederiveError

worker = cyclopts.App(name="worker", help="One agent or sink process of a lane (replays start their own).")

log = logging.getLogger("rederive.worker")

LaneChoice = Literal["replay", "log", "detail"]


WithParent = Annotated[bool, Parameter(negative="")]


@worker.command
def agent(*, domain: DomainName, lane: LaneChoice = "replay", member: str, with_parent: WithParent = False) -> int:
    """Read raw records, compute, send outcomes, until SIGTERM or Ctrl+C.

    Parameters
    ----------
    domain
        Whose records.
    lane
        Which lane's topics.
    member
        Static id within the consumer group, unique among all running agents.
    with_parent
        Stop when stdin ends: how a run's workers notice that the run has died.

    """
    from rederive.stopping import Stop

    stop = Stop(with_parent=with_parent)
    from processors.runtime import AgentConfig, run_agent
    from rederive.endpoints import resolve
    from rederive.logs import libraries_too
    from rederive.settings import Settings
    from schemas.lane import Lane, LaneName

    # An agent computes one unit at a time, and there is an agent for each core. Whoever imports polars reads it.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
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
    return run_agent(config, load(domains.find(domain).process), stop)


@worker.command
def sink(*, domain: DomainName, lane: LaneChoice = "replay", member: str, with_parent: WithParent = False) -> int:
    """Read outcomes, merge them into Postgres, until SIGTERM or Ctrl+C.

    Parameters
    ----------
    domain
        Whose outcomes.
    lane
        Which lane's topics.
    member
        Static id within the consumer group, unique among all running sinks.
    with_parent
        Stop when stdin ends: how a run's workers notice that the run has died.

    """
    from rederive.stopping import Stop

    stop = Stop(with_parent=with_parent)
    import psycopg

    from rederive.database import connection_string, place
    from rederive.endpoints import resolve
    from rederive.logs import libraries_too
    from rederive.settings import Settings
    from rederive.workers import BEGIN_AGAIN, NEEDS_A_PERSON
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
