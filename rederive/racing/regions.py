"""Region codes, checked against The Racing API's own list before anything is asked for by them."""

import logging
import threading
from collections.abc import Collection

import orjson

from producers.racing_api import RacingApi
from producers.racing_fetch import Connect
from producers.racing_settings import RacingSettings
from producers.rate_limit import RateLimit
from schemas.errors import Failed, UsageError

log = logging.getLogger(__name__)

_KNOWN = frozenset({"gb", "ire"})
"""Those that the API has for certain (racing spec, section 5): for them it isn't asked."""


def check_regions(codes: Collection[str], connect: Connect) -> None:
    """UsageError for codes that the API doesn't have. If it can't be asked, that is said and nothing is refused."""
    if not set(codes) - _KNOWN:
        return
    settings = RacingSettings().model_copy(update={"max_retries": 0})
    limit = RateLimit(connect, settings.limit_name())
    try:
        with RacingApi(settings, limit, stopping=threading.Event()) as api:
            listed = {
                str(one["region_code"]).lower(): str(one.get("region"))
                for one in orjson.loads(api.regions())
                if isinstance(one, dict) and one.get("region_code")
            }
    except Failed as error:
        log.warning("the regions %s can't be checked, going on: %s", ", ".join(codes), error)
        return
    finally:
        limit.close()
    if unknown := sorted(set(codes) - listed.keys() - _KNOWN):
        valid = ", ".join(f"{code} ({name})" for code, name in sorted(listed.items()))
        raise UsageError(
            f"--regions: unknown {', '.join(unknown)}", why="The Racing API has no such region", mend=f"it has {valid}"
        )
