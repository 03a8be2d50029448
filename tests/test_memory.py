"""Memory of processes, as the kernel counts it."""

import os

from rederive.memory import Memory, peak


def test_a_peak_is_kept_when_its_process_is_gone() -> None:
    mine = peak(os.getpid())
    assert mine > 10_000_000
    assert peak(2**22 + 1) == 0
    memory = Memory()
    assert memory.describe() == {}
    memory.look({"agent": [os.getpid()]})
    memory.look({"agent": [2**22 + 1]}, last=True)
    found = memory.describe()["agent"]
    assert found["peak"] >= found["half"] >= mine


def test_growth_is_measured_over_time_with_few_samples() -> None:
    memory = Memory()
    for _ in range(2_500):
        memory.look({"agent": [os.getpid()]}, last=True)
    assert len(memory._samples) <= 1_001
    assert memory._every > 1
