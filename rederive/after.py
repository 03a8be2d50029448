"""What follows a capture's last unit, before it counts as complete: a domain's steps, and the checks of its rows."""

import logging
from collections.abc import Callable, Mapping

import psycopg

from rederive.finra.quality import checked
from schemas.capture import Capture
from schemas.registry import DOMAINS
from sinks.steps import run_steps

log = logging.getLogger(__name__)

CHECKS: dict[str, Callable[[psycopg.Connection, str], Mapping[str, int]]] = {"finra": checked}
"""By domain: check what a capture has stored, keep the results, and count all of the capture's by status."""


def follow(connection: psycopg.Connection, capture: Capture) -> None:
    """Run both; may be done again at any time."""
    if capture.dry_run:
        return
    run_steps(connection, DOMAINS[capture.domain])
    if checks := CHECKS.get(capture.domain):
        found = checks(connection, capture.capture_id)
        said = ", ".join(f"{count} {status}" for status, count in found.items() if count) or "none"
        if found["FAIL"]:
            said += f" (`rederive report quality --capture {capture.capture_id}` lists them)"
        log.log(logging.WARNING if found["FAIL"] else logging.INFO, "checks: %s", said)
