"""Every domain, by name: the one line a new domain adds here."""

from schemas.betfair import BETFAIR
from schemas.table import Domain

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in (BETFAIR,)}
