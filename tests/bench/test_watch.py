"""Whose processor time and memory a watch counts."""

import subprocess
import time

import psutil

from bench.watch import Watch

_SECONDS = 20.0


def test_a_process_has_the_part_that_its_command_line_comes_to_say() -> None:
    watch = Watch({})
    becomes = "read line; exec -a python bash -c 'read line' -m rederive.worker agent betfair"
    with subprocess.Popen(["bash", "-c", becomes], stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        watch.start()
        deadline = time.monotonic() + _SECONDS
        try:
            while process.pid not in watch._parts:
                assert time.monotonic() < deadline, "the watch doesn't see the process"
                time.sleep(0.01)
            process.stdin.write("go\n")
            process.stdin.flush()
            while "agents" not in watch.peaks:
                assert time.monotonic() < deadline, "the watch goes on by the first command line"
                time.sleep(0.01)
        finally:
            watch.ended.set()
            watch.join()
            process.stdin.write("end\n")
    assert set(watch.seconds()) == {"agents"}


def test_a_process_that_has_ended_keeps_its_part() -> None:
    watch = Watch({})
    works = "exec -a python bash -c 'read line' -m rederive.worker sink betfair"
    process = subprocess.Popen(["bash", "-c", works], stdin=subprocess.PIPE, text=True)
    watch.start()
    deadline = time.monotonic() + _SECONDS
    while "sinks" not in watch.peaks:
        assert time.monotonic() < deadline, "the watch doesn't see the process"
        time.sleep(0.01)
    assert process.stdin is not None
    process.stdin.close()
    # Nobody has waited for it: it is there, without a command line.
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the process doesn't end"
        time.sleep(0.01)
    watch._look()
    watch.ended.set()
    watch.join()
    process.wait()
    assert set(watch.seconds()) == {"sinks"}
