"""Memory that a step frees stays with the process."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from artgen.training.memory import keep_freed

STEPS = textwrap.dedent(
    """
    import ctypes
    import resource
    import sys
    import torch
    from artgen.training.memory import keep_freed

    def step():
        for size in (6 << 20, 5 << 20, 4 << 20):
            blocks = [torch.ones(size, dtype=torch.uint8) for _ in range(8)]
            del blocks

    # What glibc begins with; later it moves both limits by what was freed, now and then far enough.
    assert all(ctypes.CDLL(None).mallopt(name, 128 << 10) for name in (-3, -1))
    if sys.argv[1] == "keep":
        assert keep_freed()
    for _ in range(3):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
)


def faults(mode: str) -> int:
    return int(subprocess.run([sys.executable, "-c", STEPS, mode], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not keep_freed(), reason="the allocator of this system cannot be told")
def test_a_step_takes_the_pages_that_the_one_before_freed() -> None:
    # 120 MB a step are 30,000 pages; a handful may be new for other reasons.
    assert faults("give back") > 10_000
    assert faults("keep") < 1_000


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed() is False
