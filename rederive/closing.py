"""What follows a capture's last unit, before it counts as complete: a domain's steps, and the checks of its rows."""

import logging

import psycopg

from rederive import domains
from schemas.capture import Capture
from schemas.domain import load
from sinks.steps import run_steps

log = logging.getLogger(__name__)


def close(connection: psycopg.Connection, capture: Capture) -> None:
    """Run both, where rows were written; may be done again at any time."""
    if capture.dry_run:
        return
    domain = domains.find(capture.domain)
    run_steps(connection, domain)
    if domain.checks:
        found = load(domain.checks)(connection, capture.capture_id)
        said = ", ".join(f"{count} {status}" for status, count in found.items() if count) or "none"
        if failed := found.get("FAIL", 0):
            said += f" (`rederive report quality --capture {capture.capture_id}` lists them)"
        log.log(logging.WARNING if failed else logging.INFO, "checks: %s", said)
