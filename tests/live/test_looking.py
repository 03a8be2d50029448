"""Looking again and again from outside, while services move."""

from dataclasses import dataclass, field
from typing import cast

import pytest
from pydantic import SecretStr

from rederive import waiting
from rederive.awaited import Answer, Awaited
from rederive.domains import find
from rederive.settings import Settings


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
