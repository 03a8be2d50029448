"""What runs now: services, unfinished captures, lag of the consumer groups."""

from dataclasses import asdict, dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from producers.topics import behind, members
from rederive import domains, local
from rederive.captures import said
from rederive.database import NewerError, connect, explained, place
from rederive.settings import Settings
from schemas.errors import Failed
from schemas.lane import Lane, LaneName
from store import captures

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Status:
    """Services as (name, state, where), unfinished captures, and per group (id, records behind, members).

    `captures` is None where the database that knows them is away, `away` says why, where more is known than that it
    isn't started; `ways_on` has a sentence for each capture: how to go on.
    """

    services: list[tuple[str, str, str]]
    captures: list[captures.Listed] | None
    lag: list[tuple[str, int, int]]
    ways_on: list[str]
    away: Failed | None = None

    @property
    def exit_code(self) -> int:
        """0 when both services answer."""
        return int(any(state != "running" for _, state, _ in self.services))

    def describe(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "services": [dict(zip(("service", "state", "where"), one, strict=True)) for one in self.services],
            "captures": None if self.captures is None else [asdict(one) for one in self.captures],
            "lag": [dict(zip(("group", "records_behind", "members"), one, strict=True)) for one in self.lag],
        }


def look(settings: Settings) -> Status:
    """How everything is; starts nothing, and what doesn't answer is said, not raised. NewerError as `connect`."""
    bootstrap = settings.kafka_bootstrap or local.running_kafka(settings)
    url = settings.database_url.get_secret_value() if settings.database_url else local.running_database(settings)
    lag: list[tuple[str, int, int]] | None = None
    if bootstrap:
        named = settings.model_copy(update={"kafka_bootstrap": bootstrap})
        try:
            lag = _lags(named)
        except (Failed, KafkaException):
            lag = None
    unfinished, ways_on, database, away = _unfinished(url)
    return Status(
        [
            ("kafka", "away" if lag is None else "running", bootstrap or "not started"),
            ("postgres", database, place(url) if url else "not started"),
        ],
        unfinished,
        lag or [],
        ways_on,
        away,
    )


def _unfinished(url: str | None) -> tuple[list[captures.Listed] | None, list[str], str, Failed | None]:
    if url is None:
        return None, [], "away", None
    try:
        with explained("the status"), connect(url, application="rederive status") as connection:
            if not captures.are_there(connection):
                return [], [], "not migrated", None
            found = captures.listed(connection, limit=20, states=captures.UNFINISHED)
            return found, said(connection, {one.capture_id: one.state for one in found}), "running", None
    except NewerError:
        raise
    except Failed as error:
        return None, [], "away", error


def _lags(settings: Settings) -> list[tuple[str, int, int]]:
    kafka = settings.kafka_config()
    admin = AdminClient({**kafka})
    topics = admin.list_topics(timeout=_SECONDS).topics
    found = []
    for lane in (Lane(domain, name, settings.topic_prefix) for domain in domains.names() for name in LaneName):
        for group, topic in ((lane.agents, lane.raw), (lane.sinks, lane.derived)):
            if topic in topics:
                found.append((group, behind(kafka, group, topic), members(kafka, group)))
    return found
