"""`rederive dashboard` as a person starts it: a process of its own."""

import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rederive.settings import Settings
from tests.program import rederive, start
from tests.wait import until


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return Settings(home=tmp_path / "home", dashboard_port=port)


@pytest.fixture
def server(alone: Settings) -> Iterator[subprocess.Popen[str]]:
    with start(alone, "dashboard") as process:
        until(lambda: _asked(alone.dashboard_port) or process.poll() is not None, 60, "nobody listens")
        yield process
        process.kill()


def _asked(port: int) -> object:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 130), (signal.SIGINT, 130)])
def test_it_answers_until_it_is_told_to_stop_and_ends_at_once(
    alone: Settings, server: subprocess.Popen[str], sign: signal.Signals, code: int
) -> None:
    assert _asked(alone.dashboard_port) == {"status": "ok"}
    # Somebody who keeps a connection open holds nothing up.
    with socket.create_connection(("127.0.0.1", alone.dashboard_port)) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        asked = time.monotonic()
        server.send_signal(sign)
        _, log = server.communicate(timeout=20)
    assert time.monotonic() - asked < 5
    assert server.returncode == code, log
    assert f"listening on http://127.0.0.1:{alone.dashboard_port}" in log
    assert "Traceback" not in log


@pytest.mark.usefixtures("server")
def test_who_asks_for_nothing_shuts_nobody_out(alone: Settings) -> None:
    with ExitStack() as held:
        idle = [
            held.enter_context(socket.create_connection(("127.0.0.1", alone.dashboard_port), timeout=30))
            for _ in range(210)
        ]
        for one in idle[::2]:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        assert {one.recv(1) for one in idle} == {b""}, "each is ended"
        assert _asked(alone.dashboard_port) == {"status": "ok"}


def test_a_port_that_is_taken_is_said(alone: Settings) -> None:
    with socket.create_server(("127.0.0.1", alone.dashboard_port)):
        done = rederive(alone, "dashboard", code=1)
    assert done.stderr.splitlines()[0].endswith(f"port {alone.dashboard_port} of 127.0.0.1 can't be had")
    assert "--port" in done.stderr


def test_an_address_of_another_machine_is_said(alone: Settings) -> None:
    done = rederive(alone, "dashboard", "--host", "192.0.2.1", code=1)
    assert "192.0.2.1" in done.stderr
    rederive(alone, "dashboard", "--port", "65536", code=2)
