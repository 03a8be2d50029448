"""Racing's part of the demo: race days from a stand-in of the API, derived again without it."""

import os
from datetime import date

from rederive.demo import Show
from samples.racing.api import PASSWORD, USER, StandIn
from samples.racing.faults import Fault

_DAYS = "--from 2024-05-17 --to 2024-05-19"
_TODAY = date(2024, 6, 1)


def demo(show: Show) -> None:
    """Fetch three days, some requests of which fail. Failed when deriving them again changes a row."""
    show.say("three race days from a stand-in of The Racing API, which fails now and then on purpose")
    with StandIn(today=_TODAY) as api:
        api.faults.add(
            Fault("429", path="/results", date="2024-05-17", retry_after=1),
            Fault("cut-body", path="/racecards", date="2024-05-18"),
            Fault("500", path="/results", date="2024-05-19"),
        )
        os.environ.update(RACING_API_BASE_URL=api.base_url, RACING_API_USERNAME=USER, RACING_API_PASSWORD=PASSWORD)
        show.type(f"replay racing {_DAYS} --check-status")
        show.type(f"replay racing {_DAYS}")
        show.say(f"{len(api.requests)} requests, {len(api.faults.fired)} of them failed on purpose")
    show.type("report racing-verify")
    show.say("the days are kept: derived again with the API switched off, nothing changes")
    show.type("replay-topic racing --reason demo --json")
    show.type(f"gaps racing {_DAYS}")
    show.nothing_updated()
