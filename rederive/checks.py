"""A check: something that must hold, and what is wrong with it."""

from dataclasses import dataclass, field
from typing import Any

from sinks.policy import LISTED


@dataclass(slots=True)
class Check:
    """One of the things that must hold: what was looked at, what is wrong with it, how to mend it.

    `faults` are the first of `wrong`. `apart` are sentences about what is no fault.
    """

    name: str
    looked_at: str = ""
    wrong: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    mends: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def blame(self, mend: str, count: int = 1, **fault: object) -> None:
        """Take a fault in, which counts as so many, with what mends it."""
        self.wrong += count
        if len(self.faults) < LISTED:
            self.faults.append(fault)
        if mend not in self.mends:
            self.mends.append(mend)

    def describe(self) -> dict[str, Any]:
        """As one JSON object."""
        names = ("name", "ok", "looked_at", "wrong", "faults", "apart", "mends")
        return {name: getattr(self, name) for name in names}
