"""Every domain, by name: the one line a new domain adds here; its name stands in schemas/lane.py."""

from schemas.betfair.tables import BETFAIR
from schemas.finra.tables import FINRA
from schemas.racing.tables import RACING
from schemas.table import Domain

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in (BETFAIR, RACING, FINRA)}
