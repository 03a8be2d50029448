"""The examination: all checks, in an order in which none waits for a service that is away."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rederive import domains
from rederive.doctor import brokers, database, here
from rederive.doctor.findings import Check, Finding, Verdict, looked
from rederive.endpoints import running
from rederive.settings import Settings
from schemas.domain import Domain
from schemas.errors import RederiveError

_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked at: domains by name, all that can be used unless said; `since` when logs must reach back to."""

    names: tuple[str, ...] = ()
    since: datetime | None = None

    def domains(self) -> list[Domain]:
        """Those that are meant. UsageError and Failed as `domains.find`."""
        return [domains.find(name) for name in self.names] or domains.usable()


def examine(asked: Asked, seconds: float = _SECONDS) -> Iterator[Finding]:
    """Findings in order. No check takes longer than so many seconds; what needs a service that is away isn't begun."""
    try:
        settings = Settings()
    except RederiveError as error:
        yield Finding("settings", error.what, Verdict.WRONG, error.why, error.mend)
        yield from looked([Check("libraries", here.libraries), Check("domains", here.installed)], seconds)
        return
    meant = asked.domains()
    yield Finding("settings", "can be used")
    yield from looked(
        [
            Check("libraries", here.libraries),
            Check("domains", here.installed),
            Check("credentials", lambda: here.credentials(settings, meant)),
            Check("disk", lambda: here.disk(settings)),
        ],
        seconds,
    )
    places: list[tuple[str | None, str | None]] = []

    def find() -> Iterator[Finding]:
        places.append(running(settings))
        yield from ()

    yield from looked([Check("services", find)], seconds)
    bootstrap, url = places[0] if places else (None, None)
    reached = list(
        looked(
            [
                Check("kafka", lambda: brokers.reach(settings, bootstrap)),
                Check("postgres", lambda: database.reach(url)),
            ],
            seconds,
        )
    )
    yield from reached
    away = {one.check: f"{one.check} isn't reached" for one in reached if not one.well}
    yield from looked(
        [
            *brokers.checks(settings, bootstrap, meant, asked.since, away.get("kafka", "")),
            *database.checks(url, meant, away.get("postgres", "")),
            Check("lanes", lambda: brokers.lanes(settings), next(iter(away.values()), "")),
        ],
        seconds,
    )
