"""Commands that pages run: each as a person would type it, in a process of its own that outlives the server."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from fastapi import Request
from fastapi.responses import RedirectResponse

from rederive import safe_path
from rederive.http.pages.access import MayAct, MayPreview
from rederive.http.pages.rendering import HTML, page
from rederive.http.pages.wording import command
from rederive.http.routing import Router, Unknown
from rederive.settings import PREFIX, Settings
from schemas.errors import Away, Failed

router = Router(prefix="/jobs", include_in_schema=False, default_response_class=HTML)

MOST_AT_ONCE = 8
_KEPT = 100
_SHOWN_BYTES = 64 * 1024
_CAPTURE = re.compile(rb"\] capture (\S+): |^(\S+-\d{8}-\d+) is being run", re.MULTILINE)


@dataclass(slots=True)
class Job:
    """A command that was begun here; with `into` its output is what that one reads. `code` is None while it runs."""

    number: int
    words: tuple[str, ...]
    into: tuple[str, ...]
    about: str
    output: Path
    processes: list[subprocess.Popen[bytes]]
    began: datetime
    ended: datetime | None = None
    code: int | None = None

    @property
    def line(self) -> str:
        """The command line."""
        return " | ".join(command(words) for words in (self.words, self.into) if words)

    @property
    def text(self) -> str:
        """The end of what it has printed; empty once somebody has cleared it away."""
        with suppress(FileNotFoundError), self.output.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _SHOWN_BYTES))
            return file.read().decode("utf-8", "replace")
        return ""

    @property
    def capture(self) -> str:
        """The capture that it has said it makes, or else the one that it was told; empty when there is none."""
        with suppress(FileNotFoundError), self.output.open("rb") as file:
            if found := _CAPTURE.search(file.read(_SHOWN_BYTES)):
                return (found[1] or found[2]).decode()
        return self.words[2] if self.words[0] == "captures" and len(self.words) > 2 else ""


@dataclass(slots=True)
class Jobs:
    """The commands that an application has begun; they go on when it ends."""

    settings: Settings
    _jobs: dict[int, Job] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, words: Sequence[str], about: str, into: Sequence[str] = ()) -> Job:
        """Begin a command, whose output another one reads where `into` names it. Away while too many run."""
        with self._lock:
            if sum(one.code is None for one in self._jobs.values()) >= MOST_AT_ONCE:
                raise Away("too many commands run", why=f"{MOST_AT_ONCE} at a time", mend="wait until one has ended")
            number = next(self._numbers)
            began = datetime.now(UTC)
            folder = self.settings.home / "commands"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            output = folder / f"{began:%Y%m%d-%H%M%S}-{os.getpid()}-{number}.txt"
            with output.open("xb") as out:
                processes = self._started(words, into, out)
            job = Job(number, tuple(words), tuple(into), about, output, processes, began)
            self._jobs[number] = job
            ended = [number for number, one in self._jobs.items() if one.code is not None]
            for old in ended[: max(0, len(self._jobs) - _KEPT)]:
                self._jobs.pop(old)
        threading.Thread(target=self._wait, args=(job,), daemon=True).start()
        return job

    def find(self, number: int) -> Job:
        """The command of that number. Unknown when there is none."""
        if (found := self._jobs.get(number)) is None:
            raise Unknown(f"there is no command {number}", mend="/jobs lists those that this server has begun")
        return found

    def listed(self) -> list[Job]:
        """All, the newest first."""
        return list(self._jobs.values())[::-1]

    def _started(self, words: Sequence[str], into: Sequence[str], out: IO[bytes]) -> list[subprocess.Popen[bytes]]:
        if not into:
            return [self._process(words, None, out, out)]
        first = self._process(words, None, subprocess.PIPE, out)
        assert first.stdout is not None
        with first.stdout:
            return [first, self._process(into, first.stdout, out, out)]

    def _process(
        self, words: Sequence[str], stdin: IO[bytes] | None, stdout: IO[bytes] | int, stderr: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "rederive", *words],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment(self.settings),
            start_new_session=True,
        )

    @staticmethod
    def _wait(job: Job) -> None:
        codes = [process.wait() for process in job.processes]
        job.ended = datetime.now(UTC)
        job.code = max(codes, key=abs)


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a command has the settings of this server."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**inherited, **safe_path.environment(), **settings.environment()}


def jobs_of(request: Request) -> Jobs:
    """Those of the application that a request came to."""
    found: Jobs = request.app.state.jobs
    return found


def began(job: Job) -> RedirectResponse:
    """To where it is watched."""
    return RedirectResponse(f"/jobs/{job.number}", 303)


@router.get("", dependencies=[MayPreview])
def list_jobs(request: Request) -> HTML:
    """What was begun, the newest first."""
    return page(request, "jobs.html", jobs=jobs_of(request).listed())


@router.get("/{number}", dependencies=[MayPreview])
def one_job(request: Request, number: int) -> HTML:
    """A command: its line, what it says, how it ended."""
    return page(request, "job.html", job=jobs_of(request).find(number))


@router.post("/{number}/stop", dependencies=[MayAct])
def stop(request: Request, number: int) -> RedirectResponse:
    """Ctrl+C for a command that runs."""
    job = jobs_of(request).find(number)
    if job.code is not None:
        raise Failed(f"command {number} has ended already")
    for process in job.processes:
        process.send_signal(signal.SIGINT)
    return began(job)
