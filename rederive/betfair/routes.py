"""Betfair's paths of the HTTP API (betfair spec, sections 9 and 10)."""

from rederive.betfair import debug_routes, event_routes, league_routes, stream_routes
from rederive.http.routing import Router

router = Router()
for _part in (league_routes, event_routes, debug_routes, stream_routes):
    router.include_router(_part.router)
