"""A live producer's process: it stands by until it is its turn, then finds and delivers what arrives."""

import logging
import os
import socket
import threading
import time
from contextlib import closing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from producers.live import Arriving, Live
from producers.source import Services
from rederive.database import check_version, first_line, session
from schemas.domain import Domain, load
from schemas.measures import Measures
from store import producers as stored

if TYPE_CHECKING:
    from rederive.stopping import Stop
    from rederive.worker import Work

log = logging.getLogger("rederive.producer")

_TURN_SECONDS = 1.0
_WORD_SECONDS = 1.0
# A machine that is gone is found out by the server, whose end of the connection asks for it.
_KEEPALIVE = (
    "SET tcp_keepalives_idle = 2; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3; "
    "SET tcp_user_timeout = 5000"
)


def produce(work: "Work", domain: Domain, stop: "Stop", measures: Measures) -> None:
    """Produce until asked to stop.

    psycopg.OperationalError and Away when a service is gone: whoever started it starts it again.
    """
    with _connected(work) as connection:
        # Who stands by has nothing to do.
        measures.begun()
        if not _its_turn(connection, domain, stop):
            return
        measures.begun(lambda: 1)
        machine = f"{socket.gethostname()} {work.member}"
        stored.begin(connection, domain.name, machine, os.getpid())
        log.info("this process finds what arrives of %s", domain.name)
        with _Pulse(work, domain.name, measures) as pulse:
            services = Services(connection, partial(_connected, work), work.kafka, work.prefix)
            from_now = datetime.fromisoformat(work.from_now) if work.from_now else None
            arriving = Arriving(stop, from_now, pulse.moving, pulse.sent)
            with closing(load(domain.live)(domain, services, arriving)) as live:
                _follow(live, pulse, stop, measures)
        stored.end(connection, domain.name, os.getpid())


def _follow(live: Live, pulse: "_Pulse", stop: "Stop", measures: Measures) -> None:
    while not stop.is_set():
        begun = time.monotonic()
        pause = live.step()
        pulse.moving()
        if sent := pulse.taken():
            measures.batch("sent", time.monotonic() - begun, units=sent)
        while pause > 0 and not stop.is_set():
            stop.wait(min(pause, _WORD_SECONDS))
            pause -= _WORD_SECONDS
            pulse.moving()


def _its_turn(connection: psycopg.Connection, domain: Domain, stop: "Stop") -> bool:
    """Stand by until no other process produces for the domain; False when asked to stop before."""
    said = False
    while not stored.hold(connection, domain.name):
        if not said:
            other = stored.holder(connection, domain.name)
            log.info("%s is found by another process (%s); this one stands by", domain.name, other and other.machine)
            said = True
        if stored.depose(connection, domain.name):
            log.warning("the producer of %s is silent: this process takes over", domain.name)
        elif stop.wait(_TURN_SECONDS):
            return False
    return True


def _connected(work: "Work") -> psycopg.Connection:
    connection = session(work.database_url, f"rederive producer {work.domain}")
    try:
        check_version(connection)
        connection.execute(_KEEPALIVE)
    except BaseException:
        connection.close()
        raise
    return connection


class _Pulse:
    """Says every second, over a connection of its own, that the process lives, and how long it hasn't got on."""

    def __init__(self, work: "Work", domain: str, measures: Measures) -> None:
        self._work, self._domain, self._measures = work, domain, measures
        self._moved: float | None = None
        self._sent = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._speak, name="pulse", daemon=True)

    def __enter__(self) -> "_Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def moving(self) -> None:
        """It gets on."""
        self._moved = time.monotonic()
        self._measures.moving()

    def sent(self, count: int) -> None:
        """So many records were delivered."""
        self._sent += count

    def taken(self) -> int:
        """How many were since it was asked last."""
        sent, self._sent = self._sent, 0
        return sent

    def _speak(self) -> None:
        connection: psycopg.Connection | None = None
        while not self._over.wait(_WORD_SECONDS):
            try:
                if connection is None or connection.closed:
                    connection = _connected(self._work)
                # Until it has begun it may take long: an index is made, for instance.
                still = 0.0 if self._moved is None else time.monotonic() - self._moved
                stored.speak(connection, self._domain, os.getpid(), still)
            except psycopg.Error as error:
                log.info("the database doesn't hear that this process lives: %s", first_line(error))
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()
