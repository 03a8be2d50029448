"""The examples of the documentation are what they say: a unit for systemd, a service for compose."""

import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from rederive import live
from rederive.cli.app import app
from rederive.cli.root import load_commands
from rederive.workers import _KILL_SECONDS
from tests.program import ROOT

UNIT = ROOT / "docs/examples/rederive-live.service"
COMPOSE = (ROOT / "docker-compose.yml").read_text()
STOPS_WITHIN = _KILL_SECONDS + live._DRAIN_SECONDS + _KILL_SECONDS
"""Seconds until a domain is stopped, whatever is away: what finds, what is on its way, who computes and writes."""


@pytest.fixture(scope="module")
def unit() -> ConfigParser:
    read = ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(UNIT)
    return read


def test_the_unit_starts_live(unit: ConfigParser) -> None:
    load_commands()
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "rederive"
    assert words[0] == "live"
    app.parse_args(words, exit_on_error=False, print_error=False)


def test_the_unit_lets_live_stop_in_order(unit: ConfigParser) -> None:
    service = unit["Service"]
    # Signalled at once, agents and sinks would be gone before what was found has arrived.
    assert service["KillMode"] == "mixed"
    assert service["KillSignal"] == "SIGTERM"
    assert int(service["TimeoutStopSec"]) > STOPS_WITHIN
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["EnvironmentFile"]
    # Members' ids and locks are kept where it may write.
    home = re.search(r"^Environment=REDERIVE_HOME=(.+)$", UNIT.read_text(), re.MULTILINE)
    assert home is not None
    assert home[1] == f"/var/lib/{service['StateDirectory']}"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_reads_the_unit(unit: ConfigParser, tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    # The program isn't installed where the example has it.
    copy.write_text(UNIT.read_text().replace(shlex.split(unit["Service"]["ExecStart"])[0], "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compose_lets_live_stop_in_order() -> None:
    service = re.search(r"^  live:\n((?:    .*\n)+)", COMPOSE, re.MULTILINE)
    assert service is not None
    said = dict(re.findall(r"^    (\w+): (.+)$", service[1], re.MULTILINE))
    assert said["command"] == '["live", "betfair"]'
    assert said["profiles"] == "[live]"
    assert said["restart"] == "unless-stopped"
    assert int(said["stop_grace_period"].removesuffix("s")) > STOPS_WITHIN
    assert said["environment"] == "*settings"
    assert "environment: &settings\n" in COMPOSE
