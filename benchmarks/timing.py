"""How the benchmarks measure time, and the machine they name."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path


def best(job: Callable[[], object], n: int) -> float:
    """Return the least CPU time of n runs in seconds: other programs hardly disturb it."""
    times = []
    for _ in range(n):
        before = time.process_time()
        job()
        times.append(time.process_time() - before)
    return min(times)


def best_ms(n: int, job: Callable[[], object]) -> float:
    """Return the least CPU time of n runs in ms, after one that warms up."""
    job()
    return best(job, n) * 1e3


def machine() -> str:
    """Return the kind of machine, its processor and the version of Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return f"{platform.machine()}, {next(named, 'processor unnamed')}, Python {platform.python_version()}"
