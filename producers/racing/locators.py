"""What racing's units read again, besides records of the log."""

import datetime as dt

from schemas.plan import Locator
from schemas.racing.tables import Kind


class Ask(Locator):
    """An answer to ask the API for: a day's racecards or results, the masters, or one horse."""

    fetch: Kind
    date: dt.date | None = None
    regions: tuple[str, ...] = ()
    horse_id: str = ""
