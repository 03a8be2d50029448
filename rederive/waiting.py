"""Waiting until something is visible, in so many seconds at most."""

import time
from contextlib import closing
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import Connection

from rederive.awaited import Answer, Awaited
from rederive.database import NewerError, connect, explained
from rederive.endpoints import Kept, running
from rederive.groups import Groups
from rederive.settings import Settings
from rederive.status import look
from schemas.domain import Domain
from schemas.errors import Away, Failed
from sinks.applier import passes

_PAUSE_SECONDS = 0.1
_SHARE = 4
"""So many times what a look took is waited before the next one."""


def wait(settings: Settings, domain: Domain, awaited: Awaited, timeout: float) -> Answer:
    """The answer, in so many seconds at most. What is away is waited for, nothing is started.

    UsageError and Failed when the words mean nothing, or only a person can mend what hinders.
    """
    began = time.monotonic()
    away: Failed | None = None
    with closing(_Eye(settings)) as eye:
        while True:
            looked = time.monotonic()
            try:
                if answer := eye.look(awaited):
                    return replace(answer, seconds=time.monotonic() - began)
                away = None
            except _PassesError as error:
                away = error.failed
            left = began + timeout - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, max(_PAUSE_SECONDS, _SHARE * (time.monotonic() - looked))))
    late = awaited.late()
    why, mend = late.why, late.mend
    if away is not None:
        why, mend = f"{why}; {away.what}" + (f": {away.why}" if away.why else ""), away.mend
    elif not mend:
        wrong = [one for one in look(settings).troubles if one.domain in ("", domain.name)]
        why = "; ".join([why, *(one.what for one in wrong[:1])])
        mend = wrong[0].mend if wrong else "`rederive status --watch` shows whether it gets on"
    what = f"{late.what} after {timeout:g} s"
    return replace(late, what=what, why=why, mend=mend, seconds=time.monotonic() - began)


class _PassesError(Exception):
    """What hinders a look passes by itself, perhaps."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(str(failed))
        self.failed = failed


@dataclass(slots=True)
class _Eye:
    """Looks with one connection and one set of Kafka's clients, made again when they are gone or services moved."""

    settings: Settings
    _connection: Kept[Connection] = field(init=False)
    _groups: Kept[Groups] = field(init=False)

    def __post_init__(self) -> None:
        self._connection = Kept(lambda url: connect(url, application="rederive wait"))
        self._groups = Kept(
            lambda bootstrap: Groups(self.settings.model_copy(update={"kafka_bootstrap": bootstrap}).kafka_config())
        )

    def close(self) -> None:
        """Let go of both."""
        self._connection.close()
        self._groups.close()

    def look(self, awaited: Awaited) -> Answer | None:
        """The answer, if there is one yet; _PassesError when a service is away."""
        bootstrap, url = running(self.settings)
        if url is None:
            why = "none is named and no embedded one runs"
            raise _PassesError(Failed("there is no database", why=why, mend="`rederive local start`"))
        try:
            connection = self._connection.at(url)
            if connection is None or connection.closed or connection.broken:
                self._connection.close()
                connection = self._connection.at(url)
        except NewerError:
            raise
        except Failed as error:
            raise _PassesError(error) from error
        assert connection is not None
        groups = self._groups.at(bootstrap)
        try:
            with explained("the wait"):
                try:
                    return awaited.look(connection, groups)
                except Away as error:
                    raise _PassesError(error) from error
        except Failed as error:
            if isinstance(error.__cause__, psycopg.Error) and passes(error.__cause__):
                raise _PassesError(error) from error
            raise
