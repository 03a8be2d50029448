"""Looking again and again from outside: services that move, and agents that have never derived anything."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from pydantic import SecretStr

from rederive import waiting
from rederive.awaited import Answer, Awaited
from rederive.domains import find
from rederive.groups import Seen, Standing
from rederive.pulse import LanePulse
from rederive.settings import Settings
from rederive.troubles import of_lane
from schemas.lane import Lane, LaneName

NOW = datetime(2026, 2, 6, 12, tzinfo=UTC)
LANE = Lane("betfair", LaneName.LOG)


@dataclass
class Client:
    """A connection or a set of clients, by where it leads."""

    where: str
    closed: bool = False
    broken: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class Met:
    """Something awaited that notes over what it was looked at, and lets the services move before it is visible."""

    moves: list[tuple[str, str]]
    addresses: list[tuple[str, str]]
    seen: list[tuple[Client, Client]] = field(default_factory=list)

    def look(self, connection: Client, groups: Client) -> Answer | None:
        self.seen.append((connection, groups))
        if not self.moves:
            return Answer(True, "it is visible")
        self.addresses.append(self.moves.pop(0))
        return None


def test_a_wait_follows_services_to_other_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [("kafka-1", "postgres-1")]
    monkeypatch.setattr(waiting, "running", lambda _: addresses[-1])
    monkeypatch.setattr(waiting, "connect", lambda url, **_: Client(url))
    monkeypatch.setattr(waiting, "Groups", lambda kafka: Client(kafka["bootstrap.servers"]))
    met = Met([("kafka-1", "postgres-1"), ("kafka-2", "postgres-1"), ("kafka-2", "postgres-2")], addresses)
    settings = Settings(database_url=SecretStr("postgresql://nobody@nowhere/none"))
    waiting.wait(settings, find("betfair"), cast("Awaited", met), 30)
    assert [(one.where, other.where) for one, other in met.seen] == [
        ("postgres-1", "kafka-1"), ("postgres-1", "kafka-1"), ("postgres-1", "kafka-2"), ("postgres-2", "kafka-2"),
    ]  # fmt: skip
    used = {id(one): one for pair in met.seen for one in pair}.values()
    assert sorted(one.where for one in used) == ["kafka-1", "kafka-2", "postgres-1", "postgres-2"]
    assert all(one.closed for one in used)


def pulse(lag: int, waits: timedelta, computed: datetime | None = None, *, of_sinks: bool = False) -> LanePulse:
    standings = [Standing(0, 5, 5 + lag, "machine.agent-1")]
    late = Seen(LANE.agents, LANE.raw, standings, {0: NOW - waits} if lag else {}, None)
    idle = Seen(LANE.sinks, LANE.derived, [Standing(0, 5, 5, "machine.sink-1")], {}, None)
    agents, sinks = (idle, late) if of_sinks else (late, idle)
    return LanePulse(LANE, agents, sinks, 0.0, {}, computed, None)


def test_agents_that_never_derived_anything_are_a_trouble() -> None:
    (found,) = of_lane(pulse(3, timedelta(minutes=5)), (), NOW)
    assert (
        found.what == "machine.agent-1 has derived nothing though 3 records of betfair.log wait, the oldest for 300 s"
    )
    assert not [*of_lane(pulse(3, timedelta(seconds=50)), (), NOW)]
    assert not [*of_lane(pulse(0, timedelta(minutes=5)), (), NOW)]
    assert not [*of_lane(pulse(3, timedelta(minutes=5), NOW - timedelta(seconds=1)), (), NOW)]
    # When sinks last did something is known of live alone.
    assert not [*of_lane(pulse(3, timedelta(minutes=5), of_sinks=True), (), NOW)]
