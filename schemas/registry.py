"""Every domain, by name: the one line a new domain adds here; its name stands in schemas/lane.py."""

from schemas.betfair import BETFAIR
from schemas.finra import FINRA
from schemas.racing import RACING
from schemas.table import Domain

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in (BETFAIR, RACING, FINRA)}
