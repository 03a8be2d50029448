"""Logs of runs, as they come."""

import os
from datetime import UTC, datetime

from fastapi import Request

from rederive.http.pages.rendering import HTML, page
from rederive.http.routing import Key, Router, Unknown
from rederive.logs import folder, run_log

router = Router(prefix="/logs", include_in_schema=False, default_response_class=HTML)

_LISTED = 100
_SHOWN_BYTES = 128 * 1024


@router.get("")
def every_log(request: Request) -> HTML:
    """The logs there are, those written last first."""
    home = request.app.state.settings.home
    found = [(path.stem, path.stat()) for path in folder(home).glob("*.log")]
    found.sort(key=lambda one: one[1].st_mtime, reverse=True)
    logs = [(name, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC)) for name, stat in found[:_LISTED]]
    return page(request, "logs.html", logs=logs)


@router.get("/{capture}")
def one_log(request: Request, capture: Key) -> HTML:
    """The end of a run's log; more of it as it is written."""
    path = run_log(request.app.state.settings.home, capture)
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - _SHOWN_BYTES)
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        raise Unknown(
            f"there is no log of {capture}",
            why="it has not been run from here, or its log has been removed",
            mend="/logs lists those that there are",
        ) from None
    # A cut line says nothing.
    text = text.partition("\n")[2] if start else text
    return page(request, "log.html", capture=capture, text=text, left_out=start, size=size, file=str(path))
