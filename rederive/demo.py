"""The demo: the main job on real input, with everything embedded and fresh, as the commands a person would type."""

import os
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.markup import escape

from rederive import domains, local
from rederive.__main__ import BROKEN_PIPE, INTERRUPTED
from rederive.cli.output import stderr, stdout
from rederive.database import connect
from rederive.settings import PREFIX, Settings
from schemas.domain import load
from schemas.errors import Failed
from store import captures

RunCommand = Callable[[list[str]], int]


class Type(Protocol):
    """What types a command."""

    def __call__(self, *words: str, quiet: bool = False, code: int = 0) -> None:
        """Show a command as it would be typed and run it; the first of `words` may be several, a path is one.

        Failed when it ends with another exit code.
        """


@dataclass(frozen=True, slots=True)
class Show:
    """What a domain's part of the demo works with: a folder, the database's address, what says and types lines."""

    home: Path
    database_url: str
    say: Callable[[str], None]
    type: Type

    def nothing_updated(self) -> None:
        """Failed when the last replay changed a row."""
        with connect(self.database_url, application="rederive demo") as connection:
            (last,) = captures.listed(connection, limit=1)
        if last.updated:
            why = f"the same again updated {last.updated} rows"
            raise Failed("the demo's replay was not the last word", why=why)


@dataclass(slots=True)
class Demo:
    """One run of the demo; `run_command` runs a command line and returns its exit code.

    With `open_page` its pages are shown afterwards, and everything stays until they are ended.
    """

    home: Path
    run_command: RunCommand
    open_page: bool = False

    def __call__(self) -> int:
        """Do everything; 0 when each domain's part went as it should. Stops what it started."""
        started = time.monotonic()
        settings = Settings(home=self.home, kafka_bootstrap=None, database_url=None)
        local.stop(settings)
        shutil.rmtree(self.home, ignore_errors=True)
        try:
            self._say("fresh Kafka and Postgres (the first time they are downloaded)")
            endpoints = local.start(settings)
            # The commands below must work on these services, whatever the environment or rederive.toml names.
            own = {"HOME": self.home, "KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap}
            own |= {"DATABASE_URL": endpoints.database_url, "TOPIC_PREFIX": "demo."}
            os.environ.update({PREFIX + name: str(value) for name, value in own.items()})
            self._type("local start")
            self._type("migrate")
            show = Show(self.home, endpoints.database_url, self._say, self._type)
            for domain in domains.usable():
                if domain.demo:
                    load(domain.demo)(show)
            if self.open_page:
                self._say(f"done in {time.monotonic() - started:.0f} s; what was done, on pages")
                self._type(f"dashboard --actions --open --port {_free(Settings())}")
        finally:
            local.stop(settings)
        if not self.open_page:
            stdout.print(f"\n[bold]done in {time.monotonic() - started:.0f} s[/]; both services are stopped")
        return 0

    def _say(self, text: str) -> None:
        stdout.print(f"\n[bold]# {text}[/]")

    def _type(self, *words: str, quiet: bool = False, code: int = 0) -> None:
        """As `Type` says."""
        first, *rest = words
        line = f"{first} {shlex.join(rest)}".strip()
        if not quiet:
            stdout.print(f"\n[dim]$ rederive {escape(line)}[/]")
        sys.stdout.flush()
        ended = self.run_command([*first.split(" "), *rest])
        stderr.file.flush()
        if ended in (INTERRUPTED, BROKEN_PIPE):
            # The command has said what there is to say.
            raise SystemExit(ended)
        if ended != code:
            raise Failed(f"`rederive {line}` ended with {ended}", mend="see its message above")


def _free(settings: Settings) -> int:
    """The port of the dashboard, another one when somebody listens there."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((settings.dashboard_host, settings.dashboard_port))
        except OSError:
            return 0
    return settings.dashboard_port
