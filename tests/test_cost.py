"""Time and memory of a call are those of the call."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest

from segmetry.cost import costed


def test_result_and_time():
    found = costed(lambda: time.sleep(0.05) or "done")
    assert found.result == "done"
    assert found.seconds >= 0.05
    assert found.cpu_seconds < found.seconds  # asleep, not at work


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell its memory")
def test_memory_is_what_the_call_took_at_its_peak():
    big = costed(lambda: float(np.ones(40 * 2**17).sum()))  # 40 MiB, given back before the call ends
    assert big.peak_memory == pytest.approx(40, abs=8)
    assert costed(lambda: None).peak_memory < 8  # the peak before does not count


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell its memory")
def test_memory_that_was_freed_before_is_not_had_for_nothing():
    def pieces():
        return [np.ones(2**13) for _ in range(320)]  # 20 MiB

    kept = pieces()[-1]  # the piece at the end keeps the allocator from giving back the others
    assert costed(pieces).peak_memory == pytest.approx(20, abs=8)
    assert kept.size == 2**13


def test_system_that_does_not_tell(monkeypatch):
    monkeypatch.setattr("segmetry.cost._CLEAR", Path("/nowhere/at/all"))
    monkeypatch.setattr("segmetry.cost._STATUS", Path("/nowhere/at/all"))
    assert math.isnan(costed(lambda: None).peak_memory)
