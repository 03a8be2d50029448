"""What runs now: services, unfinished captures, the pulse of the lanes, and what is wrong."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaException

from rederive import troubles
from rederive.captures import said
from rederive.database import NewerError, connect, explained, place
from rederive.endpoints import Kept, running
from rederive.groups import Groups
from rederive.pulse import Figures, LanePulse, Lanes
from rederive.settings import Settings
from rederive.troubles import Trouble
from schemas.errors import Failed
from schemas.live import LiveDay
from store import captures, producers
from store.captures import Listed

_MOST_CAPTURES = 20


@dataclass(frozen=True, slots=True)
class Status:
    """Services as (name, state, where), unfinished captures, the lanes whose topics are there, what is wrong.

    `captures` and `figures` are None where the database that knows them is away, `away` says why, where more is known
    than that it isn't started; `ways_on` has a sentence for each capture: how to go on. `letters` counts the records on
    each domain's DLQ.
    """

    at: datetime
    services: list[tuple[str, str, str]]
    captures: list[Listed] | None
    ways_on: list[str]
    lanes: list[LanePulse]
    figures: Figures | None
    troubles: list[Trouble]
    away: Failed | None = None
    letters: Mapping[str, int] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when both services answer."""
        return int(any(state != "running" for _, state, _ in self.services))

    def describe(self) -> dict[str, Any]:
        """As one JSON object."""
        groups = [seen for one in self.lanes for seen in (one.agents, one.sinks)]
        figures = self.figures
        return {
            "at": self.at,
            "services": [dict(zip(("service", "state", "where"), one, strict=True)) for one in self.services],
            "captures": None if self.captures is None else [asdict(one) for one in self.captures],
            "lag": [
                {
                    "group": one.group,
                    "records_behind": one.lag,
                    "members": sum(name is not None for name in one.holders),
                }
                for one in groups
            ],
            "lanes": [one.describe(self.at) for one in self.lanes],
            "producers": None if figures is None else [asdict(one) for one in figures.producers],
            "reached": None if figures is None else [asdict(one) for one in figures.reached],
            "troubles": [one.describe() for one in self.troubles],
        }


@dataclass(slots=True)
class Watcher:
    """Looks again and again, with clients of the broker that stay; starts nothing. `close` it in the end."""

    settings: Settings
    _lanes: Kept[Lanes] = field(init=False)

    def __post_init__(self) -> None:
        self._lanes = Kept(self._made)

    def close(self) -> None:
        """Leave the broker."""
        self._lanes.close()

    def look(self) -> Status:
        """How everything is; what doesn't answer is said, not raised. NewerError as `connect`."""
        bootstrap, url = running(self.settings)
        found = _of_database(url)
        kept = self._lanes.at(bootstrap)
        lanes, no_kafka = (None, None) if kept is None else _of_kafka(kept, bootstrap, found.figures or Figures())
        now = datetime.now(UTC)
        unfinished: dict[str, list[str]] = {}
        for one in found.captures or []:
            if one.state == "running" and LiveDay.read(one.capture_id, one.domain) is None:
                unfinished.setdefault(one.domain, []).append(one.capture_id)
        services = [error for error in (no_kafka, found.away) if error is not None]
        return Status(
            now,
            [
                ("kafka", "away" if lanes is None else "running", bootstrap or "not started"),
                ("postgres", found.state, place(url) if url else "not started"),
            ],
            found.captures,
            found.ways_on,
            lanes or [],
            found.figures,
            [*map(troubles.of_service, services), *troubles.found(lanes or [], found.figures, unfinished, now)],
            found.away,
            {} if kept is None or lanes is None else dict(kept.letters),
        )

    def _made(self, bootstrap: str) -> Lanes:
        named = self.settings.model_copy(update={"kafka_bootstrap": bootstrap})
        return Lanes(Groups(named.kafka_config()), self.settings.topic_prefix)


def _of_kafka(lanes: Lanes, bootstrap: str | None, figures: Figures) -> tuple[list[LanePulse] | None, Failed | None]:
    try:
        return lanes.look(figures), None
    except Failed as error:
        # A status may be kept: it would hold the frames of who has raised it, and their clients of the broker.
        error.__cause__ = error.__context__ = None
        return None, error.with_traceback(None)
    except KafkaException as error:
        return None, Failed(f"Kafka at {bootstrap} can't be looked at", why=error.args[0].str())


def look(settings: Settings) -> Status:
    """How everything is now, as a Watcher sees it."""
    watcher = Watcher(settings)
    try:
        return watcher.look()
    finally:
        watcher.close()


@dataclass(frozen=True, slots=True)
class _Database:
    state: str
    captures: list[Listed] | None = None
    ways_on: list[str] = field(default_factory=list)
    figures: Figures | None = None
    away: Failed | None = None


def _of_database(url: str | None) -> _Database:
    if url is None:
        return _Database("away")
    try:
        with explained("the status"), connect(url, application="rederive status") as connection:
            if not captures.are_there(connection):
                return _Database("not migrated", [])
            found = captures.listed(connection, limit=_MOST_CAPTURES, states=captures.UNFINISHED)
            ways_on = said(connection, {one.capture_id: one.state for one in found})
            # A database of an earlier version knows of no live work.
            figures = Figures.of(connection) if producers.are_there(connection) else None
            return _Database("running", found, ways_on, figures)
    except NewerError:
        raise
    except Failed as error:
        return _Database("away", away=error)
