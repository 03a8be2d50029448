"""What follows a capture's last unit, before it counts as complete: a domain's steps, and the checks of its rows."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg

from rederive.finra.validation import validate
from schemas.capture import Capture
from schemas.registry import DOMAINS
from sinks.steps import run_steps

log = logging.getLogger(__name__)

CHECKS: dict[str, Callable[[psycopg.Connection, str], list[Any]]] = {"finra": validate}
"""By domain: check what a capture has stored, and keep the results."""


def follow(connection: psycopg.Connection, capture: Capture) -> None:
    """Run both; may be done again at any time."""
    if capture.dry_run:
        return
    run_steps(connection, DOMAINS[capture.domain])
    if checks := CHECKS.get(capture.domain):
        found = Counter(check.status for check in checks(connection, capture.capture_id))
        log.info("checks: %s", ", ".join(f"{count} {status}" for status, count in sorted(found.items())) or "none")
