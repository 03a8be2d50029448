"""Findings: what a check has seen, whether that is well, and what mends it; checks, each with a deadline."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic

import psycopg
from confluent_kafka import KafkaException

from rederive.database import failure
from schemas.errors import RederiveError


class Verdict(StrEnum):
    """OK is well, NOTE may be meant so, WRONG needs a person, UNKNOWN could not be looked at."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was seen, and what follows from it; `why` and `mend` are empty where all is well."""

    check: str
    value: str
    verdict: Verdict = Verdict.OK
    why: str = ""
    mend: str = ""

    @property
    def well(self) -> bool:
        """Whether it needs nobody."""
        return self.verdict in (Verdict.OK, Verdict.NOTE)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at. With `unless`, a reason, it isn't begun, and unknown."""

    name: str
    look: Callable[[], Iterable[Finding]]
    unless: str = ""


@dataclass(slots=True)
class _Looking:
    check: Check
    findings: list[Finding] = field(default_factory=list)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        # One that hangs must not keep the program from ending.
        self.thread = threading.Thread(target=self._run, daemon=True, name=f"check {self.check.name}")
        self.thread.start()

    def _run(self) -> None:
        name = self.check.name
        if self.check.unless:
            self.findings = [Finding(name, "not looked at", Verdict.UNKNOWN, self.check.unless)]
            return
        found: list[Finding] = []
        try:
            found += self.check.look()
        except RederiveError as error:
            found.append(Finding(name, error.what, Verdict.WRONG, error.why, error.mend))
        except psycopg.Error as error:
            said = failure(error, f"the check of {name}")
            found.append(Finding(name, said.what, Verdict.WRONG, said.why, said.mend))
        except KafkaException as error:
            found.append(Finding(name, "Kafka refuses", Verdict.WRONG, error.args[0].str(), _RIGHTS))
        except Exception as error:
            # The others go on.
            found.append(Finding(name, f"{type(error).__name__}: {error}", Verdict.WRONG, "", "report it"))
        self.findings = found


_RIGHTS = "give this user the right to look at topics, groups and their settings"


def looked(checks: Sequence[Check], seconds: float) -> Iterator[Finding]:
    """What all of them find, in order: they are looked at together, each in so many seconds at most."""
    deadline = monotonic() + seconds
    for looking in [_Looking(check) for check in checks]:
        looking.thread.join(max(0.0, deadline - monotonic()))
        if looking.thread.is_alive():
            name = looking.check.name
            mend = "see whether the service that it asks hangs"
            yield Finding(name, "no answer", Verdict.UNKNOWN, f"not within {seconds:.0f} s", mend)
        else:
            yield from looking.findings
