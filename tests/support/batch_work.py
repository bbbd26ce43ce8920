"""Work for tests of batches; in a module of its own, so that worker processes can import it."""

from __future__ import annotations

import os
import signal
import time

from segmetry.errors import ReadError
from segmetry.inputs import Task


def by_name(task: Task) -> None:
    """Do what the file's name says."""
    name = task.path.stem.split("-")[0]
    if name == "bad":
        raise ReadError(f"{task.path}: damaged\n  in many lines")
    if name == "bug":
        raise ZeroDivisionError("division by zero")
    if name == "memory":
        raise MemoryError
    if name == "killed":
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
