"""Faults that the stand-in Racing API shows on purpose (racing spec, sections 1.1 and 8): which, when and how often."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, get_args

Kind = Literal[
    "401", "403", "404", "422", "429", "500", "503", "timeout", "cut-head", "cut-body", "broken", "html", "list"
]
"""The statuses answer with that status. `timeout` holds the answer until the client or the server ends the connection,
`cut-head` closes it before any answer, `cut-body` in the middle of one. With status 200 come `broken` (the first half
of the JSON), `html` (a page) and `list` (a list in place of an object, an object in place of a list)."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule: matching requests fail in one way, `times` times or, with None, always.

    `path` is the start of the path after the base URL, like `/results`; `date` is a day that the request asks for,
    YYYY-MM-DD; None matches all. `retry_after` is in seconds, for 429 and 503.
    """

    kind: Kind
    path: str | None = None
    date: str | None = None
    times: int | None = 1
    retry_after: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of fault, those are {', '.join(KINDS)}")
        if self.date is not None:
            date.fromisoformat(self.date)

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """A fault from `429`, `timeout`, or with seconds of Retry-After `429:3`; ValueError for any other text."""
        kind, colon, seconds = text.partition(":")
        if colon and not (seconds.isascii() and seconds.isdigit()):
            raise ValueError(f"{text!r} has no whole number of seconds after the colon")
        return cls(kind, retry_after=int(seconds) if seconds else None)  # type: ignore[arg-type]

    def matches(self, path: str, start: str, end: str) -> bool:
        """Whether a request for a path and days is meant; both days are empty when it asks for none."""
        if self.path is not None and not path.startswith(self.path):
            return False
        return self.date is None or (bool(start) and start <= self.date <= end)


@dataclass(slots=True)
class _Rule:
    fault: Fault
    left: int | None


@dataclass(slots=True)
class Faults:
    """The rules in force, from any thread. With `every`, each n-th request fails with the next of `cycle` as well."""

    every: int = 0
    cycle: Sequence[Fault] = ()
    fired: list[tuple[Fault, str]] = field(default_factory=list)
    """The faults shown so far, with the path and query that each hit."""

    _rules: list[_Rule] = field(default_factory=list)
    _requests: int = 0
    _turns: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *faults: Fault) -> None:
        """More rules; of several that match a request the first one added fires."""
        with self._lock:
            self._rules += [_Rule(fault, fault.times) for fault in faults]

    def clear(self) -> None:
        """No faults any more, neither by rule nor by turn; `fired` stays."""
        with self._lock:
            self._rules.clear()
            self.every = 0

    def next(self, path: str, start: str, end: str, target: str) -> Fault | None:
        """The fault of a request that is being answered, counted as shown; None for an honest answer."""
        with self._lock:
            self._requests += 1
            fault = self._by_rule(path, start, end) or self._by_turn()
            if fault is not None:
                self.fired.append((fault, target))
            return fault

    def _by_rule(self, path: str, start: str, end: str) -> Fault | None:
        for rule in self._rules:
            if rule.left != 0 and rule.fault.matches(path, start, end):
                if rule.left is not None:
                    rule.left -= 1
                return rule.fault
        return None

    def _by_turn(self) -> Fault | None:
        if not self.every or not self.cycle or self._requests % self.every:
            return None
        self._turns += 1
        return self.cycle[(self._turns - 1) % len(self.cycle)]
