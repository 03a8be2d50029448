"""What paths are made of, a domain's own too (`Domain.routes`): a router, reads, parameters that everybody shares.

    router = Router()

    @router.get("/tolls/{bridge}")
    def tolls(bridge: Key, reads: Reading, limit: Limit = 100) -> list[Toll]:
        with reads.connection("the tolls") as connection:
            ...

Parameters are checked before anything is read: reads are a pool, whose sessions a path takes when it comes to them.
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, BeforeValidator

from rederive.http.cache import Cache
from rederive.http.problems import Unknown
from rederive.http.reads import Reads

__all__ = [
    "BaseModel", "Day", "Key", "Limit", "Moment", "Path", "Query", "Reading", "Request", "Response", "Router", "Text",
    "Unknown", "cache_of", "reads_of",
]  # fmt: skip

_LOST_PLUS = re.compile(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)$")


class Router(APIRouter):
    """Paths of one part of the API; all of them read."""


def reads_of(request: Request) -> Reads:
    """The sessions of the application that a request came to."""
    found: Reads = request.app.state.reads
    return found


def cache_of(request: Request, name: str, fresh: float, stale: float) -> Cache[Any]:
    """The values that an application keeps under a name, for so many seconds (rederive.http.cache)."""
    kept: dict[str, Cache[Any]] = request.app.state.kept
    found = kept.get(name)
    return found if found is not None else kept.setdefault(name, Cache(fresh, stale))


Reading = Annotated[Reads, Depends(reads_of)]
"""Sessions to read with."""


def _said_in_url(value: Any) -> Any:  # noqa: ANN401 - whatever the parameter holds
    # A + that nobody has escaped comes as a blank.
    return _LOST_PLUS.sub(r"\1+\2", value) if isinstance(value, str) else value


def _in_utc(value: Any) -> Any:  # noqa: ANN401
    text = _said_in_url(value)
    if not isinstance(text, str):
        return text
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC it is outside the years 1 to 9999") from None
    except ValueError:
        raise ValueError("write an ISO 8601 time such as 2026-02-14T17:00:00Z") from None


def _a_day(value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("write a day such as 2026-02-14") from None


def _no_zero(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str) and "\0" in value:
        raise ValueError("no text holds a zero byte")
    return value


Moment = Annotated[datetime, BeforeValidator(_in_utc)]
"""A time; without an offset it is UTC."""

Day = Annotated[date, BeforeValidator(_a_day)]
"""A UTC day."""

Text = Annotated[str, BeforeValidator(_no_zero), Query(max_length=200)]
"""A few words."""

Key = Annotated[str, BeforeValidator(_no_zero), Path(min_length=1, max_length=500)]
"""A part of a path that names something stored."""

Limit = Annotated[int, Query(ge=1, le=500, description="At most so many.")]
"""How many are wanted: 1 to 500; a number out of range is refused, not bent."""
