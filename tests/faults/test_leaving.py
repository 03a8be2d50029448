"""A worker that is asked to stop ends: at once before it has begun, in bounded time even when it can't get on."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.program import ROOT

# What never looks whether it is to stop, and whose threads outlive its main one, as those of Kafka's clients may.
_STUCK = """
import sys, threading
from rederive.stopping import Stop
stop = Stop(with_parent=sys.argv[1] == "True", seconds=0.2)
threading.Thread(target=threading.Event().wait).start()
if sys.argv[2] == "begun":
    stop.begin()
print(sys.argv[2], flush=True)
if sys.argv[2] == "joining":
    threading.Event().wait()
"""


@contextmanager
def stuck(how: str, *, with_parent: bool) -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands where it is told to; it doesn't outlive the block."""
    with subprocess.Popen(
        [sys.executable, "-c", _STUCK, str(with_parent), how],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline().decode().strip() == how
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_by_a_signal(number: signal.Signals) -> None:
    with stuck("begun", with_parent=False) as process:
        process.send_signal(number)
        assert process.wait(30) == -signal.SIGALRM
        assert process.stderr is not None
        assert b"did not stop within 0 s" in process.stderr.read()


def test_a_parent_that_dies() -> None:
    with stuck("begun", with_parent=True) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == -signal.SIGALRM


def test_before_it_has_begun() -> None:
    with stuck("joining", with_parent=True) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
    with stuck("joining", with_parent=True) as process:
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM
