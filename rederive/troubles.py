"""Troubles: what is wrong with the lanes now, and what mends it, in a sentence each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rederive import domains
from rederive.groups import Seen
from rederive.pulse import Figures, LanePulse, seconds
from schemas.domain import Domain
from schemas.errors import Failed
from schemas.lane import LaneName
from schemas.words import counted, noun, verb
from store.producers import STALE_SECONDS

_PATIENCE_SECONDS = 60.0
_STILL_SECONDS = 120.0
# A group that has just begun gives its partitions out.
_UNHELD_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, of which domain (empty: of the deployment), and what to do about it.

    `key` is what it is about, the same as long as it lasts, while `what` has figures that change.
    """

    domain: str
    what: str
    mend: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.mend}" if self.mend else self.what

    def describe(self) -> dict[str, str]:
        """As one JSON object."""
        return {"domain": self.domain, "what": self.what, "mend": self.mend}


def of_service(error: Failed) -> Trouble:
    """That a service isn't to be had."""
    why = f" ({error.why})" if error.why else ""
    return Trouble("", f"{error.what}{why}", error.mend, f"service {error.what}")


def of_lane(pulse: LanePulse, running: Sequence[str], now: datetime) -> Iterator[Trouble]:
    """What is wrong with a lane; `running` are its domain's captures that a run is to finish."""
    for seen in (pulse.agents, pulse.sinks):
        late = [
            one
            for one in seen.holders.get(None, [])
            if one.lag > 0 and seconds(seen.sent.get(one.partition), now) > _UNHELD_SECONDS
        ]
        if late and (mend := _who(pulse, running)):
            places = ", ".join(str(one.partition) for one in late)
            waiting = sum(one.lag for one in late)
            yield Trouble(
                pulse.lane.domain,
                f"nobody holds {noun(len(late), 'partition')} {places} of {seen.topic} while "
                f"{counted(waiting, 'record')} {verb(waiting, 'waits', 'wait')}",
                mend,
                f"unheld {seen.topic}",
            )
        moved = pulse.computed if seen is pulse.agents else pulse.merged
        yield from _stuck(pulse, seen, moved, now)


def _stuck(pulse: LanePulse, seen: Seen, moved: datetime | None, now: datetime) -> Iterator[Trouble]:
    waits = seconds(seen.oldest, now)
    held = [member for member, places in seen.holders.items() if member and any(one.lag > 0 for one in places)]
    if not held or waits < _PATIENCE_SECONDS:
        return
    have, wait = verb(len(held), "has", "have"), verb(seen.lag, "waits", "wait")
    what = f"{counted(seen.lag, 'record')} of {seen.topic} {wait}"
    if moved is not None:
        if seconds(moved, now) < _PATIENCE_SECONDS:
            return
        what = f"{have} done nothing for {seconds(moved, now):.0f} s though {what}"
    elif seen is pulse.agents:
        # Where they deliver, nothing has ever stood: then it is known only since when it waits.
        what = f"{have} derived nothing though {what}, the oldest for {waits:.0f} s"
    else:
        return
    yield Trouble(
        pulse.lane.domain,
        f"{', '.join(held)} {what}",
        f"live ends and starts again what hangs, `rederive logs {pulse.lane.domain}-live` says why",
        f"stuck {seen.topic}",
    )


def _who(pulse: LanePulse, running: Sequence[str]) -> str:
    """What makes somebody hold a lane's partitions; empty when nobody needs to: a cancelled run's records may lie."""
    if running:
        return f"`rederive captures resume {running[0]}`"
    return "" if pulse.lane.name is LaneName.REPLAY else f"`rederive live {pulse.lane.domain}`"


def of_producer(domain: Domain, figures: Figures) -> Iterator[Trouble]:
    """What is wrong with who finds what arrives of a domain; nothing where live never was."""
    reached = min(
        (one for one in figures.reached if one.domain == domain.name), key=lambda one: one.moment, default=None
    )
    if not domain.live or reached is None:
        return
    live = f"`rederive live {domain.name}`"
    holder = next((one for one in figures.producers if one.domain == domain.name), None)
    if holder is None:
        at = f"{reached.moment:%Y-%m-%d %H:%M:%S} UTC"
        yield Trouble(domain.name, f"nobody has found what arrives of {domain.name} since {at}", live, "no producer")
    elif holder.silent > STALE_SECONDS:
        yield Trouble(
            domain.name,
            f"the producer of {domain.name} has been silent for {holder.silent:.0f} s ({holder.machine})",
            f"another machine's takes over by itself, without one {live}",
            "silent producer",
        )
    elif holder.still > _STILL_SECONDS:
        yield Trouble(
            domain.name,
            f"the producer of {domain.name} hasn't got on for {holder.still:.0f} s ({holder.machine})",
            f"live ends and starts it again, `rederive logs {domain.name}-live` says why",
            "still producer",
        )


def found(
    lanes: Sequence[LanePulse], figures: Figures | None, running: Mapping[str, Sequence[str]], now: datetime
) -> list[Trouble]:
    """All, of producers and lanes; `running` are captures that runs are to finish, by domain."""
    troubles: list[Trouble] = []
    if figures is not None:
        for domain in domains.usable():
            troubles += of_producer(domain, figures)
    for pulse in lanes:
        troubles += of_lane(pulse, running.get(pulse.lane.domain, ()), now)
    return troubles
