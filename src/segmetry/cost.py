"""What a piece of work costs: time and memory."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Costed(NamedTuple, Generic[T]):
    """A result and what it cost.

    ``seconds`` is wall time, ``cpu_seconds`` that of all threads of this process. ``peak_memory`` is how far the
    process rose above what it held before, in MiB; nan where the system does not tell (it does on Linux).
    """

    result: T
    seconds: float
    cpu_seconds: float
    peak_memory: float


def costed(work: Callable[[], T]) -> Costed[T]:
    """Return what a call gives, and what it cost.

    Memory is the resident set, so that what C libraries take counts too; the system's own high-water mark is reset
    before (Linux, ``clear_refs``), so nothing is missed between two looks.

    Examples
    --------
    >>> costed(lambda: 2 + 2).result
    4
    """
    before = reset_peak_memory()
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    rise = peak_memory() - before
    return Costed(result, seconds, cpu_seconds, 0.0 if rise < 0 else rise)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it OpenCV and numba use one thread, so that times of runs side by side mean the same."""
    import cv2
    import numba

    before = cv2.getNumThreads(), numba.get_num_threads()
    cv2.setNumThreads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        numba.set_num_threads(before[1])


def reset_peak_memory() -> float:
    """Set the high-water mark of this process to what is held now, and return it (MiB); nan where that cannot be done.

    What earlier work has freed is given back to the system first: else it would be used again, unseen.
    """
    try:
        _CLEAR.write_text("5")
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text("5")
    except (OSError, AttributeError):  # another system, another C library
        return math.nan
    return peak_memory()


def peak_memory() -> float:
    """Return what this process held at most since the mark was reset, in MiB; nan where the system does not tell."""
    return _read_kib(_STATUS, "VmHWM")


def available_memory() -> float:
    """Return what this process can still take, in MiB: of the machine and of its container; nan where nobody tells."""
    machine = _read_kib(_MEMINFO, "MemAvailable")
    try:
        most, held = (int((_GROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        files = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no container, or one without a limit
        return machine
    return min(machine, (most - held + int(files.get("inactive_file", 0))) / 2**20)


def gigabytes(n_bytes: float) -> str:
    """Return a number of bytes in words.

    Examples
    --------
    >>> gigabytes(1.26e10), gigabytes(3.2e8)
    ('13 GB', '0.32 GB')
    """
    return f"{n_bytes / 1e9:.2g} GB" if n_bytes < 99.5e9 else f"{n_bytes / 1e9:.0f} GB"


def _read_kib(path: Path, key: str) -> float:
    """Return an entry of one of the system's tables of memory, in MiB."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return math.nan
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(key)), math.nan)
