"""`rederive worker`: one agent or one sink; replays start these themselves, more machines may run more of them."""

from typing import TYPE_CHECKING, Literal

import cyclopts

from rederive.cli.running import DomainName

if TYPE_CHECKING:
    from rederive.worker import Work

worker = cyclopts.App(name="worker", help="One agent or sink process of a lane (replays start their own).")

LaneChoice = Literal["replay", "log", "detail"]


@worker.command
def agent(*, domain: DomainName, lane: LaneChoice = "replay", member: str) -> int:
    """Read raw records, compute, send outcomes, until SIGTERM or Ctrl+C.

    Parameters
    ----------
    domain
        Whose records.
    lane
        Which lane's topics.
    member
        Static id within the consumer group, unique among all running agents.

    """
    from rederive.stopping import Stop

    stop = Stop(with_parent=False)
    from rederive.worker import run

    return run("agent", _work(domain, lane, member), stop)


@worker.command
def sink(*, domain: DomainName, lane: LaneChoice = "replay", member: str) -> int:
    """Read outcomes, merge them into Postgres, until SIGTERM or Ctrl+C.

    Parameters
    ----------
    domain
        Whose outcomes.
    lane
        Which lane's topics.
    member
        Static id within the consumer group, unique among all running sinks.

    """
    from rederive.stopping import Stop

    stop = Stop(with_parent=False)
    from rederive.worker import run

    return run("sink", _work(domain, lane, member), stop)


def _work(domain: str, lane: LaneChoice, member: str) -> "Work":
    from rederive.endpoints import resolve
    from rederive.settings import Settings
    from rederive.worker import Work
    from schemas.errors import UsageError

    if not member.strip():
        raise UsageError(
            "--member is empty", why="a member's name tells it from others", mend="say one, such as rack2-0"
        )
    settings = Settings()
    return Work.of(settings.at(resolve(settings)), domain, lane, member)
