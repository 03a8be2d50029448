"""A run whose API doesn't answer can be stopped all the same."""

import signal
import time
from datetime import date

import psycopg
import pytest

from rederive.settings import Settings
from samples.racing.api import StandIn
from samples.racing.faults import Fault
from tests.program import rederive, start
from tests.wait import until

DAY = date(2024, 5, 17)
WORDS = ("replay", "racing", "--from", str(DAY), "--to", str(DAY), "--skip-masters")
SOON = 15.0
"""Seconds: what stopping the workers may take, and far less than what the API makes one wait in these tests."""

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("database")]


def test_an_interrupt_does_not_wait_for_an_api_that_hangs(
    settings: Settings, api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACING_API_TIMEOUT", "60")
    api.faults.add(Fault("timeout", path="/results", times=None))
    run = start(settings, *WORDS, forked=True)
    try:
        until(lambda: api.asked(DAY, "/results"), 60, "the backfill does not begin")
        asked = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, stderr = run.communicate(timeout=55)
    finally:
        run.kill()
    assert run.returncode == 130, stderr
    assert "captures resume" in stderr
    assert time.monotonic() - asked < SOON


def test_a_cancelled_run_ends_while_it_waits_for_its_next_try(
    settings: Settings, database: psycopg.Connection, api: StandIn
) -> None:
    api.faults.add(Fault("429", path="/results", times=None, retry_after=600))
    run = start(settings, *WORDS, forked=True)
    try:
        until(lambda: api.asked(DAY, "/results"), 60, "the backfill does not begin")
        (capture,) = [row[0] for row in database.execute("SELECT capture_id FROM rederive.captures")]
        rederive(settings, "captures", "cancel", capture)
        _, stderr = run.communicate(timeout=SOON)
    finally:
        run.kill()
    assert run.returncode == 1, stderr
    assert "is cancelled" in stderr
