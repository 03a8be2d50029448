"""A live producer: finds what has arrived, and delivers it to the domain's log. The contract with what runs it."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from producers.source import Services
from schemas.domain import Domain


@dataclass(frozen=True, slots=True)
class Arriving:
    """What a live producer is told.

    With `from_now` a person gives up what had not been reached by that moment, by the database's clock: it begins anew,
    unless its place is younger than that. However often it is told the same, it begins anew once.
    `stop` is set when it is to end: whatever takes long looks at it, and calls `moving` at least every 30 s while it
    gets on; a producer that doesn't is ended and begun again. `sent` is told how many records it has delivered.
    """

    stop: threading.Event
    from_now: datetime | None = None
    moving: Callable[[], None] = lambda: None
    sent: Callable[[int], None] = lambda _: None


class Live(ABC):
    """A domain's live producer; one of a domain runs at a time. `close` it in the end.

    A record needs no capture: it belongs to that of its day (schemas.live).
    """

    def __init__(self, domain: Domain, services: Services, arriving: Arriving) -> None:
        self.domain, self.services, self.arriving = domain, services, arriving
        self.connection = services.connection

    @abstractmethod
    def step(self) -> float:
        """Find and deliver some of what has arrived; in how many seconds to look again, 0 when there is more.

        What it has delivered it has noted when it returns: a step that fails is done again, by whoever is next. Failed
        when only a person can mend it, Away or psycopg.OperationalError when a service doesn't answer.
        """

    def close(self) -> None:  # noqa: B027 - not everything holds something
        """Let go of what it holds."""
